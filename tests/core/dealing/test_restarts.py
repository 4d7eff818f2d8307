"""When a worker process that died is replaced."""

from __future__ import annotations

import pytest

from tmux_fanout.core.dealing.restarts import MAX_DEATHS, restart_delay


@pytest.mark.parametrize(
    ("deaths", "delay"), [(0, 0.0), (1, 0.0), (2, 0.1), (3, 0.2), (5, 0.8), (8, 5.0), (11, 5.0)]
)
def test_first_restart_is_immediate_and_pauses_grow(deaths: int, delay: float) -> None:
    """One death is an accident; the more there are in a row, the longer the pause."""
    assert restart_delay(deaths) == pytest.approx(delay)


def test_slot_is_given_up_after_half_a_minute_of_deaths() -> None:
    """Whatever kills every process may pass, so restarts go on for a while."""
    delays = [restart_delay(deaths) for deaths in range(1, MAX_DEATHS)]
    assert None not in delays
    assert 20 < sum(delay or 0 for delay in delays) < 40
    assert restart_delay(MAX_DEATHS) is None


def test_slot_whose_processes_exit_by_themselves_is_given_up_at_the_second() -> None:
    """A broken installation does not repair itself."""
    assert restart_delay(1, killed=False) == 0.0
    assert restart_delay(2, killed=False) is None
    assert restart_delay(0, killed=False) == 0.0
