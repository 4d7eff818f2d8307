"""A slow record at the head of the line idles no slot if the window may be stretched."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import Answer, ListSink, Scenario, Script, answers
from support.thoroughness import share_of

from tmux_fanout.core.ending import Ending

SLOW = 1000.0
QUICK = 1.0
SLOW_KEY = {"url": "", "endpoints": [{"url": "http://eu.test", "rate": "1/s"}]}
PATIENT = {"timeout": "1h", "attempt_timeout": "1h"}


def slow_head(value: Any, _: int) -> Answer:
    """Answer the first record slowly, and the others quickly."""
    return Answer(SLOW if value in (0, [0]) else QUICK)


def sent_early(scenario: Scenario, name: str = "a", before: float = SLOW) -> int:
    return sum(at < before for at, _ in scenario.transports[name].sent_at)


@pytest.mark.parametrize(
    ("window", "count", "early"),
    [
        pytest.param(None, 3000, 3000, id="default"),
        pytest.param(None, 9000, 8192, id="default-to-the-end"),
        pytest.param(1024, 3000, 1024, id="as-configured"),
        pytest.param(7, 3000, 7, id="as-configured-and-small"),
    ],
)
async def test_window_of_default_size_is_stretched(
    autojump_clock: trio.testing.MockClock, window: int | None, count: int, early: int
) -> None:
    """The default size is stretched up to eightfold; a configured size never is."""
    scenario = Scenario({"a": slow_head}, list(range(count)), api=PATIENT, window=window)
    await scenario.play()
    assert sent_early(scenario) == early
    assert scenario.sink.indexes == list(range(count))


@pytest.mark.parametrize(
    ("each", "seconds"),
    [
        pytest.param({}, 15.0, id="limit"),  # six of the seven slots have 90 records
        pytest.param({"a": {"limit": {"min": 7, "max": 7}}}, 15.0, id="adaptive"),
        pytest.param({"a": {"rate": "2/s"}}, 45.0, id="rate"),
        pytest.param({"b": {"after": ["a"]}}, 15.0, id="chain"),
        pytest.param({"a": {"after": ["b"]}}, 16.0, id="chain-of-the-slow-one"),
        pytest.param({"a": {"batch": {"size": 1}}}, 15.0, id="batches"),
        pytest.param({"b": {"when": "`false`"}}, 15.0, id="one-is-not-called"),
    ],
)
async def test_no_slot_idles_behind_a_slow_head(
    autojump_clock: trio.testing.MockClock, each: dict[str, Any], seconds: float
) -> None:
    """All other records finish as soon as without it, whatever holds them up."""
    echo = lambda value, attempt: slow_head(value, attempt)._replace(body=None)  # noqa: E731
    scenario = Scenario(
        {"a": echo, "b": answers(Answer(QUICK))},
        list(range(91)),
        api={**PATIENT, "limit": 7},
        each=each,
        window=28,
        stretched_to=91,
    )
    await scenario.play()
    assert scenario.sink.indexes == list(range(91))
    last = max(at for at, _ in scenario.transports["a"].sent_at)
    assert last == pytest.approx(seconds, abs=1.0)


async def test_total_limit_leaves_no_slot_idle(autojump_clock: trio.testing.MockClock) -> None:
    """Slots that all APIs share are kept busy, too: five of them make 180 calls."""
    scenario = Scenario(
        {"a": slow_head, "b": answers(Answer(QUICK))},
        list(range(91)),
        api=PATIENT,
        total_limit=6,
        window=28,
        stretched_to=91,
    )
    await scenario.play()
    assert max(sent_early(scenario, name) for name in "ab") == 91
    assert max(at for at, _ in scenario.transports["a"].sent_at) == pytest.approx(36.0, abs=2.0)


@pytest.mark.parametrize(
    ("each", "before"),
    [
        pytest.param({"b": {"limit": 1}}, 30.0, id="slots-taken"),
        pytest.param({"b": {"rate": "1/s"}}, 30.0, id="rate"),
        pytest.param({"b": SLOW_KEY}, 30.0, id="rate-of-an-endpoint"),
        pytest.param({"a": {"rate": "1/s"}, "b": {"after": ["a"]}}, 30.0, id="chain"),
    ],
)
async def test_window_is_not_stretched_for_records_that_would_wait(
    autojump_clock: trio.testing.MockClock, each: dict[str, Any], before: float
) -> None:
    """While half of the window waits for one API, more records would not help the idle ones."""
    scenario = Scenario(
        {"a": slow_head, "b": answers(Answer(QUICK))},
        list(range(300)),
        api=PATIENT,
        each=each,
        window=80,
        stretched_to=300,
    )
    await scenario.play()
    assert sent_early(scenario, before=before) <= 80
    assert sent_early(scenario) == 300


async def test_window_is_not_stretched_for_a_slow_consumer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Records that wait for the consumer do not wait for the head of the line."""
    scenario = Scenario(
        {"a": answers(Answer(QUICK))},
        list(range(300)),
        sink=ListSink(delay=10.0),
        window=20,
        stretched_to=200,
    )
    ahead = 0

    async def watch() -> None:
        nonlocal ahead
        while True:
            await trio.sleep(0.5)
            ahead = max(ahead, sent_early(scenario) - len(scenario.sink.results))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await scenario.play()
        nursery.cancel_scope.cancel()
    assert ahead == 20


