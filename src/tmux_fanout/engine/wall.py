"""The time of day as a run sees it: that of the machine, unless the run is a simulation."""

from __future__ import annotations

import time
from collections.abc import Callable

from trio.lowlevel import RunVar

Wall = Callable[[], float]
"""Return seconds since 1970."""

_WALL: RunVar[Wall] = RunVar("wall", default=time.time)


def wall_clock() -> Wall:
    """Return the clock on the wall of this run of trio, or that of the machine outside of one."""
    try:
        return _WALL.get()
    except RuntimeError:
        return time.time


def hang_wall_clock(clock: Wall) -> None:
    """Have this run of trio go by another clock."""
    _WALL.set(clock)
