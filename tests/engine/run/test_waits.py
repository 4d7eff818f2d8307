"""What the live display says a run waits for, and what is said once of a pause."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import trio
from support.scripted import Answer, Scenario, Script, answers

from tmux_fanout.core.report.progress import HeadOfLine
from tmux_fanout.core.report.waits import Wait

PAUSE = Answer(0.1, 429, headers=((b"retry-after", b"43"),))
DOWN = Answer(0.1, 503)
USED_UP = ((b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"30"))


async def waits_at(scenario: Scenario, *times: float) -> list[Wait | None]:
    """Play a scenario, and return what its API waits for at these times."""
    seen: list[Wait | None] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        for time in times:
            await trio.sleep_until(time)
            seen += scenario.run.waits()
        nursery.cancel_scope.cancel()
    return seen


def rounded(wait: Wait | None) -> tuple[str, str, float | None] | None:
    return (wait.cause, wait.why, wait.seconds and round(wait.seconds, 1)) if wait else None


@pytest.mark.parametrize(
    ("script", "api", "time", "expected"),
    [
        pytest.param(answers(Answer(5.0)), {}, 1.0, None, id="nothing"),
        pytest.param(
            answers(PAUSE, Answer()),
            {"limit": 2},
            13.1,
            ("paused", "Retry-After", 30.0),
            id="pause",
        ),
        pytest.param(
            answers(PAUSE, Answer()), {}, 13.1, ("paused", "Retry-After", 30.0), id="pause-of-all"
        ),
        pytest.param(
            answers(Answer(0.1, headers=USED_UP)),
            {"limit": 2},
            10.1,
            ("paused", "its rate limit headers", 20.0),
            id="quota",
        ),
        pytest.param(answers(DOWN), {"limit": 1}, 9.0, ("breaker", "HTTP 503"), id="breaker"),
        pytest.param(answers(Answer()), {"rate": "1/m"}, 10.0, ("rate", "", 50.0), id="rate"),
        pytest.param(answers(Answer(9.0)), {"limit": 1}, 5.0, None, id="slots"),
    ],
)
async def test_run_tells_what_its_apis_wait_for(
    autojump_clock: trio.abc.Clock,
    script: Script,
    api: dict[str, object],
    time: float,
    expected: tuple[object, ...] | None,
) -> None:
    """A pause, a breaker and a rate are told with the seconds that they last; slots are not."""
    start = trio.current_time()
    scenario = Scenario({"score": script}, list(range(20)), api=api)
    (wait,) = await waits_at(scenario, start + time)
    told = rounded(wait)
    assert (told and told[: len(expected or ())]) == expected


async def test_call_that_waits_for_itself_is_told(autojump_clock: trio.abc.Clock) -> None:
    """The last call of a run may be asked to come back late, while the API serves all others."""
    start = trio.current_time()

    def script(value: int, attempt: int) -> Answer:
        return PAUSE if value == 99 and attempt == 1 else Answer(0.1)

    scenario = Scenario({"score": script}, list(range(100)), api={"limit": 1})
    waits = await waits_at(scenario, start + 5.0, start + 23.0)
    assert [rounded(wait) for wait in waits] == [None, ("retry", "HTTP 429", 30.0)]
    assert waits[1] is not None
    assert waits[1].calls == 1


async def test_nothing_is_waited_for_before_and_after_a_run(
    autojump_clock: trio.abc.Clock,
) -> None:
    """There are no calls then."""
    scenario = Scenario({"a": answers(Answer()), "b": answers(Answer())}, [1])
    assert scenario.run.waits() == [None, None]
    await scenario.play()
    assert scenario.run.waits() == [None, None]


async def test_pause_is_told_once_as_it_begins_and_once_as_it_ends(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Neither the calls in flight nor the careful start afterwards add a line."""
    start = trio.current_time()
    messages: list[tuple[float, str]] = []

    def script(value: int, attempt: int) -> Answer:
        return PAUSE if trio.current_time() < start + 1.0 else Answer(0.1)

    scenario = Scenario(
        {"score": script},
        list(range(200)),
        api={"limit": 4, "timeout": 600.0},
        notify=lambda text: messages.append((round(trio.current_time() - start, 1), text)),
    )
    results: Sequence[object] = await scenario.play()
    assert len(results) == 200
    assert len(messages) == 2, messages
    (began, first), (ended, last) = messages
    assert re.fullmatch(r"score is paused until \d\d:\d\d:\d\d, as it asked \(HTTP 429\)", first)
    assert last == "score serves again, after 43.1s"
    assert (began, ended) == (0.1, 43.2)


@pytest.mark.parametrize("unordered", [False, True])
async def test_run_tells_which_record_its_results_wait_for(
    autojump_clock: trio.abc.Clock, *, unordered: bool
) -> None:
    """It does while a slow record is at the head of the line, and never without an order."""
    scenario = Scenario(
        {"slow": lambda value, _: Answer(9.0 if value == 3 else 1.0)},
        list(range(10)),
        unordered=unordered,
    )
    seen = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        for _ in range(2):
            seen.append(scenario.run.head_of_line())
            await trio.sleep(2.0)
        nursery.cancel_scope.cancel()
    seen.append(scenario.run.head_of_line())
    held = HeadOfLine(3, "slow: attempt 1 is under way", 6)
    assert seen == [None, None if unordered else held, None]
