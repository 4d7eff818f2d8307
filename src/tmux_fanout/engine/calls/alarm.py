"""Something to be done at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

AT_ONCE = 1e-6  # seconds, for which it is not worth waiting, nor always possible


class Alarm:
    """Rings at the earliest of the times that it was set to.

    Args:
        ring: what to do then.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._time = math.inf

    def __repr__(self) -> str:
        return f"<Alarm: at {self._time}>"

    def set(self, nursery: trio.Nursery, time: float) -> None:
        """Ring at this time, if not before."""
        if time < self._time:
            self._time = time
            nursery.start_soon(self._wait, time)

    async def _wait(self, time: float) -> None:
        await trio.sleep_until(time)
        await trio.lowlevel.checkpoint()  # whoever wakes at the same time has gone before
        if self._time == time:
            self._time = math.inf
            self._ring()
