"""Exchanges without a task each: one task waits for all connections of a transport at once.

A task per exchange has to be put to sleep and woken, and trio has to be asked to wait for its
socket: that takes 5 us of CPU time, as much as sending a request and receiving its response.  Here
the kernel is asked once for all connections on which something has arrived (epoll), and each of
these reads it.

This happens in passes.  First, everything that has arrived is read: complete responses are
reported, and idle connections that their servers have closed, or that have received unsolicited
bytes, are dropped.  Then the engine begins new exchanges.  Each of these still asks the kernel
whether its connection is as it was left (0.4 us), as milliseconds may have passed since the poll.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

import trio

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import BodyStream, Response
from tmux_fanout.transports.base import P, Progress
from tmux_fanout.transports.native.connection import WOULD_BLOCK, Connection
from tmux_fanout.transports.native.head_cache import ResponseHeadCache

_MAX_AT_ONCE = 256  # connections per pass; other tasks run after some milliseconds


class Watcher:
    """Waits for many connections at once, on systems that have epoll.

    Attributes:
        is_watching: whether `watch` is running.
    """

    def __init__(self) -> None:
        self._connections: dict[int, TasklessConnection] = {}
        self.is_watching = False

    def __repr__(self) -> str:
        state = "watching" if self.is_watching else "not watching"
        return f"<Watcher: {state}, {len(self._connections)} connections>"

    def add(self, fd: int, connection: TasklessConnection) -> bool:
        """Call a connection's `on_ready` from now on whenever it is readable.

        Returns:
            False if nothing is being watched, or the system cannot watch any more.
        """
        if not self.is_watching:
            return False
        try:
            self._epoll.register(fd, select.EPOLLIN)
        except OSError:
            return False
        self._connections[fd] = connection
        return True

    def remove(self, fd: int) -> None:
        """Stop watching a connection."""
        if self._connections.pop(fd, None):
            self._epoll.unregister(fd)

    def wait_to_write(self, fd: int, *, wait: bool) -> None:
        """Watch for a connection to become writable as well, or stop doing so."""
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wait else 0))

    async def watch(self, passed: Callable[[], object]) -> None:
        """Let connections read what arrives, until cancelled.

        Args:
            passed: called after each pass.
        """
        try:
            self._epoll = select.epoll()
        except (AttributeError, OSError):  # the system lacks epoll, or a file descriptor for it
            return
        with self._epoll:
            self.is_watching = True
            try:
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    # A cancelled pass would begin new exchanges.
                    await trio.lowlevel.checkpoint_if_cancelled()
                    self._pass()
                    passed()
            finally:
                self.is_watching = False
                for connection in list(self._connections.values()):
                    connection.leave()

    def _pass(self) -> None:
        for fd, _ in self._epoll.poll(0, _MAX_AT_ONCE):
            connection = self._connections.get(fd)
            if connection:  # another connection's `on_ready` may have closed it
                connection.on_ready()


class TasklessConnection(Connection):
    """A connection whose exchanges can proceed without a task.

    Args:
        sock, max_body, heads: as for `Connection`.
        watcher: calls `on_ready`.
        finished: called when an exchange is over, with this connection, the response or error, and
            the `progress` and `answered` that were passed to `begin`.
        dropped: called when the connection becomes useless while it is idle.

    Attributes:
        is_watched: whether the watcher calls `on_ready`.
    """

    def __init__(
        self,
        sock: socket.socket,
        max_body: int,
        heads: ResponseHeadCache,
        watcher: Watcher,
        *,
        finished: Callable[[TasklessConnection, Response | TransportError, Any, Any], None],
        dropped: Callable[[TasklessConnection], object],
    ) -> None:
        super().__init__(sock, max_body, heads)
        self._fd = sock.fileno()
        self._watcher = watcher
        self.is_watched = False
        self._finished = finished
        self._dropped = dropped
        self._progress: Any = None
        self._answered: Callable[[Any, Response | TransportError], float] | None = None
        self._rest: memoryview | None = None
        self._waits_to_write = False

    def watch(self) -> bool:
        """Have the watcher call `on_ready`, for exchanges that are begun and while idle.

        Returns:
            Whether it will; otherwise no exchange can be begun.
        """
        if not self.is_watched:
            self.is_watched = self._watcher.add(self._fd, self)
        return self.is_watched

    def leave(self) -> None:
        """Have the watcher stop watching this connection."""
        if self.is_watched:
            self.is_watched = False
            self._watcher.remove(self._fd)

    async def exchange(self, method: str, wire: bytes, progress: Progress) -> Response:
        self.leave()
        return await super().exchange(method, wire, progress)

    async def exchange_stream(
        self, method: str, wire: bytes, body: BodyStream, progress: Progress
    ) -> Response:
        self.leave()
        return await super().exchange_stream(method, wire, body, progress)

    def close(self) -> None:
        self.leave()
        super().close()

    def begin(
        self,
        method: str,
        wire: bytes,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
    ) -> None:
        """Send a request on a watched connection; `finished` is called once it is over.

        Args:
            method: of the request.
            wire: the whole request as it is sent.
            progress: updated as the exchange proceeds, and passed on to `finished`.
            answered: passed on to `finished`, unless `cancel` is called first.
        """
        self._progress, self._answered = progress, answered
        self._rest = self._start(method, wire, progress)
        if self._rest:
            self._wait_to_write(wait=True)

    def cancel(self) -> None:
        """Abort the exchange that was begun, and close the connection."""
        self._progress = self._answered = None
        self.close()

    def on_ready(self) -> None:
        """Read what has arrived, and send more of a request if possible."""
        if self._answered is None:
            if not self.is_alive():  # TLS also receives records that are of no concern here
                self._dropped(self)
            return
        try:
            if self._waits_to_write:
                self._send_more()
            while not (response := self._feed(self._sock.recv(self._recv_size), self._progress)):
                # The watcher reports further bytes, unless OpenSSL already holds them.
                if not (self._is_tls and cast(ssl.SSLSocket, self._sock).pending()):
                    return
        except WOULD_BLOCK:
            return
        except ssl.SSLWantWriteError:
            self._wait_to_write(wait=True)
        except OSError as exc:
            self._finish(self._lost(exc))
        except TransportError as error:
            self._mark_stale(error)
            self._finish(error.detached())
        except Exception as exc:
            self._finish(internal_failure(exc, sent=True))
        else:
            self._finish(response)

    def _finish(self, answer: Response | TransportError) -> None:
        progress, answered = self._progress, self._answered
        assert answered is not None  # an exchange is under way
        self._progress = self._answered = None
        self._finished(self, answer, progress, answered)

    def _send_more(self) -> None:
        if self._rest:
            sent = self._send_some(self._rest)
            self._rest = self._rest[sent:]
            self._sent_all = not self._rest
        self._wait_to_write(wait=bool(self._rest))

    def _wait_to_write(self, *, wait: bool) -> None:
        if wait != self._waits_to_write:
            self._waits_to_write = wait
            self._watcher.wait_to_write(self._fd, wait=wait)
