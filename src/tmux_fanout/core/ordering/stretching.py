"""When a full window takes more records: where slots would idle for want of them.

In order, whatever is complete stays in the window until the head of the line is: behind a slow one
the window fills with records that have no call left to make.  Then, and only then, it is stretched,
by as many as the idle slots can take and some that wait for the next ones to come free, so that
records come in by the handful.

The order is not to blame, and nothing is gained, where

    half of the window or more has calls open     some API is the slowest, or keeps calls waiting
    every API has calls waiting, or all slots     a limit, a rate, a pause or a breaker is
    taken                                         what holds them up
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Load(NamedTuple):
    """How busy an API is.

    Attributes:
        slots: for its requests.
        free: how many of them have no request; negative where the limit has just been lowered.
        waiting: calls that have not gone yet.
        calls: how many one request makes at most.
    """

    slots: int
    free: int
    waiting: int
    calls: int = 1

    @property
    def idles(self) -> bool:
        return self.free > 0 and not self.waiting

    @property
    def wanted(self) -> int:
        """Calls that occupy the slots that idle, and half as many slots as there are once more."""
        return (self.free + self.slots // 2) * self.calls

    @property
    def requests_left(self) -> int:
        """How many requests end before none is left for the next slot, where free ones fill up."""
        return max(0, self.waiting // self.calls - self.free)


class Need(NamedTuple):
    """What a full window lacks.

    Attributes:
        records: that it should take all the same.
        settled: if there are none, how many calls have to be settled before it can be otherwise.
    """

    records: int
    settled: int


def need(places: int, incomplete: int, loads: Iterable[Load]) -> Need:
    """What a full window lacks whose writer waits for the head of the line.

    Args:
        places: for records, as a rule.
        incomplete: records that have calls open.
        loads: of the APIs that are called first, asked for only if it depends on them.
    """
    excess = incomplete - places // 2
    if excess >= 0:
        return Need(0, excess + 1)
    loads = list(loads)
    wanted = max((load.wanted for load in loads if load.idles), default=0)
    if wanted:
        return Need(min(wanted, places - incomplete), 0)
    return Need(0, min(load.requests_left for load in loads) + 1)
