"""Add up what several processes counted of the same APIs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tmux_fanout.core.report.failures import FailedCalls
from tmux_fanout.core.report.hosts import HostCalls
from tmux_fanout.core.report.statistics import PHASES, ApiStatistics, HeldBy
from tmux_fanout.core.requests.lifecycle.deprecation import Deprecation
from tmux_fanout.core.spending.prices import Amount
from tmux_fanout.core.spending.spending import Use

_HOSTS = 100  # the busiest of one process, of which the busiest of all are found


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of what one process counted of one API; see `ApiStatistics`."""

    calls: int
    skipped: int
    ruled_out: int
    has_found: bool
    nothing_in: bytes
    has_next: bool
    no_next: str
    fields_seen: list[str]
    attempts: int
    hedges: int
    in_flight: int
    limit: int
    bytes_sent: int
    bytes_received: int
    held: dict[HeldBy, float]
    spent: list[float]
    failures: list[FailedCalls]
    latency: dict[int, int]
    longest: float
    spending: dict[Use, Amount]
    hosts: list[HostCalls] = []
    deprecation: Deprecation | None = None
    told: dict[str, str] = {}
    shared: int = 0
    cached: int = 0


def counts_of(api: ApiStatistics) -> Counts:
    """Return a snapshot of an API's statistics, to send to another process."""
    return Counts(
        api.calls,
        api.skipped,
        api.ruled_out,
        api.has_found,
        api.nothing_in,
        api.has_next,
        api.no_next,
        sorted(api.fields_seen),
        api.attempts,
        api.hedges,
        api.in_flight,
        api.limit,
        api.bytes_sent,
        api.bytes_received,
        dict(api.held.seconds),
        [getattr(api.spent, phase) for phase in PHASES],
        list(api.failures),
        dict(api.latency.buckets),
        api.latency.max,
        api.spending.amounts(),
        api.hosts.busiest(_HOSTS),
        api.deprecation,
        dict(api.told),
        api.shared,
        api.cached,
    )


def include(api: ApiStatistics, counts: Counts) -> None:
    """Add a snapshot from another process to an API's statistics."""
    api.calls += counts.calls
    api.skipped += counts.skipped
    api.ruled_out += counts.ruled_out
    api.has_found |= counts.has_found
    api.nothing_in = counts.nothing_in or api.nothing_in
    api.has_next |= counts.has_next
    api.no_next = counts.no_next or api.no_next
    api.fields_seen.update(counts.fields_seen)
    api.attempts += counts.attempts
    api.hedges += counts.hedges
    api.in_flight += counts.in_flight
    api.limit += counts.limit
    api.bytes_sent += counts.bytes_sent
    api.bytes_received += counts.bytes_received
    api.held.include(counts.held)
    for phase, seconds in zip(PHASES, counts.spent):
        setattr(api.spent, phase, getattr(api.spent, phase) + seconds)
    api.failures.include(counts.failures)
    api.latency.include(counts.latency, counts.longest)
    api.spending.include(counts.spending)
    api.hosts.include(counts.hosts)
    api.deprecation = api.deprecation or counts.deprecation
    api.told = {**counts.told, **api.told}
    api.shared += counts.shared
    api.cached += counts.cached


def gone(counts: Counts) -> Counts:
    """Return the snapshot of a process that has ended, without what was in flight."""
    return msgspec.structs.replace(counts, in_flight=0, limit=0)


def merge(api: ApiStatistics, counts: Sequence[Counts], processes: int) -> None:
    """Set `api`, which may be displayed live, to the sum of the snapshots.

    Blocked time is averaged over the processes, because they wait in parallel.
    """
    api.reset()
    for each in counts:
        shares = {cause: seconds / processes for cause, seconds in each.held.items()}
        include(api, msgspec.structs.replace(each, held=shares))
