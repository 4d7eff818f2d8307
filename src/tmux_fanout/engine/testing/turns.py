"""Turns for tasks that are ready at the same time, so that runs in virtual time are repeatable.

trio runs such tasks in a random order.  Where that order matters, each waits for its turn: they go
one by one, by keys of their own, and each has done what it can before the next one goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from typing import NoReturn

import trio
import trio.testing

Key = Sequence[int]

_PATIENCE = 1e-3  # seconds of virtual time, where nobody hands out turns any more


class Turns:
    """Hands out turns."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Key, int, trio.Event]] = []
        self._count = count()
        self._arrived = trio.Event()

    def __repr__(self) -> str:
        return f"<Turns: {len(self._waiting)} waiting>"

    async def wait(self, key: Key) -> None:
        """Wait until it is one's turn: until no task with a smaller key can go."""
        event = trio.Event()
        heappush(self._waiting, (key, next(self._count), event))
        self._arrived.set()
        try:
            await event.wait()
        finally:
            event.set()  # a cancelled task gives up its turn

    async def leave(self, key: Key) -> None:
        """Wait, although cancelled: attempts that run out of time together end one by one."""
        deadline = trio.current_time() + _PATIENCE
        with trio.CancelScope(deadline=deadline, shield=True):
            await self.wait(key)

    async def hand_out(self) -> NoReturn:
        """Hand out turns, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            await trio.testing.wait_all_tasks_blocked()
            while self._waiting:
                _, _, event = heappop(self._waiting)
                if not event.is_set():
                    event.set()
                    await trio.testing.wait_all_tasks_blocked()
