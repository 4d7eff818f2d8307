"""An alarm: something to do at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

AT_ONCE = 1e-6  # seconds; a shorter wait is not worthwhile, and a clock cannot always resolve it


class Alarm:
    """Call a function at the earliest of the times that it was set to.

    Args:
        nursery: runs the task that waits.
        ring: the function.
    """

    def __init__(self, nursery: trio.Nursery, ring: Callable[[], None]) -> None:
        self._nursery = nursery
        self._ring = ring
        self._time = math.inf

    def __repr__(self) -> str:
        return f"<Alarm: at {self._time}>"

    def set(self, time: float) -> None:
        """Ring at `time`, if not before."""
        if time < self._time:
            self._time = time
            self._nursery.start_soon(self._wait, time)

    async def _wait(self, time: float) -> None:
        await trio.sleep_until(time)
        await trio.lowlevel.checkpoint()  # let every other task that wakes at this time run first
        if self._time == time:
            self._time = math.inf
            self._ring()
