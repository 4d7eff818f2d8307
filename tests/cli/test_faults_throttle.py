"""Servers that are overloaded, ask for a pause, or fail: what is repeated, and when."""

from __future__ import annotations

import time
from itertools import chain, cycle, pairwise, repeat

import pytest
import trio
from support.faults import NO_BREAKER, SLACK, Against
from support.server import Peer, answering, response

OK = response(b"ok")
POST = ("-X", "POST")
EPSILON = 0.02  # seconds by which two clocks may see a pause differ


def failing(status: str, *headers: str) -> bytes:
    return response(b"no", *headers, status=status)


ONCE = "status in 1, ambiguous"


@pytest.mark.parametrize(
    ("statuses", "args", "verdict"),
    [
        (["500"] * 3, POST, ONCE),
        (["502"] * 3, POST, ONCE),
        (["504"] * 3, POST, ONCE),
        (["500"] * 3, (*POST, "--idempotent"), "status in 3"),
        (["500"] * 3, ("-X", "PUT"), "status in 3"),
        (["500", "502"], ("-X", "GET"), "ok in 3"),
        (["503", "503"], POST, "ok in 3"),
        (["408"], POST, "ok in 2"),
        (["421", "425"], POST, "ok in 3"),
        (["429", "429"], POST, "ok in 3"),
        (["503"] * 3, POST, "status in 3"),
        (["501"], (*POST, "--idempotent"), "status in 1"),
        (["404"], ("-X", "GET"), "status in 1"),
        (["503", "500"], POST, "status in 2, ambiguous"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, (list, tuple)) else value,
)
def test_a_status_is_repeated_where_that_is_harmless(
    against: Against, statuses: list[str], args: tuple[str, ...], verdict: str
) -> None:
    """Unprocessed requests always are, possibly processed ones only if allowed, others never."""
    answers = map(failing, statuses)

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(next(answers, OK))

    ledger = against(script, *args, records=1)
    assert ledger.endings() == [verdict]
    assert len(ledger.server.requests) == ledger.summary["requests"]
    if "ambiguous" in verdict:
        [message] = ledger.messages()
        assert "not retried, as the POST may have been applied (--idempotent, or" in message


class Asking:
    """A script that answers the first request of all connections in its own way.

    Args:
        first: the first answer; the connection is closed after it.
        together: number of requests that arrive before it is sent; the other ones are answered
            once the client has seen it.

    Attributes:
        arrivals: when later requests arrived, in seconds after the first answer.
    """

    def __init__(self, first: bytes, together: int = 1) -> None:
        self.arrivals: list[float] = []
        self._first = first.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        self._together = together
        self._here = 0
        self._all_here = trio.Event()
        self._seen = trio.Event()
        self._sent_at = 0.0

    async def __call__(self, peer: Peer) -> None:
        while await peer.request():
            self._here += 1
            if self._here > self._together:
                self.arrivals.append(time.monotonic() - self._sent_at)
            elif self._here == 1:
                await self._answer_first(peer)
                return
            else:
                if self._here == self._together:
                    self._all_here.set()
                await self._seen.wait()
            await peer.send(OK)

    async def _answer_first(self, peer: Peer) -> None:
        if self._together > 1:
            await self._all_here.wait()
        self._sent_at = time.monotonic()
        await peer.send(self._first)
        await peer.closed()
        self._seen.set()


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_nobody_calls_an_endpoint_that_asked_for_a_second(against: Against, status: str) -> None:
    """Neither the refused call nor any other call is sent in the meantime."""
    asking = Asking(failing(status, "Retry-After: 1"), together=4)
    ledger = against(asking, *POST, "-l", "4", records=40)
    assert sorted(ledger.endings()) == ["ok in 1"] * 39 + ["ok in 2"]
    assert len(asking.arrivals) == 37
    assert min(asking.arrivals) >= 1 - EPSILON


def test_a_quota_that_is_used_up_is_waited_for(against: Against) -> None:
    """A response is ok, and its `RateLimit` has nothing left for a second."""
    asking = Asking(response(b"ok", 'RateLimit: "burst";r=0;t=1, "day";r=9;t=9999'), together=4)
    ledger = against(asking, *POST, "-l", "4", records=10)
    assert ledger.endings() == ["ok in 1"] * 10
    assert min(asking.arrivals) >= 1 - EPSILON


@pytest.mark.parametrize(
    ("headers", "config"),
    [
        (("X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests: 300ms"), ""),
        (
            ("Left", "In: 0.3"),
            "[defaults]\nrate_headers = { remaining = 'left', reset = 'in' }\n",
        ),
    ],
    ids=["well-known", "own"],
)
def test_a_quota_that_is_used_up_again_is_waited_for_again(
    against: Against, headers: tuple[str, str], config: str
) -> None:
    """The second time the head is not parsed, as it was seen before."""
    arrivals: list[float] = []
    remaining, reset = headers
    answers = cycle([response(b"ok", f"{remaining}: {n}", reset) for n in (0, 1)])

    async def script(peer: Peer) -> None:
        while await peer.request():
            arrivals.append(time.monotonic())
            await peer.send(next(answers))

    ledger = against(script, *POST, "-l", "1", records=6, config=config)
    assert ledger.endings() == ["ok in 1"] * 6
    waits = [after - before for before, after in pairwise(arrivals)]
    assert min(waits[::2]) >= 0.3 - EPSILON


NOW = 784_111_776.8  # a fifth of a second before RFC 9110's example date


@pytest.fixture
def frozen_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the time of day; the clocks behind time limits go on."""
    monkeypatch.setattr(time, "time", lambda: NOW)


SOON = 0.2 - EPSILON
HONOURED = {
    "imf date": ("Sun, 06 Nov 1994 08:49:37 GMT", SOON),
    "rfc 850 date": ("Sunday, 06-Nov-94 08:49:37 GMT", SOON),
    "asctime date": ("Sun Nov  6 08:49:37 1994", SOON),
    "a date that has passed": ("Sun, 06 Nov 1994 07:49:37 GMT", 0.0),
    "no second": ("0", 0.0),
    "fraction": ("0.2", SOON),
}
IGNORED = {
    "negative": "-1",
    "exponent": "1e3",
    "list": "120, 60",
    "junk": "soon",
    "nothing": "",
    "no date": "Sun, 32 Nov 1994 08:49:37 GMT",
    "long junk": "(" * 5000,
}
TOO_LONG = {
    "a day": "86400",
    "the date of tomorrow": "Mon, 07 Nov 1994 08:49:37 GMT",
    "for ever": "9" * 50,
    "the last date": "Fri, 31 Dec 9999 23:59:59 GMT",
}


@pytest.mark.usefixtures("frozen_time")
@pytest.mark.parametrize("case", HONOURED)
def test_retry_after_is_honoured(against: Against, case: str) -> None:
    """Each of its forms is honoured for the time that it gives."""
    value, min_delay = HONOURED[case]
    asking = Asking(failing("503 Unavailable", f"Retry-After: {value}"))
    assert against(asking, *POST, "-l", "1").endings() == ["ok in 2", "ok in 1", "ok in 1"]
    assert min_delay <= asking.arrivals[0] < min_delay + SLACK


@pytest.mark.usefixtures("frozen_time")
@pytest.mark.parametrize("case", IGNORED)
def test_retry_after_that_is_neither_is_ignored(against: Against, case: str) -> None:
    """The call is made again after its back-off, as without the header."""
    asking = Asking(failing("429 Too Many Requests", f"Retry-After: {IGNORED[case]}"))
    assert against(asking, *POST, "-l", "1").endings() == ["ok in 2", "ok in 1", "ok in 1"]
    assert asking.arrivals[0] < 0.1 + SLACK


@pytest.mark.usefixtures("frozen_time")
@pytest.mark.parametrize("case", TOO_LONG)
def test_a_pause_is_no_longer_than_calls_wait(against: Against, case: str) -> None:
    """It ends after `breaker.wait`, and takes no time from the call."""
    asking = Asking(failing("503 Unavailable", f"Retry-After: {TOO_LONG[case]}"))
    config = '[defaults]\nbreaker = { wait = "1200ms" }\n'
    args = (*POST, "-l", "1", "--timeout", "1100ms")
    ledger = against(asking, *args, records=2, config=config)
    assert ledger.endings() == ["ok in 2", "ok in 1"]
    assert 1.2 - EPSILON <= asking.arrivals[0] < 1.2 + SLACK


@pytest.fixture
def jumping_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the time of day an hour forward or back on each reading."""
    real, jumps = time.time, cycle([3600.0, 0.0, -3600.0, 0.0])
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))


