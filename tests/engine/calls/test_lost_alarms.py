"""No call waits for a time that has come while it was looked at."""

from __future__ import annotations

import math
from random import Random

import pytest
import trio
from support.scripted import Answer, Scenario, answers


class RestlessClock(trio.abc.Clock):
    """Virtual time that passes while a program works, too: at some looks at the clock."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._now = 0.0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        self._now += 2.0 if self._random.random() < 0.1 else 1e-6
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline < math.inf:
            self._now = max(self._now, deadline)
        return 0.0


@pytest.fixture(params=range(10))
def restless_clock(request: pytest.FixtureRequest) -> RestlessClock:
    return RestlessClock(request.param)


async def test_a_call_begins_that_a_rate_allows_while_it_is_looked_at(
    restless_clock: RestlessClock,
) -> None:
    """Nothing else may happen for long: the answers are slow."""
    api = {"rate": "1/s", "limit": 20, "attempt_timeout": "1h", "timeout": "2h"}
    scenario = Scenario({"a": answers(Answer(3000.0))}, list(range(20)), api=api)
    results = await scenario.play()
    assert all(result.ok for result in results)
    assert max(time for time, _ in scenario.transports["a"].sent_at) < 1000
