"""Idle connections to any number of hosts, of which only so many are kept."""

from __future__ import annotations

from collections import OrderedDict

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.transports.pool import C, Pool, Watching


class BoundedPool(Pool[C]):
    """Idle connections by origin, no more than a maximum over all of them.

    Where there would be more, the one that has been idle longest is closed.

    Args:
        max_idle: the maximum.
        watcher: as for `Pool`.
    """

    def __init__(self, max_idle: int, watcher: Watching | None = None) -> None:
        super().__init__(watcher)
        self._max_idle = max_idle
        self._kept: OrderedDict[C, Origin] = OrderedDict()  # by when they became idle

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, origin: Origin, now: float) -> C | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            self._forget(origin, connection)
            if now <= connection.idle_until and connection.is_alive():
                return connection
            connection.close()
        return None

    def make_room(self, origin: Origin) -> None:
        if idle := self._idle.get(origin):
            self.drop(origin, idle[0])

    def give_back(self, origin: Origin, connection: C, now: float) -> bool:
        if not connection.is_reusable:
            connection.close()
            return False
        connection.idle_until = now + connection.max_idle
        self._idle[origin].append(connection)
        self._kept[connection] = origin
        if len(self._kept) > self._max_idle:
            oldest, its_origin = next(iter(self._kept.items()))
            self.drop(its_origin, oldest)
            return oldest is not connection
        return True

    def drop(self, origin: Origin, connection: C) -> None:
        self._idle[origin].remove(connection)
        self._forget(origin, connection)
        connection.close()

    def _forget(self, origin: Origin, connection: C) -> None:
        del self._kept[connection]
        if not self._idle[origin]:
            del self._idle[origin]

    def close(self) -> None:
        super().close()
        self._idle.clear()
        self._kept.clear()
