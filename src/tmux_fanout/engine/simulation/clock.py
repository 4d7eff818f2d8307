"""Virtual time: the engine runs as always, and no wait takes any time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio.testing

from tmux_fanout.engine.wall import hang_wall_clock

T = TypeVar("T")

START = 1767225600.0  # 2026-01-01T00:00:00Z


def run_in_virtual_time(play: Callable[[], Awaitable[T]]) -> T:
    """Run an async function whose clock jumps to the next deadline whenever all tasks wait.

    The clock on the wall begins at `START`.  Nothing may wait for a thread, a process or a socket:
    the clock does not see them.
    """

    async def play_by_its_clock() -> T:
        hang_wall_clock(lambda: START + trio.current_time())
        return await play()

    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(play_by_its_clock, clock=clock, strict_exception_groups=True)
