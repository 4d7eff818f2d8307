"""The circuit breaker."""

import math

import pytest

from tmux_fanout.core.endpoints.breaker import MAX_DENIALS, Breaker, BreakerSettings

SETTINGS = BreakerSettings(failures=3, open=1.0, max_open=5.0)


def opened() -> Breaker:
    """Return a breaker that was opened at 10 s, by an endpoint that last served at 9 s."""
    breaker = Breaker(SETTINGS)
    for _ in range(3):
        breaker.failed(10.0, since=9.0, is_probe=breaker.begin())
    return breaker


def test_breaker_opens_after_failures_in_a_row() -> None:
    """A success resets the count."""
    breaker = Breaker(SETTINGS)
    for succeeds in (False, False, True, False, False):
        assert not breaker.begin()
        if succeeds:
            breaker.succeeded(0.0)
        else:
            breaker.failed(2.0, since=0.5, is_probe=False)
    assert (breaker.wait(2.0), breaker.is_calm) == (0.0, False)
    breaker.failed(2.0, since=0.5, is_probe=False)
    assert (breaker.wait(2.0), breaker.open_since) == (1.0, 0.5)


def test_breaker_stays_closed_within_a_second_of_a_success() -> None:
    """Among many attempts in flight, any number of failures in a row may be chance."""
    breaker = Breaker(SETTINGS)
    for _ in range(1000):
        breaker.failed(10.99, since=10.0, is_probe=breaker.begin())
    assert (breaker.wait(10.99), breaker.open_since) == (0.0, None)
    breaker.failed(11.0, since=10.0, is_probe=breaker.begin())
    assert (breaker.wait(11.0), breaker.open_since) == (1.0, 10.0)


def test_breaker_lets_one_probe_through() -> None:
    """Other attempts wait while the probe is under way."""
    breaker = opened()
    assert breaker.wait(10.4) == pytest.approx(0.6)
    assert breaker.wait(11.0) == 0.0
    assert breaker.begin()
    assert breaker.wait(11.0) == math.inf
    breaker.succeeded(0.0)
    assert (breaker.wait(11.0), breaker.open_since, breaker.is_calm) == (0.0, None, True)


def test_breaker_lets_another_probe_go_after_one_that_told_nothing() -> None:
    """The breaker stays open no longer than planned, and past failures still count."""
    breaker = opened()
    assert breaker.begin()
    breaker.withdraw_probe()
    assert (breaker.wait(11.0), breaker.open_since, breaker.is_calm) == (0.0, 9.0, False)
    breaker.failed(19.0, since=9.0, is_probe=breaker.begin())
    assert (breaker.wait(19.0), breaker.probes) == (2.0, 2)


@pytest.mark.parametrize(
    ("now", "gap"), [(11.0, 1.0), (14.0, 1.0), (19.0, 2.0), (29.0, 4.0), (34.0, 5.0), (1e6, 5.0)]
)
def test_breaker_probes_after_a_fifth_of_the_time_down(now: float, gap: float) -> None:
    """The gap is at least `open`, and at most `max_open`; `open_since` stays the same."""
    breaker = opened()
    breaker.failed(now, since=9.0, is_probe=breaker.begin())
    assert breaker.wait(now) == pytest.approx(gap)
    assert breaker.open_since == 9.0


def test_late_failures_do_not_open_it_further() -> None:
    """Attempts that were under way when it opened do not prolong the time."""
    breaker = opened()
    breaker.failed(10.9, since=9.0, is_probe=False)
    assert breaker.wait(10.9) == pytest.approx(0.1)


def test_breaker_opens_once_all_requests_are_denied() -> None:
    """Twenty in a row are needed; a success in between resets the count."""
    breaker = Breaker(SETTINGS)
    for _ in range(MAX_DENIALS - 1):
        breaker.denied(5.0, is_probe=breaker.begin())
    assert (breaker.wait(5.0), breaker.is_suspicious) == (0.0, True)
    breaker.succeeded(began=4.9)  # perhaps just before a key expired
    assert (breaker.is_suspicious, breaker.is_calm) == (True, False)
    breaker.succeeded(began=5.0)
    assert (breaker.is_suspicious, breaker.is_calm) == (False, True)
    for _ in range(MAX_DENIALS):
        assert breaker.open_since is None
        breaker.denied(6.0, is_probe=breaker.begin())
    assert (breaker.wait(6.0), breaker.open_since, breaker.is_suspicious) == (1.0, 6.0, False)


def test_breaker_stays_open_while_a_probe_is_denied() -> None:
    """A key that is still expired keeps the calls waiting, whatever opened the breaker."""
    breaker = opened()
    breaker.denied(19.0, is_probe=breaker.begin())
    assert (breaker.wait(19.0), breaker.open_since) == (2.0, 9.0)


@pytest.mark.parametrize(
    ("wait", "has_served", "patience"),
    [(None, True, 300.0), (None, False, 60.0), (2.0, True, 2.0), (2.0, False, 2.0), (0.0, True, 0)],
)
def test_patience_is_less_with_an_endpoint_that_never_served(
    wait: float | None, has_served: bool, patience: float
) -> None:
    """An address that is wrong is found out sooner, unless `wait` is set."""
    assert BreakerSettings(wait=wait).patience(has_served=has_served) == patience
