"""Servers that are overloaded, ask for a pause, or fail: what is retried, and when."""

from __future__ import annotations

import time
from itertools import cycle, pairwise

import pytest
import trio
from support.faults import NO_BREAKER, SLACK, Against
from support.server import Peer, answering, response

OK = response(b"ok")
POST = ("-X", "POST")
EPSILON = 0.02  # seconds by which two clocks may measure a pause differently


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
def test_a_status_is_retried_if_safe(
    against: Against, statuses: list[str], args: tuple[str, ...], verdict: str
) -> None:
    """A status is retried if the call was not processed, or is idempotent and may yet succeed."""
    answers = map(failing, statuses)

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(next(answers, OK))

    ledger = against(script, *args, records=1)
    assert ledger.verdicts() == [verdict]
    assert len(ledger.server.requests) == ledger.summary["requests"]
    if "ambiguous" in verdict:
        [message] = ledger.messages()
        assert "not repeated: the POST may have been applied; --idempotent, or" in message


class AskingForPause:
    """A script that gives the first of all requests its own response.

    Args:
        first: that response; its connection is closed afterwards.
        together: number of requests to await before sending it; the others among them are answered
            once the client has closed that connection.

    Attributes:
        arrivals: when later requests arrived, in seconds after the first response.
    """

    def __init__(self, first: bytes, together: int = 1) -> None:
        self.arrivals: list[float] = []
        self._first = first.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        self._together = together
        self._arrived = 0
        self._all_arrived = trio.Event()
        self._first_received = trio.Event()
        self._sent_at = 0.0

    async def __call__(self, peer: Peer) -> None:
        while await peer.request():
            self._arrived += 1
            if self._arrived > self._together:
                self.arrivals.append(time.monotonic() - self._sent_at)
            elif self._arrived == 1:
                await self._answer_first(peer)
                return
            else:
                if self._arrived == self._together:
                    self._all_arrived.set()
                await self._first_received.wait()
            await peer.send(OK)

    async def _answer_first(self, peer: Peer) -> None:
        if self._together > 1:
            await self._all_arrived.wait()
        self._sent_at = time.monotonic()
        await peer.send(self._first)
        await peer.closed()
        self._first_received.set()


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_retry_after_pauses_the_whole_endpoint(against: Against, status: str) -> None:
    """After Retry-After no call is sent to the endpoint, whether refused, waiting or new."""
    asking = AskingForPause(failing(status, "Retry-After: 1"), together=4)
    ledger = against(asking, *POST, "-l", "4", records=40)
    assert sorted(ledger.verdicts()) == ["ok in 1"] * 39 + ["ok in 2"]
    assert len(asking.arrivals) == 37
    assert min(asking.arrivals) >= 1 - EPSILON


def test_an_exhausted_quota_pauses_the_endpoint(against: Against) -> None:
    """A `RateLimit` with nothing left pauses the endpoint, even on a successful response."""
    asking = AskingForPause(
        response(b"ok", 'RateLimit: "burst";r=0;t=1, "day";r=9;t=9999'), together=4
    )
    ledger = against(asking, *POST, "-l", "4", records=10)
    assert ledger.verdicts() == ["ok in 1"] * 10
    assert min(asking.arrivals) >= 1 - EPSILON


NOW = 784_111_776.8  # 0.2 seconds before the example date of RFC 9110


