"""A pool of kept-alive connections that are idle between two requests."""

from __future__ import annotations

from collections import defaultdict
from typing import Generic, Protocol, TypeVar

from tmux_fanout.core.http.messages import Origin


class Keepable(Protocol):
    """What the pool needs of a connection; see `native.connection.Connection`."""

    max_idle: float
    idle_until: float

    @property
    def is_reusable(self) -> bool: ...

    def is_alive(self) -> bool: ...

    def close(self) -> None: ...


class Watching(Protocol):
    """Something that may watch the idle connections of a pool."""

    @property
    def is_watching(self) -> bool: ...


class _NoWatcher:
    is_watching = False


C = TypeVar("C", bound=Keepable)


class Pool(Generic[C]):
    """Idle connections by origin.  It never queues: a caller that gets none makes one.

    The connection used last is used first, so that a light load keeps few of them busy.  Servers
    close the others in time; whenever a connection is given back, the one that has been idle
    longest is checked, and dropped if it was closed or has been idle for too long.

    Args:
        watcher: calls `drop` for connections that are closed, for as long as it watches; no
            connection has to be checked then.
    """

    def __init__(self, watcher: Watching | None = None) -> None:
        self._watcher = watcher or _NoWatcher()
        self._idle: defaultdict[Origin, list[C]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._idle.values()))

    def __repr__(self) -> str:
        return f"<Pool: {len(self)} idle connections>"

    def take(self, origin: Origin, now: float) -> C | None:
        """Return a connection that is alive, as far as can be told, or None.

        Args:
            origin: to which it leads.
            now: trio's clock.
        """
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if now <= connection.idle_until and connection.is_alive():
                return connection
            connection.close()
        return None

    def make_room(self, origin: Origin) -> None:
        """Close the connection that has been idle longest, because the caller makes a new one.

        Otherwise there could be more connections than there ever were concurrent attempts.
        """
        if idle := self._idle[origin]:
            idle.pop(0).close()

    def give_back(self, origin: Origin, connection: C, now: float) -> bool:
        """Keep a connection after its exchange, or close it if it cannot be used again.

        Args:
            origin: to which it leads.
            connection: no longer used by the caller.
            now: trio's clock.

        Returns:
            Whether the connection is kept.
        """
        if not connection.is_reusable:
            connection.close()
            return False
        idle = self._idle[origin]
        if idle:
            oldest = idle[0]
            is_open = self._watcher.is_watching or oldest.is_alive()
            if not is_open or now > oldest.idle_until:
                idle.pop(0).close()
        connection.idle_until = now + connection.max_idle
        idle.append(connection)
        return True

    def drop(self, origin: Origin, connection: C) -> None:
        """Close an idle connection that has become useless."""
        self._idle[origin].remove(connection)
        connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()
