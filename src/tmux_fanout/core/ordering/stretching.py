"""Deciding when a full window takes more records, because slots would otherwise idle.

With ordered output, complete records stay in the window until the head of the line is complete:
behind a slow head, the window fills with records that have no call left to make.  Then, and only
then, it is stretched: by as many records as the idle slots can take, plus some for the next slots
that come free, so that records are admitted in batches.

In these cases the order is not what holds up the calls, and stretching gains nothing:

    half of the window or more has calls open           some API is slow, or has calls waiting,
                                                        and is not held back while another idles
    every API has calls waiting, or no free slot        a limit, rate, pause or breaker holds them
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Load(NamedTuple):
    """The load of an API.

    Attributes:
        slots: number of requests that may be under way.
        free: slots without a request; negative where the limit was just lowered.
        waiting: calls that have not started yet.
        calls: maximum number of calls in one request.
        is_held: whether the API refuses, or is down, so that the others should not wait for it.
    """

    slots: int
    free: int
    waiting: int
    calls: int = 1
    is_held: bool = False

    @property
    def idles(self) -> bool:
        """Whether slots are free that no waiting call will take."""
        return self.free > 0 and not self.waiting

    @property
    def wanted(self) -> int:
        """The number of calls that would occupy the free slots, and half of all slots again."""
        return (self.free + self.slots // 2) * self.calls

    @property
    def requests_left(self) -> int:
        """The number of requests that can end before a slot finds no waiting call."""
        return max(0, self.waiting // self.calls - self.free)


class Need(NamedTuple):
    """What a full window lacks.

    Attributes:
        records: number of records to admit nevertheless.
        settled: if that is 0, number of calls to be settled before it can be more.
    """

    records: int
    settled: int


def need(window: int, incomplete: int, loads: Iterable[Load], *, is_held: bool) -> Need:
    """Return what a full window lacks while the writer waits for the head of the line.

    Args:
        window: number of records that it holds unless it is stretched.
        incomplete: number of records in it that have calls open.
        loads: of the APIs that depend on no others; only looked at where they matter.
        is_held: whether one of them is held.
    """
    excess = incomplete - window // 2
    if excess >= 0 and not is_held:
        return Need(0, excess + 1)
    loads = list(loads)
    wanted = max((load.wanted for load in loads if load.idles), default=0)
    if wanted:
        return Need(wanted if is_held else min(wanted, window - incomplete), 0)
    if is_held:
        loads = [load for load in loads if not load.is_held] or loads
    return Need(0, min(load.requests_left for load in loads) + 1)
