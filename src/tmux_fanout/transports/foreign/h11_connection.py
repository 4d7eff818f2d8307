"""A native connection, lent to a library that speaks HTTP/1.1 on it by way of h11.

Such a library writes its request and reads until h11 has a response.  In between stands what makes
a connection native's: all that is received passes native's parser on its way to h11, and what that
refuses fails here as it does there; the rest of a large request is sent while the response is read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from trio.lowlevel import wait_writable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.native.connection import Connection
from tmux_fanout.transports.native.parser import ResponseParser


class LentConnection(Connection):
    """A connection of which the exchanges are another's, byte by byte.

    Args:
        sock: connected, non-blocking; the connection owns it.
        max_body: most bytes of a response body as received.
    """

    def __init__(self, sock: socket.socket, max_body: int) -> None:
        super().__init__(sock, max_body)
        self._parser = _Witness(max_body)
        self._unsent = bytearray()

    @property
    def received(self) -> int:
        """Bytes of the response so far."""
        return self._parser.received

    @contextmanager
    def lent_for(self, method: str, progress: Progress) -> Iterator[None]:
        """Expect, in the block, the exchange of a request with this method."""
        self._used = self._parser.complete
        self._parser.start(method)
        self._is_kept_alive = False
        self._progress = progress
        try:
            yield
        finally:
            del self._progress  # it leads to the record, and the connection may stay idle for long

    def put(self, data: bytes) -> None:
        """Take a part of the request, to be sent once the response is asked for."""
        self._unsent += data

    async def get(self) -> bytes:
        """Some bytes of the response, or none at the end of the stream.

        Raises:
            TransportError: what native would raise.
        """
        if self._unsent:
            self._progress.sent = True
            self._send_unsent()
        try:
            data = await (self._receive_while_sending() if self._unsent else self._receive())
            self._take(data, self._progress)
        except OSError as exc:
            raise self._lost(exc) from exc
        except TransportError as failure:
            self._judge(failure)
            raise
        return data

    def _send_unsent(self) -> None:
        del self._unsent[: self._send_some(self._unsent)]
        self._sent_all = not self._unsent

    async def _receive_while_sending(self) -> bytes:
        async def send() -> None:
            while self._unsent:
                await wait_writable(self._sock)
                self._send_unsent()

        data: bytes | OSError
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            try:
                data = await self._receive()
            except OSError as exc:
                data = exc
            nursery.cancel_scope.cancel()
        if isinstance(data, OSError):
            raise data
        return data


class _Witness(ResponseParser):
    """Judges a response; its body is for h11 to keep."""

    def feed(self, data: bytes) -> bool:
        super().feed(data[:-1])
        ended_before = self.complete
        super().feed(data[-1:])
        if ended_before:  # by an empty line, which is harmless, but h11 would trip over it
            self.keep_alive = False
        return self.complete

    def on_body(self, data: bytes) -> None:
        super().on_body(data)
        self._pieces.clear()
