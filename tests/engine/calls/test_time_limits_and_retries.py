"""Attempt, call and run time limits, and retries."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from support.scripted import Answer, ListSource, Scenario, answers

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError

REFUSED = TransportError("connect", "refused", sent=False, transient=True)
LOST = TransportError("protocol", "lost", sent=True, transient=True)
STALE = TransportError("protocol", "lost", sent=True, transient=True, stale=True)
MALFORMED = TransportError("protocol", "malformed", sent=True)
FOREVER = Answer(delay=1000.0)


def _asking(seconds: float) -> TransportError:
    """Return the failure of a server that the request depends on, and that asks to wait."""
    return TransportError("status", "slow", sent=False, transient=True, retry_after=seconds)


async def test_attempt_timeout_ends_an_attempt(autojump_clock: trio.testing.MockClock) -> None:
    """An attempt is cut off at its limit; a POST that was sent is ambiguous and final."""
    scenario = Scenario({"a": answers(FOREVER)}, ["x"], api={"attempt_timeout": 3})
    (result,) = await scenario.play()
    error = result["a"].error
    assert error is not None
    assert (error.kind, error.ambiguous) == ("timeout", True)
    assert "idempotent = true" in error.message
    assert trio.current_time() == 3.0
    assert (result["a"].attempts, result["a"].seconds) == (1, 3.0)


async def test_timed_out_attempt_is_repeated_where_it_may_be(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The next attempt of an idempotent call has its own time limit."""
    script = answers(FOREVER, Answer(delay=1.0))
    scenario = Scenario({"a": script}, ["x"], api={"attempt_timeout": 3, "idempotent": True})
    (result,) = await scenario.play()
    assert result.ok
    assert result["a"].attempts == 2
    assert 4.0 <= trio.current_time() <= 4.1


