"""Draw faults at random: refusals, lost connections, silence, outages and broken responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from tmux_fanout.core.testing.statement import Reply

Draw = Callable[[], float]
"""Return a number at random, from 0 to just below 1."""

_MAX_OUTAGE = 20.0  # seconds
_OUTAGES_BEGIN_BEFORE = 10.0
_USUAL_DELAY = 0.3
_SLOW = 25.0
_GARBAGE = b'{"a": [\xff\xfe\x00<html>'


class Fault(NamedTuple):
    """What happens to a request.

    Attributes:
        label: for reports.
        reply: what the API does.
        is_stale: whether a kept-alive connection turns out to be closed.
        is_good: whether it is answered as it should be.
    """

    label: str
    reply: Reply
    is_stale: bool = False
    is_good: bool = False


def _refusal(status: int, **headers: str) -> Fault:
    pairs = tuple(
        (name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()
    )
    label = f"HTTP {status} with Retry-After" if headers else f"HTTP {status}"
    return Fault(label, Reply(status=status, headers=pairs))


REFUSED = Fault("refused connection", Reply(error="connect"))
FAULTS = (
    REFUSED,
    Fault("lost connection", Reply(error="protocol")),
    Fault("stale connection", Reply(error="protocol"), is_stale=True),
    Fault("truncated answer", Reply(error="protocol", delay=0.5)),
    Fault("no answer", Reply(error="timeout")),
    Fault("garbage", Reply(body=_GARBAGE, headers=((b"content-type", b"application/json"),))),
    _refusal(429),
    _refusal(429, retry_after="2"),
    _refusal(503),
    _refusal(503, retry_after="5"),
    _refusal(500),
    _refusal(502),
    _refusal(504),
    _refusal(404),
)


class Weather(NamedTuple):
    """The faults of an API during a run.

    Attributes:
        share: of requests that meet a fault.
        faults: the ones to choose from.
        down_from, down_until: when it refuses every connection, in seconds.
    """

    share: float
    faults: Sequence[Fault]
    down_from: float
    down_until: float

    def draw(self, draw: Draw, now: float, good: Reply) -> Fault:
        """Return what happens to a request.

        Args:
            draw: for this request alone, so that it does not depend on the order of requests.
            now: seconds since the run began.
            good: the answer, if no fault is drawn.
        """
        if self.down_from <= now < self.down_until:
            return REFUSED
        delay = draw() * _USUAL_DELAY
        if draw() < self.share:
            fault = self.faults[int(draw() * len(self.faults))]
            return fault._replace(reply=replace(fault.reply, delay=fault.reply.delay + delay))
        if draw() < self.share / 5:
            return Fault(
                "answered slowly", replace(good, delay=delay + _SLOW * draw()), is_good=True
            )
        return Fault("answered", replace(good, delay=delay), is_good=True)


def draw_weather(draw: Draw) -> Weather:
    """Draw the faults of an API."""
    share = (0.1, 0.2, 0.4)[int(draw() * 3)]
    number = 2 + int(draw() * 5)
    left = list(FAULTS)
    faults = [left.pop(int(draw() * len(left))) for _ in range(number)]
    begin = draw() * _OUTAGES_BEGIN_BEFORE
    length = draw() * _MAX_OUTAGE if draw() < 0.5 else 0.0
    return Weather(share, faults, begin, begin + length)
