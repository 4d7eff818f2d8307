"""The timings of calls, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario, ScriptedTransport, TasklessScripted, answers

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.results.outcome import Timings
from tmux_fanout.transports.base import Progress

REFUSED = TransportError("connect", "refused", sent=False, transient=True)


class Measured(ScriptedTransport):
    """A scripted transport that connects, and gets the first byte half a second before the last."""

    async def play(self, request: Request, progress: Progress) -> Response:
        if len(self.sent_at) % 2 == 0:
            await trio.sleep(0.25)
            progress.connected_at = trio.current_time()
        response = await super().play(request, progress)
        progress.first_byte_at = trio.current_time()
        await trio.sleep(0.5)
        return response


def timings(scenario: Scenario) -> list[Timings | None]:
    return [result["a"].timings for result in scenario.sink.results]


async def test_timings_are_those_of_the_last_attempt(autojump_clock: object) -> None:
    """A connection is made by the first of two calls; the second one uses it."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))},
        [1, 2],
        transport=Measured,
        api={"limit": 1},
        timings=True,
    )
    await scenario.play()
    assert timings(scenario) == [Timings(0.25, 1.25, 1.75, 1), Timings(None, 1.0, 1.5, 1)]


@pytest.mark.parametrize("transport", [ScriptedTransport, TasklessScripted])
async def test_response_that_comes_whole_begins_as_it_ends(
    autojump_clock: object, transport: type[ScriptedTransport]
) -> None:
    """Its first byte is not told from its last."""
    scenario = Scenario({"a": answers(Answer(1.0))}, [1], transport=transport, timings=True)
    await scenario.play()
    assert timings(scenario) == [Timings(None, 1.0, 1.0, 1)]


async def test_retried_call_has_the_timings_of_its_last_attempt(autojump_clock: object) -> None:
    """`seconds` has all of them, and the pauses."""
    scenario = Scenario(
        {"a": answers(Answer(5.0, failure=REFUSED), Answer(1.0))}, [1], timings=True
    )
    (result,) = await scenario.play()
    assert (result["a"].attempts, result["a"].ok) == (2, True)
    assert result["a"].seconds > 6
    assert result["a"].timings == Timings(None, 1.0, 1.0, 1)


async def test_failed_call_has_no_first_byte(autojump_clock: object) -> None:
    """Neither after a failure, nor when its time is over."""
    scenario = Scenario(
        {"a": lambda value, _: Answer(2.0, failure=REFUSED) if value else Answer(99.0)},
        [0, 1],
        api={"retries": 0, "attempt_timeout": 3.0, "method": "PUT"},
        timings=True,
    )
    await scenario.play()
    assert timings(scenario) == [Timings(None, None, 3.0, 0), Timings(None, None, 2.0, 0)]


async def test_call_that_was_not_made_has_none(autojump_clock: object) -> None:
    """Nothing was measured."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))}, [1], api={"when": "missing == 'x'"}, timings=True
    )
    await scenario.play()
    assert timings(scenario) == [None]


async def test_members_of_a_batch_share_theirs(autojump_clock: object) -> None:
    """They went out in one request."""

    def echo(value: Any, attempt: int) -> Answer:
        return Answer(1.0, body=b"[7,7]")

    scenario = Scenario({"a": echo}, [1, 2], api={"batch": {"size": 2}}, timings=True)
    await scenario.play()
    assert timings(scenario) == [Timings(None, 1.0, 1.0, 5)] * 2


async def test_there_are_none_unless_they_are_asked_for(autojump_clock: object) -> None:
    """An outcome is as ever then."""
    scenario = Scenario({"a": answers(Answer(1.0))}, [1])
    await scenario.play()
    assert timings(scenario) == [None]


async def test_fallback_has_its_own(autojump_clock: object) -> None:
    """They are those of the request that was made last."""
    scenario = Scenario(
        {"a": answers(Answer(3.0, failure=REFUSED)), "b": answers(Answer(1.0))},
        [1],
        each={"a": {"retries": 0}, "b": {"fallback_of": "a"}},
        timings=True,
    )
    (result,) = await scenario.play()
    assert (result["a"].via, result["a"].attempts) == ("b", 2)
    assert result["a"].timings == Timings(None, 1.0, 1.0, 1)


async def test_hedged_call_has_those_of_the_attempt_that_counts(autojump_clock: object) -> None:
    """The other one is cancelled, and ends later."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(9.0 if value == 50 and attempt == 1 else 0.1)},
        list(range(60)),
        api={"hedge": "1s", "method": "PUT", "limit": 5},
        timings=True,
    )
    results = await scenario.play()
    assert results[50]["a"].attempts == 2
    timings = results[50]["a"].timings
    assert timings
    assert timings.total == pytest.approx(0.1)


async def test_call_that_is_cut_short_has_those_of_the_attempt_before(
    autojump_clock: object,
) -> None:
    """An attempt that was broken off tells nothing; without another there are none."""
    scenario = Scenario(
        {"a": lambda value, _: Answer(0.5, failure=REFUSED) if value else Answer(99.0)},
        [0, 1],
        api={"retries": 1000},
        timings=True,
        deadline=2.0,
    )
    await scenario.play()
    first, second = timings(scenario)
    assert scenario.errors("a") == ["deadline", "deadline"]
    assert first is None
    assert second == Timings(None, None, 0.5, 0)
