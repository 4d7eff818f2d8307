"""Limits, breakers, batches, joins and hedges, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.adversity import Adversity
from support.scarcity import Scarcity
from support.scripted import Answer, ListSink, ListSource, Scenario, answers
from support.thoroughness import share_of
from support.witness import callers

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.payloads import Payloads

REFUSED = TransportError("connect", "refused", sent=False, transient=True)
SHORT = TransportError(
    "connect", "too many open files", sent=False, transient=True, shortage="open files"
)
BUSY = Answer(1.0, 503, headers=((b"retry-after", b"2"),))


@settings(max_examples=share_of(300))
@given(st.integers(0, 2**32))
@example(186)  # paces that fell for ever
@example(1580)
@example(863)  # a record with a 500 after others were refused
@example(1065)
def test_whatever_goes_wrong_together_no_promise_is_broken(seed: int) -> None:
    """Lines are complete and in order, limits, rates, pauses and budgets hold, nothing is left.

    Every other time no request is kept while its call waits, as with large ones.
    """
    with pytest.MonkeyPatch.context() as patch:
        if seed % 2:
            patch.setattr(Payloads, "drop_if_large", _drop_request)
        Adversity(Random(seed)).play()


@settings(max_examples=share_of(200))
@given(st.integers(0, 2**32))
@example(20518)  # a pace that fell for ever
@example(21339)  # a call whose hedge was denied, queued twice
def test_whatever_is_short_at_once_each_record_gets_its_line(seed: int) -> None:
    """Windows, keys, retries, endpoints and money run out together, and the run ends."""
    Scarcity(Random(seed)).play()


def _drop_request(_: Payloads, call: Call) -> int:
    call.request = None
    return 0


async def test_a_rate_holds_under_a_total_limit(autojump_clock: object) -> None:
    """Calls that wait for the slots of another API do not start all at once afterwards."""
    scenario = Scenario(
        {"a": answers(Answer(3.0)), "b": answers(Answer())},
        source=ListSource([(0.1, [value]) for value in range(6)]),
        each={"b": {"rate": "10/s"}},
        total_limit=3,
    )
    await scenario.play()
    times = sorted(time for time, _ in scenario.transports["b"].sent_at)
    assert all(later - time >= 0.1 - 1e-6 for time, later in pairwise(times))


async def test_a_pause_holds_under_a_total_limit(autojump_clock: object) -> None:
    """Retry-After also pauses calls that wait for the total limit, where none was served yet."""
    script = lambda value, attempt: BUSY if (value, attempt) == (0, 1) else Answer()  # noqa: E731
    scenario = Scenario({"a": script}, list(range(6)), total_limit=1)
    assert all(result.ok for result in await scenario.play())
    assert [time for time, _ in scenario.transports["a"].sent_at][1] == pytest.approx(3.0)


async def test_a_call_lost_as_it_fails_is_not_retried(autojump_clock: object) -> None:
    """It fails at the moment at which its sibling wins."""
    script = lambda value, attempt: Answer(9.0) if value == 0 else Answer(1.0, 503)  # noqa: E731
    scenario = Scenario(
        {"a": script, "b": lambda value, attempt: Answer(9.0 if value == 0 else 1.0)},
        list(range(50)),
        join="first",
        api={"limit": 50},
    )
    await scenario.play()
    assert len(scenario.transports["a"].sent_at) == 50


@pytest.mark.parametrize("batch", [None, {"size": 5}])
async def test_a_shortage_and_then_no_server(autojump_clock: object, batch: Any) -> None:
    """Calls that lacked descriptors may wait too long for a breaker; each gets a line."""

    def script(value: Any, attempt: int) -> Answer:
        short = trio.current_time() < 0.05
        return Answer(failure=SHORT if short else REFUSED)

    scenario = Scenario(
        {"a": script},
        list(range(20)),
        api={"batch": batch, "breaker": {"failures": 1, "open": 9, "wait": 2}, "limit": 3},
    )
    results = await scenario.play()
    assert [result.index for result in results] == list(range(20))
    assert set(scenario.errors("a")) == {"cancelled"}
    assert scenario.run.ending is Ending.GIVEN_UP


async def test_a_shortage_in_an_overfull_window(autojump_clock: object) -> None:
    """Calls that could not begin do not block the head of the line."""

    def script(value: Any, attempt: int) -> Answer:
        large = Answer(1.0, body=b'"%b"' % (b"x" * 500))
        return Answer(failure=SHORT) if value < 6 and attempt == 1 else large

    scenario = Scenario({"a": script}, list(range(20)), api={"limit": 6}, window_bytes=100)
    with trio.fail_after(100):
        assert all(result.ok for result in await scenario.play())


async def test_a_probe_that_fails_after_the_patience_with_its_breaker(
    autojump_clock: object,
) -> None:
    """Calls that wait for the probe have waited too long by then, and the run ends at once."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.6, failure=REFUSED)

    scenario = Scenario(
        {"a": script},
        list(range(4)),
        api={"breaker": {"failures": 1, "open": 1, "wait": 2.4}, "limit": 1, "retries": 0},
    )
    with trio.fail_after(5):
        await scenario.play()
    assert scenario.errors("a") == ["connect", "connect", "cancelled", "connect"]
    assert scenario.run.ending is Ending.GIVEN_UP
    assert trio.current_time() == pytest.approx(2.8)


