"""A native connection for a library that speaks HTTP/1.1 on it by means of h11.

Such a library writes its request and reads until h11 has a response.  Native's guarantees hold all
the same: every byte received passes native's parser on its way to h11, and what that refuses fails
here as it does there; the rest of a large request is sent while the response is being read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from trio.lowlevel import wait_writable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.native.connection import Connection, while_sending
from tmux_fanout.transports.native.parser import ResponseParser


class H11Connection(Connection):
    """A connection on which a library makes the exchanges, byte by byte.

    Args:
        sock: connected and non-blocking; the connection owns it.
        max_body: limit on the bytes of a response body as received.
    """

    def __init__(self, sock: socket.socket, max_body: int) -> None:
        super().__init__(sock, max_body)
        self._parser = _CheckingParser(max_body, keeps_body=False)
        self._unsent = bytearray()
        self._progress: Progress | None = None  # of the exchange under way

    @property
    def received(self) -> int:
        """Bytes received of the response so far."""
        return self._parser.received

    @contextmanager
    def exchange_of(self, method: str, progress: Progress) -> Iterator[None]:
        """Expect, in the block, the exchange of a request with this method.

        Args:
            method: of the request.
            progress: updated as the exchange proceeds.
        """
        self._used = self._parser.message.complete
        self._parser.start(method)
        self._is_kept_alive = False
        self._progress = progress
        try:
            yield
        finally:
            # It refers to the record, and the connection may be idle for long.
            self._progress = None

    def put(self, data: bytes) -> None:
        """Add a part of the request, which is sent once the response is asked for."""
        self._unsent += data
        self._sent_all = False

    async def get(self) -> bytes:
        """Return some bytes of the response, or none at the end of the stream.

        Raises:
            TransportError: for the same reasons as `Connection.exchange`.
        """
        assert self._progress
        if self._unsent:
            self._progress.sent = True
            self._send_unsent()
        try:
            if self._unsent:
                data = await while_sending(self._send_all, self._receive)
            else:
                data = await self._receive()
            self._feed(data, self._progress)
        except OSError as exc:
            raise self._lost(exc) from exc
        except TransportError as error:
            self._mark_stale(error)
            raise
        return data

    async def _send_all(self) -> None:
        while self._unsent:
            await wait_writable(self._sock)
            self._send_unsent()

    def _send_unsent(self) -> None:
        del self._unsent[: self._send_some(self._unsent)]
        self._sent_all = not self._unsent


class _CheckingParser(ResponseParser):
    """Checks a response; h11 keeps its body."""

    def feed(self, data: bytes) -> bool:
        super().feed(data[:-1])
        ended_before = self.message.complete
        super().feed(data[-1:])
        if ended_before:  # by an empty line, which is harmless, but h11 would fail on it
            self.message.keep_alive = False
        return self.message.complete