async def test_attempt_that_sent_nothing_is_repeated(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A POST that timed out while connecting was not applied, so it is repeated."""
    script = answers(Answer(connect=1000.0), Answer())
    scenario = Scenario({"a": script}, ["x"], api={"attempt_timeout": 3})
    (result,) = await scenario.play()
    assert result.ok
    assert result["a"].attempts == 2


async def test_timeout_bounds_the_call_with_its_retries(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The call's limit cuts off an attempt that is within its own limit."""
    api = {"attempt_timeout": 4, "timeout": 6, "idempotent": True, "retries": 9}
    scenario = Scenario({"a": answers(FOREVER)}, ["x"], api=api)
    (result,) = await scenario.play()
    assert trio.current_time() == 6.0
    assert result["a"].seconds == 6.0
    assert result["a"].error is not None
    assert "6s" in result["a"].error.message


async def test_waiting_for_a_slot_uses_up_no_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A call whose retry finds every slot taken waits beyond its limit, and is served."""

    def script(value: Any, attempt: int) -> Answer:
        if value == 0:
            return Answer(5.0, status=503) if attempt == 1 else Answer(1.0)
        return Answer(delay=20.0)

    scenario = Scenario(
        {"a": script}, [0, 1], api={"limit": 1, "timeout": 10, "attempt_timeout": 30}
    )
    results = await scenario.play()
    assert scenario.errors("a") == [None, "timeout"]
    assert [(at, value) for at, value in scenario.transports["a"].sent_at] == [
        (0.0, 0),
        (5.0, 1),
        (15.0, 0),
    ]
    assert (results[0]["a"].attempts, results[0]["a"].seconds) == (2, 16.0)


async def test_scope_that_fired_does_not_touch_the_next_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Calls that time out do not affect the next calls on the same slot."""
    scenario = Scenario(
        {"a": lambda v, _: FOREVER if v % 2 else Answer(delay=3.0)},
        list(range(6)),
        api={"limit": 1, "attempt_timeout": 3},
    )
    await scenario.play()
    kinds = scenario.errors("a")
    assert kinds[1::2] == ["timeout"] * 3
    # An answer at exactly the limit may count either way, but it is whole if it is ok.
    assert set(kinds[::2]) <= {None, "timeout"}
    assert trio.current_time() == 18.0


@pytest.mark.parametrize(
    ("answer", "idempotent", "attempts", "ok"),
    [
        (Answer(status=408), False, 3, False),
        (Answer(status=425), False, 3, False),
        (Answer(status=500), False, 1, False),
        (Answer(status=500), True, 3, False),
        (Answer(status=404), True, 1, False),
        (Answer(failure=LOST), False, 1, False),
        (Answer(failure=LOST), True, 3, False),
        (Answer(failure=MALFORMED), True, 1, False),
    ],
    ids=str,
)
async def test_attempts_are_as_many_as_the_answer_allows(
    autojump_clock: trio.testing.MockClock,
    answer: Answer,
    idempotent: bool,
    attempts: int,
    ok: bool,
) -> None:
    """Unprocessed requests are tried three times, others only if they are idempotent."""
    scenario = Scenario({"a": answers(answer)}, ["x"], api={"idempotent": idempotent})
    (result,) = await scenario.play()
    assert (result["a"].attempts, result.ok) == (attempts, ok)
    assert len(scenario.transports["a"].sent_at) == attempts


async def test_stale_connection_costs_no_retry(autojump_clock: trio.testing.MockClock) -> None:
    """An attempt on a stale connection is repeated at once, even with no retries."""
    script = answers(Answer(failure=STALE), Answer())
    scenario = Scenario({"a": script}, ["x"], api={"method": "PUT", "retries": 0})
    (result,) = await scenario.play()
    assert result.ok
    assert trio.current_time() == 0.0


@pytest.mark.parametrize(
    "asking",
    [
        Answer(status=503, headers=((b"retry-after", b"7"),)),
        Answer(failure=_asking(7.0)),
    ],
)
async def test_retry_after_is_a_floor(
    autojump_clock: trio.testing.MockClock, asking: Answer
) -> None:
    """A server that asks for seven seconds is not called for seven seconds."""
    scenario = Scenario({"a": answers(asking, Answer())}, ["x"])
    (result,) = await scenario.play()
    assert result.ok
    assert [at for at, _ in scenario.transports["a"].sent_at] == [0.0, 7.0]


async def test_retry_that_cannot_be_in_time_is_not_begun(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After a failure, a Retry-After beyond the call's time ends it at once, with a message."""
    script = answers(Answer(failure=_asking(90.0)))
    scenario = Scenario({"a": script}, ["x"])
    (result,) = await scenario.play()
    assert trio.current_time() == 0.0
    assert result["a"].error is not None
    assert "another attempt in 90s would pass the timeout of 1m" in result["a"].error.message


async def test_a_refused_call_waits_beyond_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A Retry-After on a refusal is waited for, however short the call's time is."""
    script = answers(Answer(status=503, headers=((b"retry-after", b"90"),)), Answer(1.0))
    scenario = Scenario({"a": script}, ["x"], api={"timeout": 2})
    (result,) = await scenario.play()
    assert result.ok
    assert [at for at, _ in scenario.transports["a"].sent_at] == [0.0, 90.0]


async def test_pausing_call_gives_its_slot_away(autojump_clock: trio.testing.MockClock) -> None:
    """While a call waits for its next attempt, others use its slot."""
    scenario = Scenario(
        {"a": lambda v, n: Answer(status=503) if (v, n) == (0, 1) else Answer(delay=1.0)},
        list(range(9)),
        api={"limit": 1},
    )
    await scenario.play()
    assert trio.current_time() == 9.0
    assert scenario.transports["a"].peak == 1


async def test_deadline_gives_every_record_its_line(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """At the deadline finished calls keep their outcomes, and all others fail as `deadline`."""
    source = ListSource([(0.0, [0, 1, 2, 3, 4, 5]), (100.0, [])], ahead=[6, 7])
    scenario = Scenario(
        {"a": lambda v, _: Answer(delay=2.0 if v < 2 else 20.0)},
        source=source,
        api={"limit": 3},
        deadline=5,
    )
    results = await scenario.play()
    assert trio.current_time() == 5.0
    assert scenario.run.ending is Ending.DEADLINE
    assert scenario.errors("a") == [None, None, *["deadline"] * 6]
    assert [result["a"].attempts for result in results] == [1, 1, 1, 1, 1, 0, 0, 0]
    in_flight, not_sent = results[2]["a"].error, results[7]["a"].error
    assert in_flight is not None
    assert not_sent is not None
    assert in_flight.ambiguous
    assert not not_sent.ambiguous
    assert scenario.run.statistics.read == scenario.run.statistics.written == 8


async def test_deadline_while_records_wait_for_the_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Records that were read but never admitted are written too."""
    scenario = Scenario({"a": answers(FOREVER)}, list(range(20)), window=3, deadline=1)
    results = await scenario.play()
    assert scenario.sink.indexes == list(range(20))
    assert sum(result["a"].attempts for result in results) == 3


async def test_waiting_for_the_total_limit_uses_up_no_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A call outlasts another API that takes the slots for all of its time."""
    asking = Answer(status=503, headers=((b"retry-after", b"1"),))
    scenario = Scenario(
        {"a": answers(asking, Answer(0.5)), "b": answers(Answer(delay=20.0))},
        [0],
        api={"timeout": 3},
        total_limit=1,
    )
    (result,) = await scenario.play()
    assert (result["a"].ok, result["a"].seconds) == (True, 3.5)
    assert [at for at, _ in scenario.transports["a"].sent_at] == [0.0, 3.0]


async def test_time_for_which_the_process_is_suspended_does_not_count(
    mock_clock: trio.testing.MockClock,
) -> None:
    """A call that was to wait for two seconds, and sleeps for fifty, has another attempt."""
    script = answers(Answer(failure=_asking(2.0)), Answer())
    scenario = Scenario({"a": script}, ["x"], api={"timeout": 3})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(50.0)
    assert scenario.errors("a") == [None]
    assert [at for at, _ in scenario.transports["a"].sent_at] == [0.0, 50.0]


async def test_deadline_during_a_pause_is_not_ambiguous(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A call that waits after a 503 is not ambiguous, and its last answer is written."""
    script = answers(Answer(status=503, headers=((b"retry-after", b"5"),), body=b"busy"))
    scenario = Scenario({"a": script}, ["x"], deadline=1)
    (result,) = await scenario.play()
    error = result["a"].error
    assert error is not None
    assert (error.kind, error.ambiguous) == ("deadline", False)
    assert error.message.endswith("passed before attempt 2")
    assert (result["a"].status, result["a"].body) == (503, "busy")


async def test_bytes_are_counted_as_they_are_sent(autojump_clock: trio.testing.MockClock) -> None:
    """Attempts that sent nothing add no bytes; each response does."""
    script = answers(Answer(failure=REFUSED), Answer(status=503, body=b"busy"), Answer(body=b"1"))
    scenario = Scenario({"a": script}, ["x"])
    await scenario.play()
    (api,) = scenario.run.statistics.apis
    assert (api.bytes_sent, api.bytes_received) == (2 * len(b'"x"'), len(b"busy1"))
