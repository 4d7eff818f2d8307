"""The time of day as a run sees it: that of the machine, unless the run is a simulation."""

from __future__ import annotations

import time
from collections.abc import Callable

from trio.lowlevel import RunVar

Wall = Callable[[], float]
"""Return seconds since 1970."""


def _of_machine() -> float:
    return time.time()


_WALL: RunVar[Wall] = RunVar("wall", default=_of_machine)


def wall_clock() -> Wall:
    """Return the clock on the wall of this run of trio, or that of the machine outside of one."""
    try:
        return _WALL.get()
    except RuntimeError:
        return _of_machine


def hang_wall_clock(clock: Wall) -> None:
    """Have this run of trio go by another clock."""
    _WALL.set(clock)
