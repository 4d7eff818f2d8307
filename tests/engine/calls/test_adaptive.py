"""Limits that find themselves, in virtual time, against APIs that can take only so much."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest
import trio
from support.scripted import ListSource, Scenario, answers

from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress

SERVICE = 0.1  # seconds that a request takes where it does not queue

Sampled = list[tuple[float, int]]


class Queueing:
    """An API that works on so many requests at the same time; others wait there for their turn."""

    def __init__(self, capacity: int, spread: float) -> None:
        self.limiter = trio.CapacityLimiter(capacity)
        self._spread = spread
        self._random = Random(1)

    def set_capacity(self, capacity: int) -> None:
        self.limiter.total_tokens = capacity

    def _service_time(self) -> float:
        return SERVICE * self._random.uniform(1 - self._spread, 1 + self._spread)

    async def send(self, request: Request, progress: Progress) -> Response:
        progress.sent = True
        async with self.limiter:
            await trio.sleep(self._service_time())
        return Response(200, (), b"1", 1)

    async def aclose(self) -> None:
        """Nothing is open."""


class Slowing(Queueing):
    """An API that works on all requests at once, each the slower the more there are."""

    in_flight = 0

    async def send(self, request: Request, progress: Progress) -> Response:
        progress.sent = True
        self.in_flight += 1
        load = max(1.0, self.in_flight / self.limiter.total_tokens)
        try:
            await trio.sleep(load * self._service_time())
        finally:
            self.in_flight -= 1
        return Response(200, (), b"1", 1)


class Refusing(Queueing):
    """An API that refuses what it cannot take at once."""

    async def send(self, request: Request, progress: Progress) -> Response:
        if self.limiter.available_tokens <= 0:
            await trio.sleep(SERVICE / 10)
            return Response(503, (), b"busy", 4)
        return await super().send(request, progress)


async def limits_over_time(
    api: Queueing, seconds: float, change: Callable[[float], None] = lambda _: None
) -> Sampled:
    """The limit, each tenth of a second of a run that has always something to do."""
    source = ListSource([(0.0, list(range(i * 200, i * 200 + 200))) for i in range(400)])
    scenario = Scenario(
        {"a": answers()},
        source=source,
        transport=lambda _: cast(Any, api),
        api={"limit": {"min": 1, "max": 256}, "breaker": False, "retries": 50, "timeout": 600},
        deadline=seconds,
        window=400,
    )
    samples: Sampled = []
    async with trio.open_nursery(strict_exception_groups=True) as nursery:

        async def sample() -> None:
            while True:
                await trio.sleep(0.1)
                change(trio.current_time())
                samples.append((trio.current_time(), scenario.run.statistics.apis[0].limit))

        nursery.start_soon(sample)
        await scenario.play()
        nursery.cancel_scope.cancel()
    return samples


def between(samples: Sampled, start: float, end: float) -> list[int]:
    return [limit for time, limit in samples if start < time <= end]


def mostly(least: int, most: int, limits: list[int]) -> bool:
    """Whether nineteen of twenty are between the two: trio runs tasks in random order."""
    return sum(least <= limit <= most for limit in limits) >= 0.95 * len(limits)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("kind", [Queueing, Slowing, Refusing])
async def test_limit_settles_at_the_capacity(
    autojump_clock: object, kind: type[Queueing], spread: float
) -> None:
    """Against an API of capacity 20 it stays within 15 to 25, however the times spread."""
    api = kind(20, spread)
    settled = between(await limits_over_time(api, 30.0), 10.0, 30.0)
    assert mostly(15, 25, settled)
    assert all(10 <= limit <= 30 for limit in settled)


@pytest.mark.parametrize("kind", [Queueing, Slowing, Refusing])
async def test_limit_follows_the_capacity(autojump_clock: object, kind: type[Queueing]) -> None:
    """From 20 to 5 and to 60: it is there within seconds, and stays."""
    api = kind(20, 0.3)
    steps = {20.0: 5, 50.0: 60}

    def change(now: float) -> None:
        for at in [at for at in steps if at <= now]:
            api.set_capacity(steps.pop(at))

    samples = await limits_over_time(api, 90.0, change)
    assert mostly(15, 25, between(samples, 10.0, 20.0))
    assert mostly(3, 9, between(samples, 42.0, 50.0))
    assert mostly(45, 75, between(samples, 80.0, 90.0))
