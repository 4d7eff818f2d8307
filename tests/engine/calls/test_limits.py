"""Rates, pauses, breakers and throttles, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from support.scripted import Answer, ListSource, Scenario, answers

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.report.waits import describe_wait

REFUSED = TransportError("connect", "refused", sent=False, transient=True)


def times(scenario: Scenario, name: str = "a") -> list[float]:
    return [time for time, _ in scenario.transports[name].sent_at]


def most_within(seconds: float, moments: list[float]) -> int:
    """Return the maximum number of moments in any span of this length."""
    return max(
        sum(start <= moment < start + seconds - 1e-9 for moment in moments) for start in moments
    )


@pytest.mark.parametrize("delay", [0.0, 0.5])
async def test_rate_lets_through_what_it_says(autojump_clock: object, delay: float) -> None:
    """50/s for 10 s allow 500 attempts, and never more than 55 in a second."""
    scenario = Scenario(
        {"a": answers(Answer(delay))}, list(range(600)), api={"rate": "50/s"}, deadline=10.0
    )
    await scenario.play()
    sent = times(scenario)
    assert abs(len(sent) - 500) <= 5
    assert most_within(1.0, sent) <= 55


async def test_rate_holds_on_a_clock_that_is_far_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """No call waits forever where the clock is too coarse for a fraction of a second."""
    autojump_clock.jump(98_765_432.1)
    scenario = Scenario({"a": answers(Answer())}, list(range(200)), api={"rate": "333/s"})
    await scenario.play()
    assert trio.current_time() - 98_765_432.1 == pytest.approx(0.5, abs=0.01)


async def test_rate_counts_retries(autojump_clock: object) -> None:
    """Three attempts for each record take three times as long."""
    scenario = Scenario(
        {"a": answers(Answer(0.0, 425), Answer(0.0, 425), Answer())},
        list(range(10)),
        api={"rate": "10/s"},
    )
    assert all(result.ok for result in await scenario.play())
    assert len(times(scenario)) == 30
    assert trio.current_time() == pytest.approx(2.9, abs=0.1)


async def test_rate_holds_no_slot_and_delays_no_exit(autojump_clock: object) -> None:
    """A call that would wait an hour for the rate ends with the run."""
    scenario = Scenario(
        {"a": answers(Answer())}, [1, 2], api={"rate": "1/h", "limit": 1}, deadline=3.0
    )
    first, second = await scenario.play()
    assert first.ok
    assert second["a"].error is not None
    assert second["a"].error.message.endswith("not sent")
    assert trio.current_time() == 3.0


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, ((b"retry-after", b"1"),)),
        (503, ((b"retry-after", b"1.0"),)),
        (429, ((b"retry-after-ms", b"1000"), (b"retry-after", b"9"))),
        (200, ((b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"1s"))),
        (200, ((b"x-quota-left", b"0"), (b"x-quota-reset", b"1000ms"))),
        (429, ((b"ratelimit", b'"default";r=0;t=1'),)),
        (200, ((b"ratelimit", b'"burst";r=9;t=5, "day";r=0;t=1'),)),
    ],
)
async def test_a_pause_is_for_all_calls(
    autojump_clock: object, status: int, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """The endpoint is not called for the second it asked for; another API is not affected."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.1, status, headers=headers) if (value, attempt) == (0, 1) else Answer(0.1)

    source = ListSource([(0.0, [0]), *[(0.2, [i]) for i in range(1, 4)]])
    own = {"remaining": "X-Quota-Left", "reset": "X-Quota-Reset"}
    scenario = Scenario(
        {"a": script, "b": answers(Answer())}, source=source, api={"rate_headers": own}
    )
    assert all(result.ok for result in await scenario.play())
    assert [time for time in times(scenario) if 0.1 < time < 1.1] == []
    assert times(scenario, "b") == pytest.approx([0.0, 0.2, 0.4, 0.6])


