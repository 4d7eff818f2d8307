"""Join policies and --max-failures, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.scripted import Answer, ListSink, ListSource, Scenario, answers
from support.witness import callers

from tmux_fanout.core.ending import Ending

FAST, SLOW, NEVER, BAD = Answer(1.0), Answer(3.0), Answer(1000.0), Answer(0.5, 404)


def kinds(scenario: Scenario) -> list[tuple[str | None, ...]]:
    """Return the kinds of errors, record by record."""
    return list(zip(*(scenario.errors(name) for name in scenario.transports)))


async def test_first_ok_wins_and_cancels_the_others(autojump_clock: object) -> None:
    """A failure does not win; the losers end at once, and name the winner."""
    scenario = Scenario(
        {"a": answers(BAD), "b": answers(NEVER), "c": answers(FAST)}, [1], join="first"
    )
    [result] = await scenario.play()
    assert trio.current_time() == 1.0
    assert result.ok
    assert kinds(scenario) == [("status", "lost", None)]
    assert result["b"].error is not None
    assert result["b"].error.message == "lost to c during attempt 1"
    assert result["b"].error.ambiguous
    assert scenario.transports["b"].in_flight == 0


async def test_quorum_waits_for_enough(autojump_clock: object) -> None:
    """Two ok outcomes of three are enough, and one is not."""
    scenario = Scenario(
        {"a": answers(SLOW), "b": answers(NEVER), "c": answers(FAST)}, [1], join="quorum:2"
    )
    [result] = await scenario.play()
    assert (trio.current_time(), result.ok) == (3.0, True)
    assert result["b"].error is not None
    assert result["b"].error.message.startswith("lost to a and c ")
    scenario = Scenario(
        {"a": answers(BAD), "b": answers(BAD), "c": answers(FAST)}, [1], join="quorum:2"
    )
    assert [result.ok for result in await scenario.play()] == [False]
    assert scenario.run.statistics.errors == {"status": 1}


async def test_best_effort_gives_the_others_a_grace_period(autojump_clock: object) -> None:
    """Outcomes within the period are kept; then the other calls are lost."""
    scenario = Scenario(
        {"a": answers(FAST), "b": answers(Answer(1.4)), "c": answers(NEVER)},
        [1],
        join="best-effort:500ms",
    )
    [result] = await scenario.play()
    assert (trio.current_time(), result.ok) == (1.5, True)
    assert kinds(scenario) == [(None, None, "lost")]
    assert result["c"].error is not None
    assert result["c"].error.message == "lost to a by 500ms during attempt 1"


async def test_nothing_waits_for_a_needless_grace_period(autojump_clock: object) -> None:
    """A complete record holds up neither its task nor the run."""
    scenario = Scenario(
        {"a": answers(FAST), "b": answers(FAST)}, list(range(50)), join="best-effort:1h"
    )
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() == 1.0


async def test_lost_in_every_state(autojump_clock: object) -> None:
    """Queued, between attempts or in flight, a call is lost at once, and its slot is free."""

    def waits(value: Any, attempt: int) -> Answer:
        return Answer(0.0, 503, headers=((b"retry-after", b"30"),)) if value == 0 else NEVER

    scenario = Scenario(
        {"winner": answers(FAST), "queued": answers(NEVER), "pausing": waits},
        [0, 1, 2],
        each={"queued": {"limit": 1}, "pausing": {"limit": 1}},
        join="first",
    )
    results = await scenario.play()
    assert trio.current_time() == 1.0
    assert kinds(scenario) == [(None, "lost", "lost")] * 3
    messages = [result["queued"].error.message for result in results if result["queued"].error]
    assert messages == ["lost to winner during attempt 1"] + ["lost to winner; not sent"] * 2
    assert all(caller.limiter.borrowed_tokens == 0 for caller in callers(scenario))


async def test_losing_one_call_leaves_the_next_on_its_slot_alone(autojump_clock: object) -> None:
    """The next attempt on its slot is not stopped."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.0, 503) if (value, attempt) == (0, 1) else Answer(0.5)

    scenario = Scenario(
        {"a": script, "winner": lambda value, attempt: Answer(0.2 if value == 0 else 5.0)},
        [0, 1],
        each={"a": {"limit": 1}},
        join="best-effort:0",
    )
    await scenario.play()
    assert kinds(scenario) == [("lost", None), (None, "lost")]


async def test_lost_members_do_not_stop_their_batch(autojump_clock: object) -> None:
    """A batch ends once all of its records are lost, and not before."""
    scenario = Scenario(
        {
            "a": lambda value, attempt: Answer(2.0),
            "b": lambda value, attempt: Answer(1.0 if value == 1 else 5.0),
        },
        [1, 2],
        each={"a": {"batch": {"size": 2}}},
        join="first",
    )
    await scenario.play()
    assert kinds(scenario) == [("lost", None), (None, "lost")]
    assert trio.current_time() == 2.0
    scenario = Scenario(
        {"a": answers(NEVER), "b": answers(FAST)},
        [1, 2],
        each={"a": {"batch": {"size": 2}}},
        join="first",
    )
    await scenario.play()
    assert kinds(scenario) == [("lost", None)] * 2
    assert scenario.transports["a"].in_flight == 0


@pytest.mark.parametrize(("max_failures", "written"), [(9, 10), ("10%", 100)])
async def test_run_is_given_up_past_so_many_failures(
    autojump_clock: object, max_failures: int | str, written: int
) -> None:
    """Records read by then get lines as cancelled; the rest is not read."""
    chunks = [(0.0, range(start, start + 50)) for start in range(0, 5000, 50)]
    scenario = Scenario(
        {"a": answers(Answer(0.1, 404))},
        source=ListSource(chunks),
        api={"limit": 1, "breaker": False},
        max_failures=max_failures,
        window=4,
    )
    results = await scenario.play()
    assert scenario.run.ending is Ending.GIVEN_UP
    assert scenario.run.statistics.errors["status"] == written
    assert len(results) < written + 200
    assert scenario.sink.indexes == list(range(len(results)))
    error = results[-1]["a"].error
    assert error is not None
    assert error.message == "the run was given up: too many records are not ok; not sent"


async def test_run_is_given_up_even_where_its_last_lines_say_so(autojump_clock: object) -> None:
    """Where the output is slow, too many failures are known only once all calls are made."""
    scenario = Scenario(
        {"a": answers(Answer(0.1, 404))},
        list(range(5)),
        sink=ListSink(delay=1.0),
        max_failures=2,
    )
    assert len(await scenario.play()) == 5
    assert scenario.run.ending is Ending.GIVEN_UP


async def test_no_task_is_left_for_a_complete_record(autojump_clock: object) -> None:
    """No grace period begins if the deciding outcome is also the last one."""
    source = ListSource([*[(0.01, [i]) for i in range(20)], (5.0, [99])])
    scenario = Scenario(
        {"a": answers(Answer(0.0)), "b": answers(FAST)},
        source=source,
        each={"b": {"after": ["a"], "when": "`false`"}},
        join="best-effort:1h",
    )
    tasks = 0

    async def watch() -> None:
        nonlocal tasks
        await trio.sleep(4.0)
        tasks = trio.lowlevel.current_statistics().tasks_living

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        before = trio.lowlevel.current_statistics().tasks_living
        await scenario.play()
    assert tasks < before + 10
