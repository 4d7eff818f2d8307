"""The health of an endpoint: its pauses, its breaker and its throttle together."""

from __future__ import annotations

import math

import pytest

from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.endpoints.health import Health
from tmux_fanout.core.policy.answers import Says


def health(**breaker: float) -> Health:
    return Health(BreakerSettings(failures=3, **breaker), limit=64, max_pause=60.0)


def attempt(it: Health, says: Says, now: float, *, pause: float | None = None) -> None:
    """Make an attempt that takes 0.1 s and ends now."""
    is_probe = it.begin(now - 0.1)
    it.learn(says, began=now - 0.1, now=now, is_probe=is_probe, pause=pause)


def refuse_often(it: Health, now: float) -> None:
    """Make the endpoint refuse so many attempts that it serves less than 80 % of late."""
    for _ in range(10):
        attempt(it, Says.REFUSES, now)


def test_an_endpoint_that_serves_is_calm() -> None:
    it = health()
    assert (it.is_calm(0.0), it.has_served, it.wait(0.0)) == (True, False, 0.0)
    attempt(it, Says.SERVES, 1.0)
    assert (it.is_calm(1.0), it.has_served, it.wait(1.0)) == (True, True, 0.0)


@pytest.mark.parametrize("says", [Says.REFUSES, Says.FAILS, Says.HANGS])
def test_three_failures_and_no_success_for_a_second_take_it_down(says: Says) -> None:
    it = health()
    attempt(it, Says.SERVES, 1.0)
    for now in (1.05, 1.8, 1.9):
        attempt(it, says, now)
    assert not it.is_down
    attempt(it, says, 2.0)
    assert (it.is_down, it.held_by(2.0), it.refused, it.unserved) == (True, "breaker", 4, 4)
    assert it.wait(2.0) == pytest.approx(1.0)
    assert it.begin(3.0)
    assert it.wait(3.0) == math.inf


def test_an_outage_after_an_idle_hour_begins_with_the_first_failure() -> None:
    it = health()
    attempt(it, Says.SERVES, 1.0)
    for now in (3600.0, 3600.5, 3600.8):
        attempt(it, Says.REFUSES, now)
    assert not it.is_down
    attempt(it, Says.REFUSES, 3600.9)
    assert it.is_down
    assert it.breaker
    assert it.breaker.open_since == pytest.approx(3599.9)


def test_an_endpoint_that_never_served_is_down_a_second_after_its_first_attempt() -> None:
    it = health()
    for now in (10.0, 10.5, 10.8):
        attempt(it, Says.REFUSES, now)
    assert not it.is_down
    attempt(it, Says.REFUSES, 10.9)
    assert it.is_down
    assert it.breaker
    assert it.breaker.open_since == pytest.approx(9.9)


@pytest.mark.parametrize("says", [Says.SERVES, Says.NOTHING])
def test_what_says_nothing_against_it_never_takes_it_down(says: Says) -> None:
    """A record that always fails with 500 would else stop all others."""
    it = health()
    for now in range(1, 100):
        attempt(it, says, float(now))
    assert it.is_calm(99.0)


def test_a_success_brings_it_back_at_a_careful_pace() -> None:
    it = health()
    for now in (1.0, 2.0, 3.0):
        attempt(it, Says.FAILS, now)
    assert it.is_down
    attempt(it, Says.SERVES, 4.5)
    assert (it.is_down, it.throttle.pace, it.wait(4.5)) == (False, 64.0, 0.0)
    it.begin(4.5)
    assert it.wait(4.5) == pytest.approx(1 / 64)
    assert it.held_by(4.5) == "throttled"


def test_a_probe_that_tells_nothing_lets_the_next_one_go() -> None:
    it = health()
    for now in (1.0, 2.0, 3.0):
        attempt(it, Says.FAILS, now)
    attempt(it, Says.NOTHING, 4.1)
    assert (it.is_down, it.wait(4.1)) == (True, 0.0)


def test_twenty_denials_in_a_row_take_it_down() -> None:
    """The throttle has nothing to do with them."""
    it = health()
    for _ in range(19):
        attempt(it, Says.DENIES, 1.0)
    assert (it.is_down, it.is_calm(1.0)) == (False, False)
    attempt(it, Says.DENIES, 1.0)
    assert (it.is_down, it.throttle.is_on, it.refused) == (True, False, 0)


def test_a_pause_binds_all_calls_where_many_are_refused() -> None:
    """Afterwards the endpoint is not called with all of them at once."""
    it = health()
    attempt(it, Says.SERVES, 1.0)
    refuse_often(it, 1.1)
    attempt(it, Says.REFUSES, 1.2, pause=5.0)
    assert it.wait(1.2) == pytest.approx(5.0)
    assert it.held_by(1.2) == "paused"
    assert it.wait(6.1) == pytest.approx(0.1)
    assert it.wait(6.2) == 0.0
    assert it.throttle.pace < math.inf
    it.begin(6.2)
    assert it.wait(6.2) > 0
    assert it.held_by(6.2) == "throttled"


def test_a_pause_binds_its_own_call_where_most_are_served() -> None:
    """One refusal among many is chance, or says something of its record."""
    it = health()
    attempt(it, Says.SERVES, 1.0)
    attempt(it, Says.REFUSES, 1.1, pause=5.0)
    assert (it.paused_until, it.wait(1.1)) == (0.0, 0.0)


def test_a_pause_with_an_answer_that_serves_binds_all_calls() -> None:
    """It says that the quota is used up, so the next one would be refused."""
    it = health()
    attempt(it, Says.SERVES, 1.0, pause=5.0)
    assert (it.wait(1.0), it.held_by(1.0), it.is_calm(1.0)) == (5.0, "paused", False)


def test_pauses_are_bounded_and_never_cut_short() -> None:
    it = health()
    attempt(it, Says.SERVES, 1.0, pause=86_400.0)
    attempt(it, Says.SERVES, 2.0, pause=1.0)
    assert it.paused_until == 61.0


def test_without_a_breaker_it_is_never_down() -> None:
    """The throttle still slows down what is refused."""
    it = Health(None, limit=64, max_pause=60.0)
    attempt(it, Says.SERVES, 0.5)
    for now in range(1, 100):
        attempt(it, Says.REFUSES, float(now))
    attempt(it, Says.DENIES, 99.0)
    attempt(it, Says.NOTHING, 99.0)
    assert (it.is_down, it.begin(99.0)) == (False, False)
    assert 0.1 <= it.throttle.pace <= 1.0


def test_calls_do_not_wait_for_an_endpoint_without_a_breaker_that_serves_nothing() -> None:
    """At once if it never served, and otherwise after a minute; it starts anew carefully then."""
    it = Health(None, limit=64, max_pause=60.0)
    assert not it.is_absent(0.0)
    attempt(it, Says.REFUSES, 1.0)
    assert (it.is_absent(1.0), it.throttle.is_on) == (True, False)
    attempt(it, Says.SERVES, 2.0)
    assert not it.is_absent(3600.0)  # nobody has called it meanwhile
    for now in range(3600, 3660):
        attempt(it, Says.REFUSES, float(now))
        assert not it.is_absent(float(now))
    assert (it.is_absent(3660.0), it.wait(3660.0), it.throttle.wait(3660.0) > 0) == (True, 0, True)
    attempt(it, Says.SERVES, 3661.0)
    assert (it.is_absent(3661.0), it.throttle.is_on) == (False, True)
