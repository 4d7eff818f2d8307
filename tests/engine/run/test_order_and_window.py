"""The order of results, and the bounds on memory and concurrency."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import (
    Answer,
    ListSink,
    ListSource,
    Scenario,
    Script,
    ScriptedTransport,
    TasklessScripted,
    answers,
)
from support.thoroughness import share_of

from tmux_fanout.engine.run.pipeline import Pipeline


async def test_results_come_in_input_order(autojump_clock: trio.testing.MockClock) -> None:
    """Output is in input order, and a record waits only for those before."""
    scenario = Scenario({"a": lambda v, _: Answer(delay=5.0 if v == 0 else 1.0)}, list(range(10)))
    await scenario.play()
    assert scenario.sink.indexes == list(range(10))
    assert scenario.sink.written_at == [5.0] * 10


async def test_unordered_results_come_as_they_complete(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With `unordered`, a slow record holds up no other."""
    scenario = Scenario(
        {"a": lambda v, _: Answer(delay=5.0 if v == 0 else 1.0)}, [0, 1, 2], unordered=True
    )
    await scenario.play()
    assert sorted(scenario.sink.indexes[:2]) == [1, 2]
    assert scenario.sink.indexes[2] == 0
    assert scenario.sink.written_at == [1.0, 1.0, 5.0]


async def test_one_slow_record_does_not_idle_the_other_slots(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """While the head of the line takes 10 s, the other slot does 10 s of work."""
    scenario = Scenario(
        {"a": lambda v, _: Answer(delay=10.0 if v == 0 else 0.5)},
        list(range(21)),
        api={"limit": 2},
    )
    await scenario.play()
    assert trio.current_time() == 10.0


async def test_all_apis_are_called_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """A record takes as long as its slowest API."""
    delays = {"a": 1.0, "b": 3.0, "c": 2.0}
    scenario = Scenario({name: answers(Answer(d)) for name, d in delays.items()}, ["x"])
    (result,) = await scenario.play()
    assert trio.current_time() == 3.0
    assert [result[name].seconds for name in delays] == [1.0, 3.0, 2.0]


@pytest.mark.parametrize(("limit", "seconds"), [(1, 12.0), (3, 4.0), (5, 3.0), (12, 1.0)])
async def test_limit_bounds_what_is_in_flight(
    autojump_clock: trio.testing.MockClock, limit: int, seconds: float
) -> None:
    """Twelve calls of one second take twelve seconds divided by the limit, rounded up."""
    scenario = Scenario({"a": lambda v, _: Answer(1.0)}, list(range(12)), api={"limit": limit})
    await scenario.play()
    assert trio.current_time() == seconds
    assert scenario.transports["a"].peak == limit


async def test_total_limit_bounds_all_apis_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Two times ten calls of one second, four at a time over both APIs, take five seconds."""
    scripts = {"a": answers(Answer(1.0)), "b": answers(Answer(1.0))}
    scenario = Scenario(scripts, list(range(10)), total_limit=4)
    await scenario.play()
    assert trio.current_time() == 5.0
    at_once = Counter(at for t in scenario.transports.values() for at, _ in t.sent_at)
    assert set(at_once.values()) == {4}


async def test_window_bounds_what_is_admitted(autojump_clock: trio.testing.MockClock) -> None:
    """While the head is stuck, only a window of records is sent."""
    scenario = Scenario(
        {"a": lambda v, _: Answer(delay=20.0 if v == 0 else 0.0)}, list(range(50)), window=8
    )
    await scenario.play()
    sent_early = [value for at, value in scenario.transports["a"].sent_at if at < 20.0]
    assert sorted(sent_early) == list(range(8))
    assert scenario.sink.indexes == list(range(50))


async def test_window_bytes_count_responses(autojump_clock: trio.testing.MockClock) -> None:
    """Large responses that wait for the head of the line stop admission, as records do."""
    scenario = Scenario(
        {"a": lambda v, _: Answer(delay=20.0 if v == 0 else 1.0, body=b'"' + b"x" * 998 + b'"')},
        list(range(50)),
        api={"limit": 2},
        window_bytes=3100,
    )
    await scenario.play()
    sent_early = [value for at, value in scenario.transports["a"].sent_at if at < 20.0]
    assert sorted(sent_early) == [0, 1, 2, 3, 4]  # three responses fit; the fourth overfills
    assert len(scenario.sink.results) == 50


async def test_record_larger_than_the_window_passes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A record of more bytes than the window is admitted alone instead of blocking the run."""
    scenario = Scenario({"a": lambda v, _: Answer(1.0)}, ["x" * 1000] * 3, window_bytes=100)
    await scenario.play()
    assert [result.ok for result in scenario.sink.results] == [True] * 3
    assert trio.current_time() == 3.0


async def test_slow_consumer_stops_the_reader(autojump_clock: trio.testing.MockClock) -> None:
    """No more than a window of records is sent ahead of a writer that is held up."""
    scenario = Scenario(
        {"a": lambda v, _: Answer()}, list(range(100)), sink=ListSink(delay=10.0), window=10
    )
    ahead = 0

    async def watch() -> None:
        nonlocal ahead
        while True:
            await trio.sleep(1.0)
            sent = len(scenario.transports["a"].sent_at)
            ahead = max(ahead, sent - len(scenario.sink.results))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await scenario.play()
        nursery.cancel_scope.cancel()
    assert scenario.sink.indexes == list(range(100))
    assert ahead == 10


async def test_trickle_is_written_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """A record that comes after a pause is written once its call is settled."""
    source = ListSource([(10.0, ["x"]), (10.0, ["y"]), (100.0, [])])
    scenario = Scenario({"a": lambda v, _: Answer(1.0)}, source=source)
    await scenario.play()
    assert scenario.sink.written_at == [11.0, 21.0]


async def test_invalid_record_keeps_its_place(autojump_clock: trio.testing.MockClock) -> None:
    """An invalid record is not sent, and its line is in its place."""
    scenario = Scenario({"a": lambda v, _: Answer(1.0)}, [b"1", b"{", b"3"])
    results = await scenario.play()
    assert [result.ok for result in results] == [True, False, True]
    assert sorted(value for _, value in scenario.transports["a"].sent_at) == [1, 3]
    assert scenario.run.statistics.errors == {"invalid_record": 1}


DELAYS = st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.0]), min_size=1, max_size=30)