@pytest.mark.usefixtures("jumping_time")
def test_a_clock_that_is_set_moves_no_time_limit(against: Against) -> None:
    """Timeouts, pauses in seconds, rates and back-off are unaffected."""
    asking = Asking(failing("503 Unavailable", "Retry-After: 1"), together=3)
    scripts = {"asking": asking, "failing": answering(failing("500"))}
    ledger = against(scripts, "--rate", "50/s", "-r", "1", records=3, config=NO_BREAKER)
    assert sorted(ledger.endings("asking")) == ["ok in 1", "ok in 1", "ok in 2"]
    assert 1 - EPSILON <= min(asking.arrivals) < 1 + SLACK
    assert ledger.endings("failing") == ["status in 2"] * 3
    assert ledger.slowest("failing") < 0.1 + SLACK
    for option in ("--attempt-timeout", "--timeout"):
        stalled = against(Peer.closed, option, "300ms", "-r", "0", config=NO_BREAKER)
        assert stalled.endings() == ["timeout in 1"] * 3
        assert 0.3 <= stalled.slowest() < 0.3 + SLACK


def test_back_off_is_spread(against: Against) -> None:
    """503, 503, 200: three attempts, with random pauses."""
    arrivals: dict[bytes, list[float]] = {}

    async def script(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            times = arrivals.setdefault(received.body, [])
            times.append(time.monotonic())
            await peer.send(OK if len(times) == 3 else failing("503"))

    ledger = against(script, *POST, records=5, config=NO_BREAKER)
    assert ledger.endings() == ["ok in 3"] * 5
    pauses = [later - earlier for times in arrivals.values() for earlier, later in pairwise(times)]
    assert len({round(pause, 3) for pause in pauses}) > 2


def test_an_outage_of_thousands_of_records_is_no_storm(against: Against) -> None:
    """All get 503: the breaker opens, and then the run is given up, with most calls unsent."""
    breaker = '{ failures = 5, open = "50ms", max_open = "100ms", wait = "1500ms" }'
    config = f"[defaults]\nbreaker = {breaker}\n"
    args = ("-l", "8", "--window", "3000")
    ledger = against(answering(failing("503")), *args, records=3000, config=config)
    assert ledger.status == 4
    assert ledger.summary["errors"] == {"cancelled": 3000}
    assert ledger.endings().count("cancelled in 0") > 2900
    assert 1.5 <= ledger.summary["seconds"] < 1.5 + SLACK
    assert len(ledger.server.requests) == ledger.summary["requests"] < 150


def test_refusals_for_ever_are_paced_without_a_breaker(against: Against) -> None:
    """No record is at fault, so all wait, and the endpoint is asked less and less often."""
    answers = chain([OK] * 20, repeat(failing("503")))

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(next(answers))

    args = ("-l", "8", "--deadline", "2s")
    ledger = against(script, *args, records=300, config=NO_BREAKER)
    assert ledger.status == 124
    assert set(ledger.summary["errors"]) == {"deadline"}
    assert len(ledger.server.requests) == ledger.summary["requests"] < 200


def test_an_api_that_never_served_is_not_waited_for_without_a_breaker(against: Against) -> None:
    """Nothing else would end the run, so that calls end after their retries."""
    ledger = against(answering(failing("503")), "-l", "8", records=30, config=NO_BREAKER)
    assert ledger.endings() == ["status in 3"] * 30
