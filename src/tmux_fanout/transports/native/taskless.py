"""Exchanges that need no task: one task waits for all connections of a transport at once.

A task for each exchange has to be put to sleep and woken, and trio asked to wait for its socket:
that is 5 us of CPU time, as much as sending a request and receiving its response.  Here the kernel
is asked once for all connections on which something has come (epoll), and each of them takes it.

That goes in passes.  First, whatever has come is taken: the responses that are whole are handed
over, and what lies idle and was closed by its server, or has brought bytes that nobody asked for,
is dropped.  Then the engine begins new exchanges.  Each still asks the kernel whether its
connection is as it was left (0.4 us): between the look and the request there may be milliseconds.
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
from tmux_fanout.core.http.messages import Response
from tmux_fanout.transports.base import P, Progress
from tmux_fanout.transports.native.connection import WOULD_BLOCK, Connection
from tmux_fanout.transports.native.head_cache import Heads

_MOST_AT_ONCE = 256  # connections in a pass: others have their turn after some milliseconds


class Watcher:
    """Waits for many connections at once, where the system has epoll.

    Attributes:
        is_watching: whether it does now.
    """

    def __init__(self) -> None:
        self._connections: dict[int, PromptConnection] = {}
        self.is_watching = False

    def __repr__(self) -> str:
        return f"<Watcher: {len(self._connections)} connections>"

    def add(self, fd: int, connection: PromptConnection) -> bool:
        """Have a connection told from now on when there is something to read.

        Returns:
            Whether it will be.
        """
        if not self.is_watching:
            return False
        try:
            self._epoll.register(fd, select.EPOLLIN)
        except OSError:  # the system watches no more
            return False
        self._connections[fd] = connection
        return True

    def remove(self, fd: int) -> None:
        """Watch a connection no longer."""
        if self._connections.pop(fd, None):
            self._epoll.unregister(fd)

    def wait_to_write(self, fd: int, *, wait: bool) -> None:
        """Have a connection told as well when it can be written to, or no longer."""
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wait else 0))

    async def watch(self, passed: Callable[[], object]) -> None:
        """Have connections take what comes for them, until cancelled.

        Args:
            passed: called after each pass.
        """
        try:
            self._epoll = select.epoll()
        except (AttributeError, OSError):  # no such thing here, or no file left for it
            return
        with self._epoll:
            self.is_watching = True
            try:
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    await trio.lowlevel.checkpoint_if_cancelled()  # then nothing is begun
                    self._pass()
                    passed()
            finally:
                self.is_watching = False
                for connection in list(self._connections.values()):
                    connection.leave()

    def _pass(self) -> None:
        for fd, _ in self._epoll.poll(0, _MOST_AT_ONCE):
            connection = self._connections.get(fd)
            if connection:  # what came for others may have closed it
                connection.on_ready()


class PromptConnection(Connection):
    """A connection whose exchanges can go without a task.

    Args:
        sock, max_body, heads: as for `Connection`.
        watcher: that tells it when there is something to read.
        finished: called with what its exchange came to, and what `begin` was called with.
        dropped: called where it turns out to be of no use while it lies idle.

    Attributes:
        is_watched: whether the watcher tells it what comes.
    """

    def __init__(
        self,
        sock: socket.socket,
        max_body: int,
        heads: Heads,
        watcher: Watcher,
        *,
        finished: Callable[[PromptConnection, Response | TransportError, Any, Any], None],
        dropped: Callable[[PromptConnection], object],
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
        """Have the watcher tell of what comes, in begun exchanges and while it is idle.

        Returns:
            Whether it will; nothing can be begun otherwise.
        """
        if not self.is_watched:
            self.is_watched = self._watcher.add(self._fd, self)
        return self.is_watched

    def leave(self) -> None:
        """Be watched no longer."""
        if self.is_watched:
            self.is_watched = False
            self._watcher.remove(self._fd)

    async def exchange(self, method: str, wire: bytes, progress: Progress) -> Response:
        self.leave()
        return await super().exchange(method, wire, progress)

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
        """Send a request on a connection that is watched; what comes of it is told by and by.

        Args:
            wire: the whole request as it goes out.
            answered: called with `progress` and what came, unless `cancel` is called before.
        """
        self._progress, self._answered = progress, answered
        self._rest = self._start(method, wire, progress)
        if self._rest:
            self._wait_to_write(wait=True)

    def cancel(self) -> None:
        """Break off what was begun."""
        self._progress = self._answered = None
        self.close()

    def on_ready(self) -> None:
        """There is something to read, or a rest can be sent."""
        if self._answered is None:
            if not self.is_alive():  # but TLS has things to say that do not matter
                self._dropped(self)
            return
        try:
            if self._waits_to_write:
                self._send_more()
            while not (response := self._take(self._sock.recv(self._recv_size), self._progress)):
                if not (self._is_tls and cast(ssl.SSLSocket, self._sock).pending()):
                    return  # more is told of, unless OpenSSL has it already
        except WOULD_BLOCK:
            return
        except ssl.SSLWantWriteError:
            self._wait_to_write(wait=True)
        except OSError as exc:
            self._finish(self._lost(exc))
        except TransportError as failure:
            self._judge(failure)
            self._finish(failure.detached())
        except Exception as exc:
            self._finish(internal_failure(exc, sent=True))
        else:
            self._finish(response)

    def _finish(self, answer: Response | TransportError) -> None:
        progress, answered = self._progress, self._answered
        assert answered is not None  # or nothing would have been under way
        self._progress = self._answered = None
        self._finished(self, answer, progress, answered)

    def _send_more(self) -> None:
        if self._rest:
            self._rest = self._rest[self._send_some(self._rest) :]
            self._sent_all = not self._rest
        self._wait_to_write(wait=bool(self._rest))

    def _wait_to_write(self, *, wait: bool) -> None:
        if wait != self._waits_to_write:
            self._waits_to_write = wait
            self._watcher.wait_to_write(self._fd, wait=wait)
