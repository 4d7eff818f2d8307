"""The exam: APIs that throttle, shed load and fail, against the real engine in virtual time.

`python -m tests.support.exam` prints the same as a table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio
from support.exam.catalogue import all_scenarios
from support.exam.play import examine
from support.exam.scenario import Target, one
from support.exam.servers import poison
from support.exam.shortfalls import SHORTFALLS
from support.gates import Down, FirstTimes, Shed
from support.quotas import FixedWindow, RateLimit, TokenBucket, retry_after
from support.thoroughness import some_of
from support.throttling import Reply, Server

_SCENARIOS = all_scenarios()


@pytest.mark.parametrize("name", some_of(_SCENARIOS))
def test_a_scenario_reaches_its_targets(name: str) -> None:
    """Each kind of API is served within the time, the requests and the losses it may take."""
    report = examine(_SCENARIOS[name])
    if shortfall := SHORTFALLS.get(name):
        scenario = report.scenario
        relaxed = replace(scenario, target=replace(scenario.target, **shortfall))
        report = replace(report, scenario=relaxed)
    assert report.missed() == []


def test_a_scenario_is_played_the_same_way_every_time() -> None:
    """Two runs of a scenario with the same seed send the same requests at the same times."""
    scenario = _SCENARIOS["bucket-and-flaky-10"]
    first, second = (examine(scenario).servers[0].arrivals for _ in range(2))
    assert first == second


def test_missed_targets_are_named() -> None:
    """A run that loses records, takes long or sends too much says which target it missed."""
    target = Target(over=0.5, extra=-1.0, extra_more=30, gives_up=True)
    scenario = one("x", poison(range(10), 400), 40, 0.05, target)
    assert examine(scenario).missed() == [
        "ok 75.00% < 99.9%",
        "time 1.00 > 0.5",
        "extra 0 > -10",
        "ended as Ending.FINISHED",
    ]


async def _send(server: Server, *times: float) -> list[Reply]:
    """Send a record at each of some times; return the answers."""
    replies: dict[int, Reply] = {}

    async def send(index: int, time: float) -> None:
        await trio.sleep_until(time)
        replies[index] = await server.answer([{"id": index}])

    async with trio.open_nursery() as nursery:
        for index, time in enumerate(times):
            nursery.start_soon(send, index, time)
    return [replies[index] for index in range(len(times))]


@pytest.mark.parametrize(
    ("gate", "times", "statuses"),
    [
        (Shed(2), [0, 0.01, 0.02, 0.2], [200, 200, 503, 200]),
        (RateLimit(TokenBucket(1, 2)), [0, 0.1, 0.2, 1.0, 1.1], [200, 200, 429, 200, 429]),
        (RateLimit(FixedWindow(0.2, 10)), [1, 2, 3, 10.9, 11], [200, 200, 429, 429, 200]),
        (RateLimit(TokenBucket(1), penal=True), [0, 0.5, 1.5, 2.5], [200, 429, 429, 429]),
        (Down(503, 2, at=1), [0.5, 1, 2.9, 3], [200, 503, 503, 200]),
    ],
)
async def test_a_gate_refuses_what_it_should(
    gate: Any, times: list[float], statuses: list[int], autojump_clock: trio.testing.MockClock
) -> None:
    """Simulated servers refuse by their policy, to the second."""
    replies = await _send(Server(gate), *times)
    assert [reply.status for reply in replies] == statuses


async def test_a_server_counts_what_it_sees(autojump_clock: trio.testing.MockClock) -> None:
    """Requests, refusals, effects and the peak in flight are those that were sent."""
    server = Server(FirstTimes(1))
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.answer, [{"id": 1}])
            nursery.start_soon(server.answer, [{"id": 2}])
    assert (len(server.arrivals), len(server.refused), len(server.served)) == (6, 2, 4)
    assert (server.peak, server.doubled) == (2, 2)


async def test_refusals_tell_when_to_come_again(autojump_clock: trio.testing.MockClock) -> None:
    """Retry-After covers the time until a token is there."""
    server = Server(RateLimit(TokenBucket(0.25, 1), says=retry_after(429)))
    replies = await _send(server, 0, 0.5)
    assert replies[1].headers == {"Retry-After": "4"}
