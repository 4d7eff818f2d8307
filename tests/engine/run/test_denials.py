"""A key that expires in the middle of a run: no records are burnt, in virtual time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario, Script, answers

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.policy.answers import describe_status

BEYOND_LIMIT = 20  # denials that show that all calls are denied


def denying(served: int, status: int = 401, until: float = 1e9) -> Script:
    """Return a script that denies everything after some answers, until a time."""
    seen = 0

    def script(value: Any, attempt: int) -> Answer:
        nonlocal seen
        seen += 1
        is_denied = seen > served and trio.current_time() < until
        return Answer(0.05, status if is_denied else 200)

    return script


def kinds(scenario: Scenario) -> Counter[str | None]:
    return Counter(scenario.errors(scenario.plan.names[0]))


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("limit", [1, 16, 64])
@pytest.mark.parametrize(
    ("status", "rules"),
    [(401, {}), (402, {}), (407, {}), (429, {"retry_when": "status != `429`"})],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
async def test_no_record_is_burnt(
    autojump_clock: trio.abc.Clock, status: int, rules: Any, limit: int, retries: int
) -> None:
    """The run waits for the API as if it were down, and is given up with the rest cancelled."""
    api = {"limit": limit, "retries": retries, **rules}
    scenario = Scenario({"a": denying(300, status)}, range(1000), api=api)
    await scenario.play()
    assert scenario.run.ending is Ending.GIVEN_UP
    why = describe_status(status, "")
    assert scenario.run.reason == f"a was not available for 5m ({why})"
    found = kinds(scenario)
    assert found == {None: 300, "cancelled": 700}


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("count", [30, 50, 100])
async def test_a_key_that_never_worked_burns_none(
    autojump_clock: trio.abc.Clock, count: int, retries: int
) -> None:
    """Even where no call is left that has not been denied, the run ends after a minute."""
    scenario = Scenario({"a": denying(0)}, range(count), api={"retries": retries})
    await scenario.play()
    assert (scenario.run.ending, kinds(scenario)) == (Ending.GIVEN_UP, {"cancelled": count})
    assert trio.current_time() == pytest.approx(60, abs=1)
    assert len(scenario.transports["a"].sent_at) <= count + 20


@pytest.mark.parametrize(("retries", "lost"), [(0, 130), (2, 0)])
async def test_calls_go_on_once_the_key_works_again(
    autojump_clock: trio.abc.Clock, retries: int, lost: int
) -> None:
    """Those that were denied are sent again, unless nothing may be."""
    scenario = Scenario(
        {"a": denying(300, until=40.0)}, range(1000), api={"retries": retries, "limit": 64}
    )
    await scenario.play()
    assert scenario.run.ending is Ending.FINISHED
    assert kinds(scenario)["status"] <= lost
    assert trio.current_time() < 60


async def test_single_denials_are_about_their_records(autojump_clock: trio.abc.Clock) -> None:
    """While others are served, they end as they are, and nothing waits for them."""
    script: Script = lambda value, attempt: Answer(0.05, 403 if value % 2 else 401)  # noqa: E731
    mixed: Script = lambda value, attempt: (  # noqa: E731
        script(value, attempt) if value % 10 == 0 else Answer(0.05)
    )
    scenario = Scenario({"a": mixed}, range(400), api={"limit": 8})
    await scenario.play()
    assert kinds(scenario) == {None: 360, "status": 40}
    assert len(scenario.transports["a"].sent_at) == 400
    assert trio.current_time() == pytest.approx(400 / 8 * 0.05, abs=0.1)


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("on", [["unreachable"], [401]])
async def test_calls_go_to_a_fallback(
    autojump_clock: trio.abc.Clock, on: list[Any], retries: int
) -> None:
    """They do not wait for the key: the fallback is for an API that is down, or for a 401."""
    scenario = Scenario(
        {"a": denying(300), "b": answers(Answer(0.05))},
        range(1000),
        api={"retries": retries},
        each={"b": {"fallback_of": "a", "fallback_on": on}},
    )
    await scenario.play()
    assert scenario.run.ending is Ending.FINISHED
    assert kinds(scenario) == {None: 1000}
    assert len(scenario.transports["b"].sent_at) >= 700 - 64 - BEYOND_LIMIT
    assert trio.current_time() < 5


@pytest.mark.parametrize("retries", [0, 2])
async def test_batches(autojump_clock: trio.abc.Clock, retries: int) -> None:
    """A batch that was denied is held as a whole."""
    scenario = Scenario(
        {"a": denying(30)},
        range(1000),
        api={"batch": {"size": 10}, "limit": 8, "retries": retries},
    )
    await scenario.play()
    found = kinds(scenario)
    assert scenario.run.ending is Ending.GIVEN_UP
    assert found == {None: 300, "cancelled": 700}


async def test_hedged_calls(autojump_clock: trio.abc.Clock) -> None:
    scenario = Scenario(
        {"a": denying(300)},
        range(1000),
        api={"hedge": 0.01, "idempotent": True, "limit": 16},
    )
    await scenario.play()
    found = kinds(scenario)
    assert scenario.run.ending is Ending.GIVEN_UP
    assert found["status"] == 0
    assert found[None] + found["cancelled"] == 1000


@pytest.mark.parametrize("balance", ["round-robin", "least-in-flight", "failover"])
async def test_an_endpoint_whose_key_expires_leaves_its_calls_to_the_other(
    autojump_clock: trio.abc.Clock, balance: str
) -> None:
    """Nothing is lost, and the endpoint is hardly called any more."""
    seen = 0

    def script(value: Any, attempt: int) -> Answer:
        nonlocal seen
        if "eu" in scenario.transports["a"].urls[-1]:
            seen += 1
            return Answer(0.05, 200 if seen <= 100 else 401)
        return Answer(0.05)

    scenario = Scenario(
        {"a": script},
        range(1000),
        api={
            **{"url": "", "endpoints": ["http://eu.test", "http://us.test"]},
            **{"balance": balance, "limit": 16},
        },
    )
    await scenario.play()
    assert (scenario.run.ending, kinds(scenario)) == (Ending.FINISHED, {None: 1000})
    assert 100 <= seen <= 100 + 16 + 2 * BEYOND_LIMIT


async def test_calls_that_are_held_are_lost_to_the_winner(autojump_clock: trio.abc.Clock) -> None:
    """`first`: what is held is settled like any call that is no longer needed."""
    scenario = Scenario(
        {"a": denying(0), "b": answers(Answer(1.0))},
        range(40),
        api={"limit": 40, "retries": 0},
        join="first",
    )
    await scenario.play()
    assert kinds(scenario) == {"lost": 40}
    assert trio.current_time() == pytest.approx(1.0)


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_deadline_ends_what_is_held(autojump_clock: trio.abc.Clock, retries: int) -> None:
    scenario = Scenario({"a": denying(10)}, range(100), api={"retries": retries}, deadline=5)
    await scenario.play()
    found = kinds(scenario)
    assert found == {None: 10, "deadline": 90}
    assert trio.current_time() == pytest.approx(5.0)
    assert scenario.run.window.bytes == 0


@pytest.mark.parametrize("down", [0, 40])
@pytest.mark.parametrize("count", [60, 240])
async def test_denied_calls_end_if_they_may_not_be_sent_to_the_other_endpoint(
    autojump_clock: trio.abc.Clock, count: int, down: int
) -> None:
    """`retries = 0`: no call waits for the endpoint that denies them all."""

    def script(value: Any, attempt: int) -> Answer:
        if "eu" in scenario.transports["a"].urls[-1]:
            return Answer(0.1, 503 if value < down else 401)
        return Answer(0.1)

    scenario = Scenario(
        {"a": script},
        range(count),
        api={
            **{"url": "", "endpoints": ["http://eu.test", "http://us.test"]},
            **{"balance": "round-robin", "limit": 8, "retries": 0},
        },
    )
    with trio.fail_after(1000):
        await scenario.play()
    assert scenario.run.ending is Ending.FINISHED
    found = kinds(scenario)
    assert 0 < found["status"] <= 8 + 2 * BEYOND_LIMIT
    assert found[None] == count - found["status"]


@pytest.mark.parametrize("window_bytes", [4000, 10_000, 20_000])
@pytest.mark.parametrize("limit", [4, 8])
async def test_a_denied_head_of_the_line_does_not_keep_the_window_full(
    autojump_clock: trio.abc.Clock, limit: int, window_bytes: int
) -> None:
    """A call that would tell more goes although it waits for room in the window."""
    big = b'"' + b"x" * 3000 + b'"'

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.9 + 0.01 * value, body=big) if value else Answer(1.0, 401)

    scenario = Scenario({"a": script}, range(60), api={"limit": limit}, window_bytes=window_bytes)
    with trio.fail_after(1000):
        await scenario.play()
    assert scenario.errors("a") == ["status"] + [None] * 59


@pytest.mark.parametrize("limit", [2, 4])
async def test_each_denied_head_of_the_line_makes_room(
    autojump_clock: trio.abc.Clock, limit: int
) -> None:
    """Also where the next one is denied as well, and answers of another API fill the window."""
    big = b'"' + b"x" * 3000 + b'"'
    scenario = Scenario(
        {
            "a": lambda value, _: Answer(1.0, 401 if value % 20 < 2 else 200),
            "b": answers(Answer(0.99, body=big)),
        },
        range(60),
        api={"limit": limit},
        window_bytes=2000,
    )
    with trio.fail_after(1000):
        await scenario.play()
    assert scenario.sink.indexes == list(range(60))
    assert [kind == "status" for kind in scenario.errors("a")] == [n % 20 < 2 for n in range(60)]


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("window_bytes", [2000, 40_000])
@pytest.mark.parametrize("served", [0, 30])
@pytest.mark.parametrize("limit", [1, 8])
async def test_no_record_is_burnt_where_the_window_is_overfull(
    autojump_clock: trio.abc.Clock, limit: int, served: int, window_bytes: int, retries: int
) -> None:
    """The answers of another API fill it, so that each call waits to be the head of the line."""
    scenario = Scenario(
        {"a": denying(served), "b": answers(Answer(0.04, body=b'"' + b"x" * 3000 + b'"'))},
        range(100),
        api={"limit": limit, "retries": retries},
        window_bytes=window_bytes,
    )
    await scenario.play()
    assert scenario.run.ending is Ending.GIVEN_UP
    found = kinds(scenario)
    assert found[None] == served
    assert found["cancelled"] == len(scenario.sink.results) - served
