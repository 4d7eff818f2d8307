"""The circuit breaker and the retry budget."""

import math

import pytest
from tmux_fanout.core.policy.retry_budget import PER_SECOND, SHARE, RetryBudget

from tmux_fanout.core.endpoints.breaker import Breaker


def opened(failures: int = 3) -> Breaker:
    breaker = Breaker(failures, 1.0, 5.0)
    for _ in range(failures):
        breaker.failed(10.0, is_probe=breaker.begin())
    return breaker


def test_breaker_opens_after_failures_in_a_row() -> None:
    """A success resets the count."""
    breaker = Breaker(3, 1.0, 5.0)
    for succeeds in (False, False, True, False, False):
        assert not breaker.begin()
        if succeeds:
            breaker.succeeded()
        else:
            breaker.failed(0.0, is_probe=False)
    assert (breaker.wait(0.0), breaker.is_calm) == (0.0, False)
    breaker.failed(0.0, is_probe=False)
    assert (breaker.wait(0.0), breaker.open_since) == (1.0, 0.0)


def test_breaker_lets_one_probe_through() -> None:
    """Other attempts wait while the probe is under way."""
    breaker = opened()
    assert breaker.wait(10.4) == pytest.approx(0.6)
    assert breaker.wait(11.0) == 0.0
    assert breaker.begin()
    assert breaker.wait(11.0) == math.inf
    breaker.succeeded()
    assert (breaker.wait(11.0), breaker.open_since, breaker.is_calm) == (0.0, None, True)


def test_breaker_lets_another_probe_go_after_one_that_told_nothing() -> None:
    """The breaker stays open no longer than planned, and past failures still count."""
    breaker = opened()
    assert breaker.begin()
    breaker.withdraw_probe()
    assert (breaker.wait(11.0), breaker.open_since, breaker.is_calm) == (0.0, 10.0, False)
    breaker.failed(11.0, is_probe=breaker.begin())
    assert breaker.wait(11.0) == 2.0


def test_breaker_doubles_its_time_up_to_the_longest() -> None:
    """`open_since` stays the same, however many probes fail."""
    breaker, now, waits = opened(), 10.0, []
    for _ in range(5):
        waits.append(breaker.wait(now))
        now += breaker.wait(now)
        breaker.failed(now, is_probe=breaker.begin())
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert breaker.open_since == 10.0


def test_late_failures_do_not_open_it_further() -> None:
    """Attempts that were under way when it opened do not prolong the time."""
    breaker = opened()
    breaker.failed(10.9, is_probe=False)
    assert breaker.wait(10.9) == pytest.approx(0.1)


@pytest.mark.parametrize("start", [0.0, 1e5])
def test_budget_is_a_share_of_the_attempts_and_some_per_second(start: float) -> None:
    """Once the budget is spent, each retry waits another tenth of a second."""
    budget = RetryBudget()
    free = int(PER_SECOND + 50 * SHARE)
    assert [budget.spend(start, 50) for _ in range(free)] == pytest.approx([0.0] * free)
    assert [budget.spend(start, 50) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    assert budget.spend(start + 1, 50) == 0.0
