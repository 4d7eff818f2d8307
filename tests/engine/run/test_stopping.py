"""Every way out of a run: draining, aborting, broken input and output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from support.scripted import Answer, ListSink, ListSource, Scenario

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import InputError, OutputClosed, OutputError
from tmux_fanout.core.records.parser import Record


def slow(value: Any, attempt: int) -> Answer:
    return Answer(delay=10.0)


async def play_and(scenario: Scenario, *, at: float, do: Callable[[], None]) -> None:
    """Play a scenario, and call `do` at a time in it."""

    async def interfere() -> None:
        await trio.sleep(at)
        do()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interfere)
        await scenario.play()
        nursery.cancel_scope.cancel()


async def test_drain_lets_admitted_records_finish(autojump_clock: trio.testing.MockClock) -> None:
    """After a first signal, nothing more is read, and admitted records finish."""
    source = ListSource([(0.0, [0, 1]), (5.0, [2, 3])], ahead=[4])
    scenario = Scenario({"a": slow}, source=source)
    await play_and(scenario, at=1.0, do=lambda: scenario.run.drain(Ending.SIGINT))
    assert trio.current_time() == 10.0
    assert scenario.errors("a") == [None, None, "cancelled"]
    assert scenario.run.ending is Ending.SIGINT


async def test_drain_gives_up_after_its_timeout(autojump_clock: trio.testing.MockClock) -> None:
    """Records that are open at the end of the drain timeout are cancelled."""
    scenario = Scenario({"a": slow}, [0, 1], drain_timeout=3)
    await play_and(scenario, at=1.0, do=lambda: scenario.run.drain(Ending.SIGTERM))
    assert trio.current_time() == 4.0
    assert scenario.errors("a") == ["cancelled"] * 2
    assert scenario.run.ending is Ending.SIGTERM


async def test_abort_stops_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """A second signal cancels every call at once; each record read gets its line."""
    scenario = Scenario({"a": slow, "b": lambda v, _: Answer()}, list(range(5)), window=3)

    def signals() -> None:
        scenario.run.drain(Ending.SIGINT)
        scenario.run.abort(Ending.SIGINT)

    await play_and(scenario, at=1.0, do=signals)
    assert trio.current_time() == 1.0
    assert scenario.sink.indexes == list(range(5))
    assert scenario.errors("a") == ["cancelled"] * 5
    assert scenario.errors("b") == [None, None, None, "cancelled", "cancelled"]
    assert scenario.sink.hurried_at == 1.0


async def test_abort_before_the_start_still_accounts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A run that is stopped before it read anything ends at once, without lines."""
    scenario = Scenario({"a": slow}, source=ListSource([(50.0, [1])]))
    scenario.run.drain(Ending.SIGINT)
    await scenario.play()
    assert trio.current_time() == 0.0
    assert scenario.sink.results == []


@pytest.mark.parametrize(
    ("stop", "at", "patience"),
    [("drain", 31.0, 30.0), ("abort", 1.0, 5.0), ("deadline", 20.0, 30.0)],
    ids=str,
)
async def test_stopped_run_bounds_its_wait_for_the_consumer(
    autojump_clock: trio.testing.MockClock, stop: str, at: float, patience: float
) -> None:
    """The consumer may pause for the drain timeout, or for five seconds after an abort."""
    notices: list[str] = []
    sink = ListSink(delay=1000.0)
    scenario = Scenario(
        {"a": lambda v, _: Answer()},
        [1],
        sink=sink,
        deadline=20 if stop == "deadline" else None,
        drain_timeout=30,
        notify=notices.append,
    )
    actions = {
        "drain": lambda: scenario.run.drain(Ending.SIGINT),
        "abort": lambda: scenario.run.abort(Ending.SIGINT),
        "deadline": lambda: None,
    }
    await play_and(scenario, at=1.0, do=actions[stop])
    assert (sink.hurried_at, sink.patience) == (at, patience)
    until = f"the run ends when it has taken nothing for {patience:.0f}s"
    assert notices == [f"1 line waits for the reader of the output; {until}"]


async def test_closed_output_cancels_all(autojump_clock: trio.testing.MockClock) -> None:
    """When the consumer goes, nothing more is sent or awaited."""
    sink = ListSink(breaks=OutputClosed("gone"), after=1)
    scenario = Scenario(
        {"a": lambda v, _: Answer(delay=float(v))}, list(range(100)), sink=sink, api={"limit": 5}
    )
    await scenario.play()
    assert scenario.run.ending is Ending.OUTPUT_CLOSED
    assert trio.current_time() == 1.0
    assert scenario.transports["a"].in_flight == 0


async def test_broken_output_is_reported(autojump_clock: trio.testing.MockClock) -> None:
    """A full disk ends the run with the system's message, and with correct counts."""
    sink = ListSink(breaks=OutputError("No space left on device"))
    scenario = Scenario({"a": lambda v, _: Answer(delay=1.0)}, [1, 2], sink=sink)
    await scenario.play()
    assert scenario.run.ending is Ending.OUTPUT_BROKEN
    assert str(scenario.run.error) == "No space left on device"
    assert (scenario.run.statistics.read, scenario.run.statistics.written) == (2, 0)


class _Breaks(ListSource):
    async def next_chunk(self) -> list[Record]:
        if records := await super().next_chunk():
            return records
        raise InputError("cannot read x: Input/output error")


async def test_broken_input_keeps_what_came_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Where the input breaks off, the records before the break are processed as usual."""
    scenario = Scenario({"a": slow}, source=_Breaks([(0.0, [1, 2, 3])]))
    await scenario.play()
    assert scenario.errors("a") == [None] * 3
    assert scenario.run.ending is Ending.INPUT_BROKEN
    assert isinstance(scenario.run.error, InputError)


async def test_deadline_after_broken_input_is_the_ending(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The deadline has stopped the run, even if there was no more input."""
    scenario = Scenario({"a": slow}, source=_Breaks([(0.0, [1])]), deadline=2)
    await scenario.play()
    assert scenario.run.ending is Ending.DEADLINE
    assert scenario.errors("a") == ["deadline"]
