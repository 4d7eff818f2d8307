"""What the statistics and notices of a run attribute its waiting to, in virtual time."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import trio
from support.scripted import Answer, ListSink, ListSource, Scenario, answers

from tmux_fanout.core.display.bottleneck import bottleneck
from tmux_fanout.core.errors import TransportError

REFUSED = TransportError("connect", "refused", sent=False, transient=True)


def in_windows(quota: int, seconds: float) -> Any:
    """Return a script of an API with a quota for each window of some seconds."""
    served: Counter[int] = Counter()

    def script(value: Any, attempt: int) -> Answer:
        window, elapsed = divmod(trio.current_time(), seconds)
        if served[int(window)] == quota:
            wait = str(seconds - elapsed).encode()
            return Answer(0.0, 429, headers=((b"retry-after", wait),))
        served[int(window)] += 1
        return Answer(0.1)

    return script


def up_after(seconds: float) -> Any:
    """Return a script of an API that is down at first."""
    return lambda value, attempt: (
        Answer(0.0, failure=REFUSED) if trio.current_time() < seconds else Answer(0.1)
    )


@pytest.mark.parametrize(
    ("script", "api", "cause", "seconds", "message"),
    [
        (answers(Answer(1.0)), {"limit": 5}, "limit", 9.0, "a, with a limit of 5 and a median of"),
        (answers(Answer(0.1)), {"rate": "5/s"}, "rate", 9.8, "a's rate limit took 99% of the time"),
        (in_windows(10, 10.0), {"limit": 5}, "paused", 37.0, "a asked to be left alone for"),
        (up_after(8.0), {}, "breaker", 8.0, "a was down for"),
    ],
    ids=["limit", "rate", "pause", "breaker"],
)
async def test_what_holds_an_api(
    autojump_clock: object,
    script: Any,
    api: dict[str, Any],
    cause: Any,
    seconds: float,
    message: str,
) -> None:
    """The time that the first call waits counts for its cause, which the summary names."""
    scenario = Scenario({"b": answers(Answer(0.01)), "a": script}, list(range(50)), each={"a": api})
    assert all(result.ok for result in await scenario.play())
    b, a = scenario.run.statistics.apis
    assert a.held.seconds[cause] == pytest.approx(seconds, abs=0.5)
    assert sum(b.held.seconds.values()) == pytest.approx(0.0, abs=0.02)
    assert (bottleneck(scenario.run.statistics) or "").startswith(message)


async def test_phases_of_attempts(autojump_clock: object) -> None:
    """Connecting, waiting and backing off are counted separately, over all attempts."""
    script = answers(Answer(1.0, 503, connect=0.5), Answer(2.0))
    scenario = Scenario({"a": script}, [1, 2], api={"limit": 2})
    await scenario.play()
    spent = scenario.run.statistics.apis[0].spent
    assert spent.waiting == pytest.approx(2 * 3.5)  # the script reports no connection time
    assert 0.0 < spent.backing_off < 0.2
    assert spent.queueing == pytest.approx(0.0)


async def test_head_of_line_holds_the_output(autojump_clock: object) -> None:
    """A slow record and a window that fills behind it hold up the output."""
    script = lambda value, attempt: Answer(10.0 if value == 0 else 0.1)  # noqa: E731
    scenario = Scenario({"a": script}, list(range(100)), window=20)
    await scenario.play()
    held = scenario.run.statistics.output_held.seconds
    assert held["head_of_line"] == pytest.approx(10.2, abs=0.2)
    assert (bottleneck(scenario.run.statistics) or "").startswith("waiting for slow records")


async def test_consumer_holds_the_output(autojump_clock: object) -> None:
    """A slow consumer is named as the cause."""
    scenario = Scenario({"a": answers(Answer(0.1))}, list(range(100)), sink=ListSink(delay=5.0))
    await scenario.play()
    why = "waiting for the reader of the output took 9"
    assert (bottleneck(scenario.run.statistics) or "").startswith(why)


async def test_input_is_waited_for(autojump_clock: object) -> None:
    """A trickle of input is named as the cause."""
    source = ListSource([(5.0, [1]), (5.0, [2])])
    scenario = Scenario({"a": answers(Answer(0.1))}, source=source)
    await scenario.play()
    assert scenario.run.statistics.input_seconds == pytest.approx(10.0)
    assert (bottleneck(scenario.run.statistics) or "").startswith("waiting for input took 99%")


async def test_nothing_took_long(autojump_clock: object) -> None:
    """Where nothing waited, no cause is named."""
    scenario = Scenario({"a": answers(Answer(1.0))}, list(range(10)))
    await scenario.play()
    assert bottleneck(scenario.run.statistics) is None


def watched(scripts: dict[str, Any], count: int, **settings: Any) -> tuple[Scenario, list[Any]]:
    notices: list[Any] = []
    scenario = Scenario(
        scripts,
        list(range(count)),
        notify=lambda text: notices.append((round(trio.current_time(), 1), text)),
        watch_head=True,
        **settings,
    )
    return scenario, notices


async def test_a_head_that_blocks_is_reported(autojump_clock: object) -> None:
    """After 5 s, and again after 10, a notice names the record, the API and the attempt."""
    slow = lambda value, attempt: Answer(16.0 if value == 3 else 0.1)  # noqa: E731
    scenario, notices = watched({"a": slow, "b": answers(Answer(0.1))}, 50)
    await scenario.play()
    what = "record 3 has held up the output for {}: a: attempt 1 is under way"
    assert notices == [(5.1, what.format("5s")), (10.1, what.format("10s"))]


async def test_a_head_that_waits_for_another_attempt_is_reported(autojump_clock: object) -> None:
    """The notice names the failure of the last attempt."""
    pause = Answer(0.0, 429, headers=((b"retry-after", b"7"),))
    scenario, notices = watched({"a": answers(pause, Answer(0.1))}, 1)
    await scenario.play()
    what = "record 0 has held up the output for 5s: a: waits for attempt 2, after HTTP 429"
    assert notices[1:] == [(5.0, what), (7.1, "a serves again, after 7.1s")]
    assert re.fullmatch(r"a is paused until [\d:]{8}, as it asked \(HTTP 429\)", notices[0][1])


async def test_a_breaker_that_opens_and_closes_is_reported(autojump_clock: object) -> None:
    """Each is reported once, however many probes there were."""
    scenario, notices = watched({"a": up_after(2.5)}, 20)
    assert all(result.ok for result in await scenario.play())
    assert notices == [
        (1.0, "a is not available (refused); calls wait up to 1m for it"),
        (3.1, "a serves again, after 3.1s"),
    ]


async def test_pauses_do_not_slow_an_api_down(autojump_clock: object) -> None:
    """What was served between two pauses is no limit: each window of a quota is used up in time."""
    scenario = Scenario({"a": in_windows(10, 10.0)}, list(range(200)), api={"limit": 5})
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() < 1.05 * 190.0
