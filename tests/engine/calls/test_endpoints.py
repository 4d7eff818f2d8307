"""Attempts spread over the endpoints of an API, in virtual time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario, ScriptedTransport, answers

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.units import show_duration
from tmux_fanout.transports.base import Progress

BASES = ["http://eu.test/v1", "http://us.test:81/v1/", "http://as.test"]


def down(message: str = "refused") -> TransportError:
    return TransportError("connect", message, sent=False, transient=True)


STALE = TransportError("protocol", "lost", sent=True, transient=True, stale=True)


def spread(scenario: Scenario) -> list[str]:
    return scenario.transports["a"].urls


async def test_round_robin_takes_turns(autojump_clock: object) -> None:
    """Each path is appended to the base path of the endpoint whose turn it is."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))},
        [{"id": i} for i in range(4)],
        api={"url": "/users/{id}", "endpoints": BASES, "balance": "round-robin", "limit": 1},
    )
    assert all(result.ok for result in await scenario.play())
    assert spread(scenario) == [
        "http://eu.test/v1/users/0",
        "http://us.test:81/v1/users/1",
        "http://as.test/users/2",
        "http://eu.test/v1/users/3",
    ]


async def test_least_in_flight_fills_evenly(autojump_clock: object) -> None:
    """Nine calls at once are three for each of three endpoints."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))}, list(range(9)), api={"endpoints": BASES, "url": ""}
    )
    await scenario.play()
    assert sorted(Counter(spread(scenario)).values()) == [3, 3, 3]


@pytest.mark.parametrize("balance", ["round-robin", "least-in-flight", "failover"])
async def test_a_retry_goes_elsewhere(autojump_clock: object, balance: str) -> None:
    """The second attempt of a call never goes where the first one failed."""
    scenario = Scenario(
        {"a": answers(Answer(0.1, 503), Answer(0.1))},
        list(range(6)),
        api={"url": "", "endpoints": BASES, "balance": balance},
    )
    assert all(result.ok for result in await scenario.play())
    sites: dict[Any, list[str]] = {}
    for (_, value), url in zip(scenario.transports["a"].sent_at, spread(scenario)):
        sites.setdefault(value, []).append(url)
    assert all(first != second for first, second in sites.values())


async def test_failover_comes_back_by_a_probe(autojump_clock: object) -> None:
    """After a second of failures the other endpoint takes over, until a probe is served."""

    def script(value: Any, attempt: int) -> Answer:
        is_down = trio.current_time() < 2.5 and transport().urls[-1].startswith(BASES[0])
        return Answer(0.05, failure=down()) if is_down else Answer(0.1)

    def transport() -> ScriptedTransport:
        return scenario.transports["a"]

    scenario = Scenario(
        {"a": script},
        list(range(100)),
        api={"url": "", "endpoints": BASES[:2], "balance": "failover", "limit": 1},
    )
    assert all(result.ok for result in await scenario.play())
    sites = [(at, url[7:9]) for (at, _), url in zip(transport().sent_at, transport().urls)]
    probes = [at for at, site in sites if site == "eu" and 1.05 < at < 2.5]
    assert len(probes) == 1
    back = next(at for at, site in sites if site == "eu" and at >= 2.5)
    assert back == pytest.approx(probes[0] + 1.05, abs=0.1)
    assert {site for at, site in sites if at > back} == {"eu"}


@pytest.mark.parametrize("status", [429, 503])
async def test_the_least_in_flight_is_not_the_one_that_refuses_fastest(
    autojump_clock: object, status: int
) -> None:
    """Refusals end at once, and yet attract no attempts."""

    def script(value: Any, attempt: int) -> Answer:
        urls = scenario.transports["a"].urls
        return Answer(0.01, status) if "eu" in urls[-1] else Answer(0.1)

    scenario = Scenario(
        {"a": script},
        list(range(200)),
        api={"url": "", "endpoints": BASES, "limit": 10, "breaker": False},
    )
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() < 2.5
    assert sum("eu" in url for url in spread(scenario)) < 30


@pytest.mark.parametrize("status", [429, 503])
async def test_one_that_refuses_all_is_left_to_itself(autojump_clock: object, status: int) -> None:
    """Even without Retry-After the other endpoints take over, and the user is told."""
    messages: list[str] = []

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.01, status) if "eu" in transport().urls[-1] else Answer(0.1)

    def transport() -> ScriptedTransport:
        return scenario.transports["a"]

    scenario = Scenario(
        {"a": script},
        list(range(300)),
        api={"url": "", "endpoints": BASES, "limit": 10, "balance": "round-robin"},
        notify=messages.append,
    )
    results = await scenario.play()
    assert all(result.ok for result in results)
    assert trio.current_time() < 3.2
    sent = [at for (at, _), url in zip(transport().sent_at, transport().urls) if "eu" in url]
    assert len(sent) < 35
    assert len([at for at in sent if at > 1.1]) == 1  # a probe
    assert messages == [f"a: http://eu.test is not available (HTTP {status}); calls go elsewhere"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stale_connection_says_nothing_about_its_server(
    autojump_clock: object, method: str
) -> None:
    """A healthy server may close idle connections as they are reused (golang/go#22158)."""
    messages: list[str] = []
    scenario = Scenario(
        {"a": answers(Answer(failure=STALE), Answer())},
        list(range(20)),
        api={"limit": 1, "breaker": {"failures": 1}, "method": method},
        notify=messages.append,
    )
    await scenario.play()
    assert messages == []
    assert trio.current_time() == 0.0


async def test_a_probe_on_a_stale_connection_gives_way_to_another(autojump_clock: object) -> None:
    """The probe is inconclusive: the breaker neither closes nor stays open for longer."""
    messages: list[tuple[float, str]] = []

    def script(value: Any, attempt: int) -> Answer:
        if trio.current_time() < 1.5:
            return Answer(failure=down())
        is_first = trio.current_time() > transport().sent_at[-2][0]
        return Answer(failure=STALE) if is_first else Answer()

    def transport() -> ScriptedTransport:
        return scenario.transports["a"]

    scenario = Scenario(
        {"a": script},
        [0],
        api={"limit": 1, "retries": 99, "breaker": {"failures": 1, "open": 1}, "idempotent": True},
        notify=lambda text: messages.append((trio.current_time(), text)),
    )
    assert all(result.ok for result in await scenario.play())
    times = [time for time, _ in transport().sent_at]
    assert times[-1] == times[-2] == pytest.approx(times[-3] + 1.0)
    assert messages == [
        (times[-3], "a is not available (refused); calls wait up to 1m for it"),
        (times[-1], f"a serves again, after {show_duration(round(times[-1], 1))}"),
    ]


def with_bounds(**bounds: Any) -> list[Any]:
    return [{"url": "http://eu.test", **bounds}, {"url": "http://us.test", **bounds}]


async def test_limits_of_endpoints_bound_each_of_them(autojump_clock: object) -> None:
    """Two and two are four at once; without a limit of its own, that is the API's limit."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))},
        list(range(12)),
        api={"url": "", "endpoints": with_bounds(limit=2)},
    )
    assert all(result.ok for result in await scenario.play())
    assert (scenario.plan.apis[0].limit, scenario.transports["a"].peak) == (4, 4)
    assert trio.current_time() == 3.0
    assert Counter(spread(scenario)) == {"http://eu.test/": 6, "http://us.test/": 6}


@pytest.mark.parametrize("balance", ["round-robin", "least-in-flight", "failover"])
async def test_a_full_endpoint_passes_calls_on_to_the_next(
    autojump_clock: object, balance: str
) -> None:
    """It takes another once its attempt has ended, if that is known when the next call goes."""
    endpoints = [{"url": "http://eu.test", "limit": 1}, "http://us.test"]
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(0.9 if "eu" in spread(scenario)[-1] else 1.0)},
        list(range(8)),
        api={"url": "", "endpoints": endpoints, "limit": 4, "balance": balance},
    )
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() == 2.0
    sent = Counter(spread(scenario))
    # Attempts that end at the same time are reported in any order.
    assert sent["http://eu.test/"] in (1, 2)
    assert sent.total() == 8


async def test_rates_of_endpoints_pace_each_of_them(autojump_clock: object) -> None:
    """Two endpoints of two a second begin four a second; calls that wait lose nothing."""
    scenario = Scenario(
        {"a": answers(Answer(0.1))},
        list(range(10)),
        api={"url": "", "endpoints": with_bounds(rate="2/s")},
    )
    assert all(result.ok for result in await scenario.play())
    times = [time for time, _ in scenario.transports["a"].sent_at]
    assert times == pytest.approx([0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0])
    assert scenario.run.statistics.apis[0].held.seconds["rate"] == pytest.approx(2.0, abs=0.1)


async def test_a_single_endpoint_may_have_bounds(autojump_clock: object) -> None:
    """They hold beside those of the API."""
    scenario = Scenario(
        {"a": answers(Answer(0.1))},
        list(range(4)),
        api={"url": "", "endpoints": [{"url": "http://eu.test", "rate": "2/s"}], "limit": 9},
    )
    await scenario.play()
    assert trio.current_time() == pytest.approx(1.6)


async def test_an_endpoint_that_pauses_leaves_the_other_key_alone(autojump_clock: object) -> None:
    """One URL with two keys: a Retry-After under one of them pauses that one alone."""
    keys: list[tuple[float, str]] = []

    class Keyed(ScriptedTransport):
        async def play(self, request: Request, progress: Progress) -> Response:
            key = dict(request.head.headers)["Authorization"]
            keys.append((trio.current_time(), key))
            if key == "Bearer one" and len(keys) == 1:
                progress.sent = True
                return Response(429, ((b"retry-after", b"5"),), b"", 0)
            return await super().play(request, progress)

    endpoints = [{"url": "http://eu.test", "auth": {"bearer": key}} for key in ("one", "two")]
    scenario = Scenario(
        {"a": answers(Answer(1.0))},
        list(range(8)),
        api={"url": "", "endpoints": endpoints, "limit": 1, "balance": "round-robin"},
        transport=Keyed,
    )
    assert all(result.ok for result in await scenario.play())
    while_paused = {key for time, key in keys[1:] if time < 5.0}
    assert while_paused == {"Bearer two"}
    assert "Bearer one" in {key for _, key in keys[1:]}


async def test_messages_tell_endpoints_of_one_origin_apart(autojump_clock: object) -> None:
    """They have the number of the endpoint beside the origin."""
    messages: list[str] = []
    endpoints = ["http://eu.test/bad", "http://eu.test/good"]
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(0.1, 503 if "bad" in spread(scenario)[-1] else 200)},
        list(range(40)),
        api={"url": "", "endpoints": endpoints, "limit": 2, "balance": "failover"},
        notify=messages.append,
    )
    await scenario.play()
    assert messages[0].startswith("a: http://eu.test (endpoint 1) is not available (HTTP 503); ")


async def test_a_slow_endpoint_gets_few_attempts(autojump_clock: object) -> None:
    """Slots do not pile up behind it: 300 calls take little longer than without it."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(5.0 if "eu" in spread(scenario)[-1] else 0.1)},
        list(range(300)),
        api={"url": "", "endpoints": BASES[:2], "limit": 10},
    )
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() < 6.0
    assert sum("eu" in url for url in spread(scenario)) < 12


async def test_an_endpoint_that_hangs_gets_few_attempts(autojump_clock: object) -> None:
    """Its attempts run out of time, which counts as a failure, and calls go elsewhere."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(1e6 if "eu" in spread(scenario)[-1] else 0.1)},
        list(range(300)),
        api={
            **{"url": "", "endpoints": BASES[:2], "limit": 10, "idempotent": True},
            **{"attempt_timeout": 2, "breaker": False},
        },
    )
    assert all(result.ok for result in await scenario.play())
    assert trio.current_time() < 9.0
    assert sum("eu" in url for url in spread(scenario)) < 15
