"""From a run in virtual time, of all records or of a part, to an estimate for all of them.

A run has a beginning, in which the window fills and rates are found, and an end, in which the last
calls finish.  Between the two it goes on at a steady pace.  So what a longer run takes is what the
short one took, and the difference in records at the pace of its second half, up to the end of its
input.  Refusals, too, are those of that half: more are refused while a rate is being found.

The processor time of requests is not simulated: the clock of a virtual run stands still while it
computes.  Where all requests together need more of it than the run takes, that is what it takes.
"""

from __future__ import annotations

from typing import NamedTuple

from tmux_fanout.core.planning.virtual import VirtualRun

_STEADY_FROM = 0.5  # share of the input
_UNSTEADY = 0.15  # by which the pace of the last quarter may differ from that of the one before


class Processor(NamedTuple):
    """What a request costs: seconds of processor time, of which several processes each have one."""

    seconds: float
    processes: int = 1

    def time_for(self, requests: float) -> float:
        """Return the seconds below which requests cannot be made."""
        return requests * self.seconds / self.processes


class Estimate(NamedTuple):
    """What a run takes.

    Attributes:
        seconds: duration.
        requests: number of attempts.
        refused: number of those that are answered with 429.
        scale: how many times as many records it has as the run that was simulated.
        is_steady: whether that run had found its pace.
    """

    seconds: float
    requests: int
    refused: int
    scale: float
    is_steady: bool


def estimate(run: VirtualRun, records: int, processor: Processor) -> Estimate:
    """Return what a run of a number of records takes, from one of as many or fewer.

    A run that is given up is over, however many records it would have had.
    """
    stats = run.statistics
    if run.given_up:
        return Estimate(stats.seconds, stats.attempts, sum(run.refused), 1.0, True)
    simulated = stats.read
    start, end = run.milestone(_STEADY_FROM * simulated), run.milestones[-1]
    seconds, refused = stats.seconds, float(sum(run.refused))
    accepted = (stats.attempts - refused) * records / simulated
    if records > simulated and end.records > start.records:
        more = (records - simulated) / (end.records - start.records)
        seconds += more * (end.seconds - start.seconds)
        refused += more * (end.refused - start.refused)
    requests = accepted + refused
    return Estimate(
        max(seconds, processor.time_for(requests)),
        round(requests),
        round(refused),
        records / simulated,
        records <= simulated or _is_steady(run),
    )


def _is_steady(run: VirtualRun) -> bool:
    read = run.statistics.read
    first, middle, end = (run.milestone(share * read) for share in (0.5, 0.75, 1.0))
    if not first.records < middle.records < end.records:
        return True
    before = (middle.seconds - first.seconds) / (middle.records - first.records)
    after = (end.seconds - middle.seconds) / (end.records - middle.records)
    return abs(after - before) <= _UNSTEADY * max(before, after)