@pytest.fixture
def frozen_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the time of day, but not the clocks behind time limits."""
    monkeypatch.setattr(time, "time", lambda: NOW)


SOON = 0.2 - EPSILON
HONOURED = {
    "imf date": ("Sun, 06 Nov 1994 08:49:37 GMT", SOON),
    "rfc 850 date": ("Sunday, 06-Nov-94 08:49:37 GMT", SOON),
    "asctime date": ("Sun Nov  6 08:49:37 1994", SOON),
    "a date that has passed": ("Sun, 06 Nov 1994 07:49:37 GMT", 0.0),
    "no second": ("0", 0.0),
}
IGNORED = {
    "negative": "-1",
    "fraction": "1.5",
    "list": "120, 60",
    "junk": "soon",
    "nothing": "",
    "no date": "Sun, 32 Nov 1994 08:49:37 GMT",
    "long junk": "(" * 5000,
}
ENDS_NOW = {
    "a day": "86400",
    "the date of tomorrow": "Mon, 07 Nov 1994 08:49:37 GMT",
    "for ever": "9" * 50,
    "the last date": "Fri, 31 Dec 9999 23:59:59 GMT",
}


@pytest.mark.usefixtures("frozen_time")
@pytest.mark.parametrize("case", HONOURED)
def test_retry_after_is_honoured(against: Against, case: str) -> None:
    """Every form of Retry-After pauses for as long as it states."""
    value, min_pause = HONOURED[case]
    asking = AskingForPause(failing("503 Unavailable", f"Retry-After: {value}"))
    assert against(asking, *POST, "-l", "1").verdicts() == ["ok in 2", "ok in 1", "ok in 1"]
    assert min_pause <= asking.arrivals[0] < min_pause + SLACK


@pytest.mark.usefixtures("frozen_time")
@pytest.mark.parametrize("case", IGNORED)
def test_invalid_retry_after_is_ignored(against: Against, case: str) -> None:
    """An invalid Retry-After is ignored, and the call is retried after its back-off."""
    asking = AskingForPause(failing("429 Too Many Requests", f"Retry-After: {IGNORED[case]}"))
    assert against(asking, *POST, "-l", "1").verdicts() == ["ok in 2", "ok in 1", "ok in 1"]
    assert asking.arrivals[0] < 0.1 + SLACK


@pytest.mark.usefixtures("frozen_time")
@pytest.mark.parametrize("case", ENDS_NOW)
def test_retry_after_past_the_timeout_ends_the_call_at_once(against: Against, case: str) -> None:
    """A pause past the call's timeout ends the call; others pause for at most that timeout."""
    asking = AskingForPause(failing("503 Unavailable", f"Retry-After: {ENDS_NOW[case]}"))
    ledger = against(asking, *POST, "-l", "1", "--timeout", "500ms", records=2)
    assert ledger.verdicts() == ["status in 1", "ok in 1"]
    [message] = ledger.messages()
    assert "would pass the timeout of 500ms" in message
    assert ledger.outcomes()[0]["seconds"] < 0.5
    assert 0.5 - EPSILON <= asking.arrivals[0] < 0.5 + SLACK


@pytest.fixture
def jumping_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the time of day by up to an hour each time it is read."""
    real, jumps = time.time, cycle([3600.0, 0.0, -3600.0, 0.0])
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))


@pytest.mark.usefixtures("jumping_time")
def test_setting_the_clock_moves_no_time_limit(against: Against) -> None:
    """Timeouts, pauses in seconds, rates and back-off ignore changes of the time of day."""
    asking = AskingForPause(failing("503 Unavailable", "Retry-After: 1"), together=3)
    scripts = {"asking": asking, "stalled": Peer.closed, "failing": answering(failing("500"))}
    args = ("--attempt-timeout", "300ms", "--rate", "50/s", "-r", "1")
    ledger = against(scripts, *args, records=3, config=NO_BREAKER)
    assert sorted(ledger.verdicts("asking")) == ["ok in 1", "ok in 1", "ok in 2"]
    assert 1 - EPSILON <= min(asking.arrivals) < 1 + SLACK
    assert ledger.verdicts("stalled") == ["timeout in 2"] * 3
    assert 0.6 <= ledger.slowest("stalled") < 0.6 + SLACK
    assert ledger.verdicts("failing") == ["status in 2"] * 3
    assert ledger.slowest("failing") < 0.1 + SLACK


def test_back_off_is_random(against: Against) -> None:
    """The pauses between attempts are random within bounds that double each time."""
    arrivals: dict[bytes, list[float]] = {}

    async def script(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            times = arrivals.setdefault(received.body, [])
            times.append(time.monotonic())
            await peer.send(OK if len(times) == 3 else failing("503"))

    ledger = against(script, *POST, records=5, config=NO_BREAKER)
    assert ledger.verdicts() == ["ok in 3"] * 5
    pauses = [later - earlier for times in arrivals.values() for earlier, later in pairwise(times)]
    assert len({round(pause, 3) for pause in pauses}) > 2
    assert max(pauses) < 0.2 + SLACK


def test_an_outage_causes_no_retry_storm(against: Against) -> None:
    """If every call gets 503, the breaker opens, and most calls fail without being sent."""
    breaker = '{ failures = 5, open = "50ms", max_open = "100ms", wait = "300ms" }'
    args = ("-l", "8", "--timeout", "1s", "--window", "3000")
    config = f"[defaults]\nbreaker = {breaker}\n"
    ledger = against(answering(failing("503")), *args, records=3000, config=config)
    kinds = [verdict.split(" in ")[0] for verdict in ledger.verdicts()]
    assert set(kinds) == {"status", "breaker_open"}
    assert kinds.count("breaker_open") > 2900
    assert len(ledger.server.requests) == ledger.summary["requests"] < 100


def test_retries_keep_to_their_budget(against: Against) -> None:
    """Without a breaker, retries are limited to a share of the attempts and some per second."""
    args = ("-l", "8", "-r", "9", "--timeout", "1s")
    ledger = against(answering(failing("503")), *args, records=300, config=NO_BREAKER)
    assert {verdict.split(" in ")[0] for verdict in ledger.verdicts()} == {"status"}
    attempts, seconds = ledger.summary["requests"], ledger.summary["seconds"]
    assert 300 < attempts <= 300 + 0.2 * attempts + 10 * (seconds + 1)