async def test_stopping_a_run_begins_no_attempt(autojump_clock: object) -> None:
    """At a deadline, attempts are cancelled, and no others begin in their slots."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(failure=REFUSED) if (value, attempt) == (3, 1) else Answer(10.0)

    scenario = Scenario({"a": script}, list(range(50)), api={"limit": 5}, deadline=2.0)
    await scenario.play()
    assert max(time for time, _ in scenario.transports["a"].sent_at) < 2.0


async def test_settled_calls_are_not_kept_for_hedging(autojump_clock: object) -> None:
    """A call that ends before it is slow is forgotten at once."""
    scenario = Scenario(
        {"a": answers(Answer(0.1))},
        list(range(100)),
        api={"method": "PUT", "hedge": 60, "limit": 2},
    )
    await scenario.play()
    [caller] = callers(scenario)
    assert caller.statistics().watched == 0


async def test_a_retry_is_not_slow_because_the_first_attempt_was(autojump_clock: object) -> None:
    """Each attempt has the whole delay before it is hedged."""
    sequence = answers(Answer(0.1, failure=REFUSED), Answer(0.15))
    scenario = Scenario(
        {
            "a": lambda value, attempt: (sequence if value == 39 else answers(Answer()))(
                value, attempt
            )
        },
        list(range(40)),
        api={"method": "PUT", "hedge": 0.2},
    )
    await scenario.play()
    assert scenario.run.statistics.apis[0].hedges == 0


async def test_a_head_that_is_written_slowly_is_not_blamed(autojump_clock: object) -> None:
    """While the consumer is slow, no record is reported, and no task spins."""
    notices: list[str] = []
    scenario = Scenario(
        {"a": answers(Answer(0.1, body=b'"%b"' % (b"x" * (1 << 20))))},
        list(range(3)),
        sink=ListSink(delay=30.0),
        notify=notices.append,
        watch_head=True,
    )
    await scenario.play()
    assert notices == []


class SlowSink(ListSink):
    """A sink that takes its first lines until a given time."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until

    async def put(self, results: Sequence[Result]) -> None:
        await trio.sleep_until(self._until)
        await super().put(results)


async def test_a_new_head_in_a_run_that_is_stopped_is_not_hedged(autojump_clock: object) -> None:
    """All calls are cancelled at the moment at which the writer waits for the next line."""
    for _ in range(30):  # the order of tasks within a moment is random
        scenario = Scenario(
            {"a": lambda value, attempt: Answer(0.1 if value < 30 else 9.0)},
            list(range(40)),
            api={"method": "PUT", "hedge": "head"},
            sink=SlowSink(trio.current_time() + 0.5),
            deadline=0.5,
        )
        assert len(await scenario.play()) == 40
