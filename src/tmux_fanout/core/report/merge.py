"""What several processes have counted of the same APIs, as if one had."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.report.statistics import ApiStatistics, HeldBy, TimeSpent


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """What one process has counted of one API so far; see `ApiStatistics`."""

    calls: int
    attempts: int
    hedges: int
    in_flight: int
    limit: int
    bytes_sent: int
    bytes_received: int
    held: dict[HeldBy, float]
    spent: list[float]
    errors: dict[ErrorKind, int]
    latency: dict[int, int]
    longest: float


def counts_of(api: ApiStatistics) -> Counts:
    """What there is now, to be sent elsewhere."""
    return Counts(
        api.calls,
        api.attempts,
        api.hedges,
        api.in_flight,
        api.limit,
        api.bytes_sent,
        api.bytes_received,
        dict(api.held.seconds),
        [getattr(api.spent, phase) for phase in TimeSpent.__slots__],
        dict(api.errors),
        dict(api.latency.buckets),
        api.latency.max,
    )


def include(api: ApiStatistics, counts: Counts) -> None:
    """Add what another process has counted to what was counted here."""
    api.calls += counts.calls
    api.attempts += counts.attempts
    api.hedges += counts.hedges
    api.in_flight += counts.in_flight
    api.limit += counts.limit
    api.bytes_sent += counts.bytes_sent
    api.bytes_received += counts.bytes_received
    api.held.include(counts.held)
    for phase, seconds in zip(TimeSpent.__slots__, counts.spent):
        setattr(api.spent, phase, getattr(api.spent, phase) + seconds)
    api.errors.update(counts.errors)
    api.latency.include(counts.latency, counts.longest)


def gone(counts: Counts) -> Counts:
    """What stays of what a process has counted that has died."""
    return msgspec.structs.replace(counts, in_flight=0, limit=0)


def merge(api: ApiStatistics, counts: Sequence[Counts], processes: int) -> None:
    """Have `api`, which others may show live, be the sum of what was counted.

    For how long calls were held up is the mean: the processes waited side by side.
    """
    api.reset()
    for each in counts:
        shares = {cause: seconds / processes for cause, seconds in each.held.items()}
        include(api, msgspec.structs.replace(each, held=shares))
