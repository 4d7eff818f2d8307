"""Virtual time: the engine runs as always, and no wait takes any time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio.testing

T = TypeVar("T")


def run_in_virtual_time(play: Callable[[], Awaitable[T]]) -> T:
    """Run an async function whose clock jumps to the next deadline whenever all tasks wait.

    Nothing in it may wait for a thread, a process or a socket: the clock does not see them.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(play, clock=clock, strict_exception_groups=True)
