"""From a simulated part of a run to all of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tmux_fanout.core.planning.estimate import Processor, estimate
from tmux_fanout.core.planning.virtual import Milestone, VirtualRun
from tmux_fanout.core.report.statistics import RunStatistics

FREE = Processor(0.0)


def run_of(
    milestones: Sequence[Milestone], seconds: float, attempts: int, refused: int = 0
) -> VirtualRun:
    statistics = RunStatistics(["a"])
    statistics.read = milestones[-1].records
    statistics.seconds = seconds
    statistics.apis[0].attempts = attempts
    return VirtualRun(statistics, milestones, [refused], 10, 1000, 0.1)


STEADY = run_of(
    [Milestone(at, 3.0 + at / 100, 20) for at in range(0, 1001, 100)], 15.0, 1020, refused=20
)


def test_whole_run_is_taken_as_it_is() -> None:
    """What was simulated needs no estimate."""
    found = estimate(STEADY, 1000, FREE)
    assert found == (15.0, 1020, 20, 1.0, True)


def test_rest_goes_on_at_the_pace_of_the_second_half() -> None:
    """Beginning and end happen once, and so do refusals while a rate is being found."""
    found = estimate(STEADY, 11_000, FREE)
    assert found.seconds == pytest.approx(15.0 + 10_000 / 100)
    assert (found.requests, found.refused) == (11_020, 20)
    assert found.is_steady


def test_lasting_refusals_are_multiplied() -> None:
    """An API that goes on refusing does so to the end."""
    milestones = [Milestone(at, at / 100, at // 10) for at in range(0, 1001, 100)]
    found = estimate(run_of(milestones, 11.0, 1100, 100), 10_000, FREE)
    assert (found.requests, found.refused) == (11_000, 1000)


def test_pace_that_changes_is_told() -> None:
    """An estimate from it is uncertain."""
    milestones = [Milestone(at, (at / 100) ** 2, 0) for at in range(0, 1001, 100)]
    run = run_of(milestones, 101.0, 1000)
    assert not estimate(run, 10_000, FREE).is_steady
    assert estimate(run, 1000, FREE).is_steady


def test_processor_bounds_the_pace() -> None:
    """Requests cannot be quicker than the processes that make them."""
    assert estimate(STEADY, 1000, Processor(0.1)).seconds == pytest.approx(102.0)
    assert estimate(STEADY, 1000, Processor(0.1, 4)).seconds == pytest.approx(25.5)


def test_run_that_takes_no_time() -> None:
    """There is no pace to divide by."""
    run = run_of([Milestone(0, 0.0, 0), Milestone(100, 0.0, 0)], 0.0, 100)
    assert estimate(run, 1000, FREE).seconds == 0.0
