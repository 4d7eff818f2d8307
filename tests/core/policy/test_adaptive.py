"""The adaptive limit, window by window."""

from __future__ import annotations

import pytest

from tmux_fanout.core.policy.adaptive import AdaptiveLimit


class Clock:
    """Feed rounds of attempts to a limit, each as many as the limit allows."""

    def __init__(self, limit: AdaptiveLimit) -> None:
        self.limit = limit
        self.now = 0.0

    def round(self, seconds: float, *, refused: bool = False, busy: bool = True) -> None:
        began, count = self.now, self.limit.limit
        self.now += seconds
        for _ in range(count):
            in_flight = count if busy else 0
            self.limit.observe(began, self.now, in_flight=in_flight, refused=refused)

    def rounds(self, count: int, seconds: float, **how: bool) -> None:
        for _ in range(count):
            self.round(seconds, **how)


def test_it_doubles_until_answers_take_longer() -> None:
    """After that the limit falls below that point, and grows slowly."""
    clock = Clock(AdaptiveLimit(1, 100))
    seen = set()
    for _ in range(40):
        clock.round(0.1 if clock.limit.limit <= 32 else 0.3)
        seen.add(clock.limit.limit)
    assert {8, 16, 32, 64} <= seen
    before = clock.limit.limit
    assert before <= 32
    clock.rounds(4, 0.1)
    assert before <= clock.limit.limit <= before + 2


@pytest.mark.parametrize(("minimum", "maximum"), [(1, 1), (3, 10), (50, 200)])
def test_it_stays_between_its_bounds(minimum: int, maximum: int) -> None:
    """Neither good nor bad rounds move the limit out of its bounds."""
    clock = Clock(AdaptiveLimit(minimum, maximum))
    clock.rounds(300, 0.1)
    assert clock.limit.limit == maximum
    clock.rounds(300, 0.1, refused=True)
    assert clock.limit.limit == minimum


def test_it_does_not_grow_without_need() -> None:
    """Rounds that do not reach the limit say nothing about a higher one."""
    clock = Clock(AdaptiveLimit(1, 100))
    clock.rounds(100, 0.1, busy=False)
    assert clock.limit.limit == 4


def test_an_api_that_became_slower_is_not_left_at_the_minimum() -> None:
    """If answers take longer permanently, that becomes the new base."""
    clock = Clock(AdaptiveLimit(1, 100))
    clock.rounds(100, 0.1)
    clock.rounds(300, 0.5)
    assert clock.limit.limit > 50


def test_what_began_under_another_limit_does_not_count() -> None:
    """Attempts that were in flight when a window began do not count in it."""
    limit = AdaptiveLimit(1, 100)
    clock = Clock(limit)
    clock.rounds(20, 0.1)
    before = limit.limit
    for _ in range(1000):
        limit.observe(-1.0, clock.now, in_flight=1, refused=True)
    assert limit.limit == before


def test_bounds_may_change() -> None:
    """The limit stays within them at once."""
    limit = AdaptiveLimit(1, 20)
    limit.bound(8, 20)
    assert limit.limit == 8
    limit.bound(1, 5)
    assert limit.limit == 5
