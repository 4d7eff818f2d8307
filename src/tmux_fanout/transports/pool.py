"""Kept-alive connections between two requests."""

from __future__ import annotations

from collections import defaultdict
from typing import Generic, Protocol, TypeVar

from tmux_fanout.core.http.messages import Origin


class Keepable(Protocol):
    max_idle: float
    idle_until: float

    @property
    def is_reusable(self) -> bool: ...

    def is_alive(self) -> bool: ...

    def close(self) -> None: ...


class Watching(Protocol):
    @property
    def is_watching(self) -> bool: ...


class _Nobody:
    is_watching = False


C = TypeVar("C", bound=Keepable)


class Pool(Generic[C]):
    """Idle connections, by origin.  It never queues: who finds none makes one.

    The connection used last is used first, so that under a light load few are kept busy.  The
    others are closed by their servers in time; whenever a connection comes back, the one that has
    been idle longest is looked at, and dropped if it was.  One that has been idle for too long is
    not used again, and dropped as well.

    Args:
        watcher: that calls `drop` for those that are closed, as long as it watches: then none has
            to be looked at.
    """

    def __init__(self, watcher: Watching | None = None) -> None:
        self._watcher = watcher or _Nobody()
        self._idle: defaultdict[Origin, list[C]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._idle.values()))

    def __repr__(self) -> str:
        return f"<Pool: {len(self)} idle connections>"

    def take(self, origin: Origin, now: float) -> C | None:
        """A connection that is alive, as far as one can tell, or None."""
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if now <= connection.idle_until and connection.is_alive():
                return connection
            connection.close()
        return None

    def make_room(self, origin: Origin) -> None:
        """Close the connection that has been idle longest, before one is made though some are idle.

        Otherwise there could be more of them than there ever were attempts at once.
        """
        if idle := self._idle[origin]:
            idle.pop(0).close()

    def give_back(self, origin: Origin, connection: C, now: float) -> bool:
        """Keep a connection after its exchange, or close it if it cannot be used again.

        Returns:
            Whether it is kept.
        """
        if not connection.is_reusable:
            connection.close()
            return False
        idle = self._idle[origin]
        if idle:
            oldest = idle[0]
            is_seen_to = self._watcher.is_watching or oldest.is_alive()
            if not is_seen_to or now > oldest.idle_until:
                idle.pop(0).close()
        connection.idle_until = now + connection.max_idle
        idle.append(connection)
        return True

    def drop(self, origin: Origin, connection: C) -> None:
        """Close a connection that has turned out to be of no use while it was idle."""
        self._idle[origin].remove(connection)
        connection.close()

    def close(self) -> None:
        """Close all that are idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()
