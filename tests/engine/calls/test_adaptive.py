"""Adaptive limits, in virtual time, against APIs of limited capacity."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio
from support.scripted import ListSource, Scenario, ScriptedTransport, answers

from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress

SERVICE = 0.1  # seconds that a request takes where it does not queue

Sampled = list[tuple[float, int]]


class Queueing(ScriptedTransport):
    """An API that handles as many requests at once as its capacity; others queue there."""

    def __init__(self, capacity: int, spread: float) -> None:
        super().__init__(answers())
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


class Slowing(Queueing):
    """An API that handles all requests at once, and becomes slower beyond its capacity."""

    async def send(self, request: Request, progress: Progress) -> Response:
        progress.sent = True
        flight = self.fly()
        load = max(1.0, self.in_flight / self.limiter.total_tokens)
        try:
            await trio.sleep(load * self._service_time())
        finally:
            self.land(flight)
        return Response(200, (), b"1", 1)


class Refusing(Queueing):
    """An API that refuses requests beyond its capacity.

    Attributes:
        answered: time and status of each answer.
    """

    def __init__(self, capacity: int, spread: float) -> None:
        super().__init__(capacity, spread)
        self.answered: list[tuple[float, int]] = []

    async def send(self, request: Request, progress: Progress) -> Response:
        response = await self._serve(request, progress)
        self.answered.append((trio.current_time(), response.status))
        return response

    async def _serve(self, request: Request, progress: Progress) -> Response:
        if self.limiter.available_tokens <= 0:
            await trio.sleep(SERVICE / 10)
            return Response(503, (), b"busy", 4)
        return await super().send(request, progress)


async def limits_over_time(
    api: Queueing, seconds: float, change: Callable[[float], None] = lambda _: None
) -> Sampled:
    """Return the limit every tenth of a second of a run that always has calls waiting."""
    source = ListSource([(0.0, list(range(i * 200, i * 200 + 200))) for i in range(400)])
    scenario = Scenario(
        {"a": answers()},
        source=source,
        api={"limit": {"min": 1, "max": 256}, "breaker": False, "retries": 50, "timeout": 600},
        deadline=seconds,
        window=400,
        transport=lambda _: api,  # it answers as it can, whatever the script says
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


def mostly(lower: int, upper: int, limits: list[int]) -> bool:
    """Return whether 95 % of the limits are within bounds: trio runs tasks in random order."""
    return sum(lower <= limit <= upper for limit in limits) >= 0.95 * len(limits)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("kind", [Queueing, Slowing])
async def test_limit_settles_at_the_capacity(
    autojump_clock: object, kind: type[Queueing], spread: float
) -> None:
    """At an API of capacity 20 the limit stays between 15 and 25, however times vary."""
    api = kind(20, spread)
    settled = between(await limits_over_time(api, 30.0), 10.0, 30.0)
    assert mostly(15, 25, settled)
    assert all(10 <= limit <= 30 for limit in settled)


@pytest.mark.parametrize("kind", [Queueing, Slowing])
async def test_limit_follows_the_capacity(autojump_clock: object, kind: type[Queueing]) -> None:
    """When the capacity changes to 5 and to 60, the limit follows within seconds and stays."""
    api = kind(20, 0.3)
    steps = {20.0: 5, 50.0: 60}

    def change(now: float) -> None:
        for at in [at for at in steps if at <= now]:
            api.set_capacity(steps.pop(at))

    samples = await limits_over_time(api, 90.0, change)
    assert mostly(15, 25, between(samples, 10.0, 20.0))
    assert mostly(3, 9, between(samples, 42.0, 50.0))
    assert mostly(45, 75, between(samples, 80.0, 90.0))


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
async def test_refusals_are_left_to_the_throttle(autojump_clock: object, spread: float) -> None:
    """The limit looks at times alone, and stays above the capacity; the pace finds that."""
    api = Refusing(20, spread)
    samples = await limits_over_time(api, 30.0)
    assert min(between(samples, 10.0, 30.0)) >= 20
    statuses = [status for time, status in api.answered if 10.0 < time <= 30.0]
    assert statuses.count(200) >= 0.85 * 20 * 20 / SERVICE
    assert statuses.count(503) <= 0.3 * statuses.count(200)