class _Prefix(ListSink):
    """A sink that asserts at every write that the output is a prefix in order."""

    run: Pipeline

    async def put(self, results: Any) -> None:
        await super().put(results)
        assert self.indexes == list(range(len(self.indexes)))


@settings(max_examples=share_of(150))
@given(
    delays=st.dictionaries(st.sampled_from("abc"), DELAYS, min_size=1),
    count=st.integers(0, 40),
    limit=st.integers(1, 8),
    total=st.none() | st.integers(1, 8),
    window=st.integers(1, 20),
    writing=st.sampled_from([0.0, 0.5]),
    transport=st.sampled_from([ScriptedTransport, TasklessScripted]),
)
def test_any_schedule_comes_out_in_order(
    delays: dict[str, list[float]],
    count: int,
    limit: int,
    total: int | None,
    window: int,
    writing: float,
    transport: type[ScriptedTransport],
) -> None:
    """For any delays, limits and windows, the output is always a prefix, and limits hold."""
    sink = _Prefix(delay=writing)

    def script(mine: list[float]) -> Script:
        return lambda value, _: Answer(delay=mine[value % len(mine)])

    scenario = Scenario(
        {name: script(mine) for name, mine in delays.items()},
        list(range(count)),
        sink=sink,
        api={"limit": limit},
        total_limit=total,
        window=window,
        transport=transport,
    )
    trio.run(
        scenario.play,
        clock=trio.testing.MockClock(autojump_threshold=0),
        strict_exception_groups=True,
    )
    assert sink.indexes == list(range(count))
    assert scenario.run.statistics.ok == count
    assert all(t.peak <= min(limit, total or limit) for t in scenario.transports.values())