@pytest.mark.parametrize(
    ("rate_headers", "headers"),
    [
        (True, ((b"x-ratelimit-remaining", b"1"), (b"x-ratelimit-reset", b"60"))),
        (True, ((b"x-ratelimit-remaining", b"-1"), (b"x-ratelimit-reset", b"60"))),
        (True, ((b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"1" + b"0" * 30))),
        (True, ((b"x-quota-left", b"0"), (b"x-quota-reset", b"60"))),
        (False, ((b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"60"))),
        (False, ((b"ratelimit", b'"day";r=0;t=60'),)),
    ],
)
async def test_headers_that_ask_for_no_pause(
    autojump_clock: object, rate_headers: bool, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """Nothing waits for a quota that is not used up, nor for headers that do not count."""
    script = answers(Answer(0.1, headers=headers))
    scenario = Scenario(
        {"a": script}, list(range(3)), api={"limit": 1, "rate_headers": rate_headers}
    )
    assert all(result.ok for result in await scenario.play())
    assert times(scenario) == pytest.approx([0.0, 0.1, 0.2])


async def test_a_pause_of_a_day_is_bounded(autojump_clock: object) -> None:
    """All calls wait for `breaker.wait`, and then try again, until the API counts as down."""
    script = answers(Answer(0.0, 429, headers=((b"retry-after", b"86400"),)))
    scenario = Scenario({"a": script}, [1, 2], api={"limit": 1, "breaker": {"wait": "10s"}})
    await scenario.play()
    assert times(scenario) == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert scenario.errors("a") == ["cancelled", "cancelled"]


async def test_a_rare_pause_is_for_one_call(autojump_clock: object) -> None:
    """Where nearly all is served, a Retry-After binds the call that was refused, and no other."""

    def script(value: Any, attempt: int) -> Answer:
        asks = (value, attempt) == (5, 1)
        return Answer(0.1, 429, headers=((b"retry-after", b"2"),)) if asks else Answer(0.1)

    scenario = Scenario({"a": script}, list(range(10)), api={"limit": 1})
    assert all(result.ok for result in await scenario.play())
    sent = [(round(time, 3), value) for time, value in scenario.transports["a"].sent_at]
    assert sent == [*((round(n / 10, 3), n) for n in range(10)), (2.6, 5)]


async def test_a_server_that_is_down_for_30_seconds(autojump_clock: object) -> None:
    """The run pauses, ends with all records ok, and probes at growing intervals."""

    def script(value: Any, attempt: int) -> Answer:
        is_down = 5.0 <= trio.current_time() < 35.0
        return Answer(failure=REFUSED) if is_down else Answer(0.1)

    scenario = Scenario({"a": script}, list(range(10_000)), api={"limit": 64})
    results = await scenario.play()
    assert all(result.ok for result in results)
    in_vain = [time for time in times(scenario) if 5.0 <= time < 35.0]
    assert len([time for time in in_vain if time <= 6.1]) <= 3 * 64
    assert most_within(1.0, [time for time in in_vain if time > 6.1]) == 1


@pytest.mark.parametrize("on_down", ["wait", "fail"])
async def test_calls_wait_for_a_breaker_only_so_long(autojump_clock: object, on_down: str) -> None:
    """After `breaker.wait` the run is given up, or fails the calls of that API alone."""
    scenario = Scenario(
        {"a": answers(Answer(0.3, failure=REFUSED)), "b": answers(Answer())},
        list(range(20)),
        api={"limit": 2, "retries": 0, "breaker": {"failures": 3, "wait": "10s", "open": "4s"}},
        on_down=on_down,
    )
    results = await scenario.play()
    is_given_up = on_down == "wait"
    assert scenario.run.ending is (Ending.GIVEN_UP if is_given_up else Ending.FINISHED)
    sent, kinds = times(scenario), scenario.errors("a")
    assert sent[:10] == pytest.approx([0, 0, 0.3, 0.3, 0.6, 0.6, 0.9, 0.9, 5.2, 9.5])
    kind = "cancelled" if is_given_up else "breaker_open"
    assert kinds.count("connect") == len(sent)
    assert kinds.count(kind) == 20 - len(sent)
    unsent = next(r["a"] for r in reversed(results) if r["a"].error and r["a"].error.kind == kind)
    why = "a was not available for 10s (refused)"
    assert unsent.error is not None
    assert unsent.error.message == (
        f"the run was given up: {why}; not sent" if is_given_up else f"not sent: {why}"
    )
    assert unsent.attempts == 0
    assert scenario.errors("b") == [None] * 20


async def test_without_a_breaker_calls_fail_at_once(autojump_clock: object) -> None:
    """With `breaker = false` every call is sent."""
    scenario = Scenario(
        {"a": answers(Answer(0.0, 500))}, list(range(20)), api={"limit": 1, "breaker": False}
    )
    await scenario.play()
    assert scenario.errors("a") == ["status"] * 20
    assert trio.current_time() == 0.0


async def test_a_probe_that_never_answers_counts_as_failed(autojump_clock: object) -> None:
    """It ends at the attempt's timeout; the next goes after a fifth of the time of the outage."""

    def script(value: Any, attempt: int) -> Answer:
        if trio.current_time() < 2.0:
            return Answer(0.3, 502)
        return Answer(100.0) if trio.current_time() < 3.0 else Answer(0.1)

    scenario = Scenario(
        {"a": script},
        list(range(9)),
        api={"attempt_timeout": 3, "limit": 1, "breaker": {"failures": 5}},
    )
    await scenario.play()
    assert times(scenario)[:7] == pytest.approx([0, 0.3, 0.6, 0.9, 1.2, 2.5, 6.6])
    assert scenario.errors("a") == ["status"] * 5 + [None] * 3 + ["timeout"]


def bucket_of_100() -> Callable[[Any, int], Answer]:
    """Return the script of an API that accepts 100 requests a second."""
    bucket = [100.0, 0.0]  # tokens, and when they were counted

    def script(value: Any, attempt: int) -> Answer:
        now = trio.current_time()
        tokens = min(100.0, bucket[0] + 100.0 * (now - bucket[1]))
        bucket[:] = [tokens - (tokens >= 1.0), now]
        return Answer(0.05, 200 if tokens >= 1.0 else 429)

    return script


async def test_the_pace_becomes_what_the_api_accepts(autojump_clock: object) -> None:
    """Behind a bucket of 100 a second every record is ok, and few attempts are in vain."""
    scenario = Scenario({"a": bucket_of_100()}, list(range(2000)))
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() <= 1.3 * 19.0
    assert len(times(scenario)) <= 1.3 * 2000
    assert scenario.run.statistics.apis[0].held.seconds["throttled"] > 10.0


async def test_without_retries_what_is_refused_still_slows_down_the_rest(
    autojump_clock: object,
) -> None:
    """Nothing is sent twice, and yet most of it gets through."""
    scenario = Scenario({"a": bucket_of_100()}, list(range(2000)), api={"retries": 0})
    results = await scenario.play()
    assert {result["a"].attempts for result in results} == {1}
    assert sum(result.ok for result in results) > 1500
    assert most_within(1.0, [time for time in times(scenario) if time > 2.0]) < 150


async def test_a_pause_may_last_longer_than_a_run_remembers(autojump_clock: object) -> None:
    """An input that is idle for long after the API has asked for a pause goes on as before."""
    used_up = ((b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"1"))
    source = ListSource([(0.0, [1, 2]), (1000.0, [3, 4])])
    scenario = Scenario({"a": answers(Answer(0.1, headers=used_up))}, source=source)
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() < 1010.0


@pytest.mark.parametrize(
    ("rate_headers", "name", "is_ok"),
    [
        ({"remaining": "x-quota-left", "reset": "x-quota-reset"}, "x-quota", True),
        ({"remaining": "x-quota-left", "reset": "x-quota-reset"}, "x-other", False),
        (True, "x-ratelimit", True),
        (False, "x-ratelimit", False),
    ],
)
@pytest.mark.parametrize("rules", [{}, {"retry_on": [418]}])
async def test_a_403_is_a_refusal_by_the_headers_of_its_api(
    autojump_clock: object, rules: Any, rate_headers: Any, name: str, is_ok: bool
) -> None:
    """It is sent again where its quota is used up, and final elsewhere."""
    ends = {"x-quota": ("-left", "-reset"), "x-other": ("-left", "-reset")}
    left, reset = ends.get(name, ("-remaining", "-reset"))
    used_up = (((name + left).encode(), b"0"), ((name + reset).encode(), b"2"))
    scenario = Scenario(
        {"a": answers(Answer(0.1, 403, headers=used_up), Answer(0.1))},
        [1],
        api={"rate_headers": rate_headers, **rules},
    )
    (result,) = await scenario.play()
    assert result.ok is is_ok
    assert result["a"].attempts == 1 + is_ok


async def test_what_a_call_waits_for_may_be_others(autojump_clock: object) -> None:
    """A call that cannot know its cost until the first has ended waits for no known time."""
    scenario = Scenario(
        {"a": answers(Answer(10.0, body=b'{"usage": 5}'))},
        [1, 2],
        api={"rate": {"tokens": "100/s"}, "spent": "body.usage"},
    )
    waits: list[str] = []

    async def look() -> None:
        await trio.sleep(5.0)
        waits.extend(part for wait in scenario.run.waits() if wait for part in describe_wait(wait))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await scenario.play()
    assert waits == ["held to its rate"]
