"""The time at which the share of this process is over, and nothing may begin any more."""

from __future__ import annotations

import math

import trio
from trio.lowlevel import ParkingLot


class Fence:
    """Keeps attempts from beginning once the share is over.

    It is asked before every attempt, and not enforced by a timer: a process that stood still
    handles its sockets before its timers.

    Attributes:
        until: when the share is over.
    """

    def __init__(self) -> None:
        self.until = -math.inf
        self._moved = ParkingLot()

    def __repr__(self) -> str:
        return f"<Fence: until {self.until:.3f}, {len(self._moved)} attempts wait>"

    def move(self, until: float) -> None:
        """Let attempts begin before this time."""
        self.until = until
        self._moved.unpark_all()

    async def passed(self) -> None:
        """Wait until attempts may begin."""
        while trio.current_time() >= self.until:
            await self._moved.park()
