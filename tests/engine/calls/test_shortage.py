"""Shortages of files and ports on this machine, in virtual time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from support.scripted import Answer, ListSource, Scenario, ScriptedTransport, answers
from support.witness import callers, check_nothing_is_held

from tmux_fanout.core.errors import TransportError

_WORDS = {"local ports": "no local port is left", "open files": "too many open files"}


def short(what: str = "open files") -> Answer:
    failure = TransportError("connect", _WORDS[what], sent=False, transient=True, shortage=what)
    return Answer(failure=failure)


def with_room_for(connections: int, count: int, **api: Any) -> tuple[Scenario, list[str]]:
    """Return a run on a machine with room for so many connections, and what it reports."""
    messages: list[str] = []

    def script(value: Any, attempt: int) -> Answer:
        return short("local ports") if transport().in_flight > connections else Answer(0.1)

    def transport() -> ScriptedTransport:
        return scenario.transports["a"]

    scenario = Scenario({"a": script}, list(range(count)), api=api, notify=messages.append)
    return scenario, messages


@pytest.mark.parametrize("limit", [8, {"min": 2, "max": 8}, 100])
async def test_a_shortage_makes_it_slower_and_loses_nothing(
    autojump_clock: object, limit: Any
) -> None:
    """With 4 ports, a limit of 8 or more, and far more work than fits in the timeout, all is ok."""
    scenario, messages = with_room_for(4, 400, limit=limit, timeout=5, breaker={"failures": 1})
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() < 16.0  # 10.0 is the minimum
    assert all(result["a"].attempts == 1 for result in scenario.sink.results)
    assert max(result["a"].seconds for result in scenario.sink.results) < 3.0
    advice = "widen net.ipv4.ip_local_port_range, or lower the limit"
    assert messages == [f"a: out of local ports, so fewer calls run at once; {advice}"]
    check_nothing_is_held(callers(scenario)[0])


async def test_a_shortage_that_ends_is_forgotten(autojump_clock: object) -> None:
    """When the shortage is over, as many calls run at once as before."""

    def script(value: Any, attempt: int) -> Answer:
        return short() if trio.current_time() < 1.0 else Answer(1.0)

    scenario = Scenario({"a": script}, list(range(400)), api={"limit": 40})
    assert all(result.ok for result in await scenario.play())
    assert scenario.transports["a"].peak == 40
    assert trio.current_time() < 16.0


async def test_calls_do_not_wait_for_ever_though_nothing_can_be_had(
    autojump_clock: object,
) -> None:
    """A shortage is waited out for a call's time; from then on it is a failure like any other."""
    scenario = Scenario({"a": answers(short())}, list(range(20)), api={"timeout": 2, "limit": 8})
    results = await scenario.play()
    assert scenario.errors("a") == ["connect"] * 20
    assert [result["a"].attempts for result in results] == [3] * 20
    assert 2.0 < max(result["a"].seconds for result in results) <= 2.0 + 0.1 + 0.2
    assert trio.current_time() < 2.5
    error = results[0]["a"].error
    assert error is not None
    assert (error.message, error.ambiguous) == ("too many open files after 3 attempts", False)


async def test_a_call_has_all_its_time_after_a_shortage(autojump_clock: object) -> None:
    """The time spent on a shortage does not count towards the call's timeout."""

    def script(value: Any, attempt: int) -> Answer:
        return short() if trio.current_time() < 1.0 else Answer(1.5)

    scenario = Scenario({"a": script}, [0], api={"timeout": 2})
    (result,) = await scenario.play()
    assert (scenario.errors("a"), result["a"].attempts) == ([None], 1)
    assert trio.current_time() >= 2.5


async def test_a_shortage_at_one_api_holds_up_no_other(autojump_clock: object) -> None:
    """The other API is not slowed down."""
    scenario = Scenario(
        {"a": answers(short()), "b": answers(Answer(0.1))},
        list(range(10)),
        api={"limit": 2, "timeout": 3},
    )
    results = await scenario.play()
    assert all(result["b"].ok and result["b"].seconds == pytest.approx(0.1) for result in results)


async def test_a_shortage_long_after_another_is_waited_for_as_well(autojump_clock: object) -> None:
    """A later shortage is waited out, even if the first one was never overcome."""

    def script(value: Any, attempt: int) -> Answer:
        return short() if trio.current_time() < 101.0 else Answer()

    source = ListSource([(0.0, [0]), (100.0, [1])])
    scenario = Scenario({"a": script}, source=source, api={"timeout": 2})
    await scenario.play()
    assert math.isclose(trio.current_time(), 101.0, abs_tol=0.2)
    assert scenario.errors("a") == ["connect", None]