async def test_stretched_window_keeps_to_its_bytes(autojump_clock: trio.testing.MockClock) -> None:
    """A stretched window holds a quarter of its bytes at most, responses included."""
    scenario = Scenario(
        {"a": lambda v, n: slow_head(v, n)._replace(body=b'"' + b"x" * 98 + b'"')},
        list(range(400)),
        api={**PATIENT, "limit": 2},
        window=20,
        stretched_to=400,
        window_bytes=40_000,
    )
    await scenario.play()
    assert 95 <= sent_early(scenario) <= 102
    assert scenario.sink.indexes == list(range(400))


async def test_drain_with_a_stretched_window(autojump_clock: trio.testing.MockClock) -> None:
    """After a signal, all admitted records and the rest of the chunk are written."""
    scenario = Scenario(
        {"a": slow_head},
        list(range(100)),
        api={**PATIENT, "limit": 5},
        window=20,
        stretched_to=80,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        await trio.sleep(10.0)
        scenario.run.drain(Ending.SIGINT)
    assert scenario.sink.indexes == list(range(100))
    assert 20 < scenario.run.statistics.ok < 80
    assert trio.current_time() == 40.0


DELAYS = st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.0]), min_size=1, max_size=30)


def play(scenario: Scenario) -> float:
    """Run a scenario, and return its seconds in virtual time."""

    async def main() -> float:
        began = trio.current_time()
        await scenario.play()
        return trio.current_time() - began

    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(main, clock=clock, strict_exception_groups=True)


@settings(max_examples=share_of(100))
@given(delays=DELAYS, count=st.integers(0, 60), limit=st.integers(1, 5))
def test_stretched_window_is_as_good_as_an_unbounded_one(
    delays: list[float], count: int, limit: int
) -> None:
    """Whatever the delays, the run takes exactly as long."""
    script: Script = lambda value, _: Answer(delays[value % len(delays)])  # noqa: E731
    values, api = list(range(count)), {"limit": limit}
    endless = Scenario({"a": script}, values, api=api, window=100)
    stretched = Scenario({"a": script}, values, api=api, window=4 * limit, stretched_to=100)
    assert play(stretched) == pytest.approx(play(endless))
    assert stretched.sink.indexes == values


@settings(max_examples=share_of(150))
@given(
    delays=st.dictionaries(st.sampled_from("abc"), DELAYS, min_size=1),
    count=st.integers(0, 60),
    limit=st.integers(1, 8),
    total=st.none() | st.integers(1, 8),
    window=st.integers(1, 20),
    stretched_to=st.integers(1, 50),
    writing=st.sampled_from([0.0, 0.5]),
)
def test_any_schedule_keeps_to_the_stretched_window(
    delays: dict[str, list[float]],
    count: int,
    limit: int,
    total: int | None,
    window: int,
    stretched_to: int,
    writing: float,
) -> None:
    """All results come out in order, and no record is sent beyond the stretched window."""

    def script(mine: list[float]) -> Script:
        def answer(value: Any, _: int) -> Answer:
            assert value < len(scenario.sink.results) + max(window, stretched_to)
            return Answer(mine[value % len(mine)])

        return answer

    scenario = Scenario(
        {name: script(mine) for name, mine in delays.items()},
        list(range(count)),
        sink=ListSink(delay=writing),
        api={"limit": limit},
        total_limit=total,
        window=window,
        stretched_to=stretched_to,
    )
    play(scenario)
    assert scenario.sink.indexes == list(range(count))
    assert scenario.run.statistics.ok == count
    assert all(t.peak <= min(limit, total or limit) for t in scenario.transports.values())
