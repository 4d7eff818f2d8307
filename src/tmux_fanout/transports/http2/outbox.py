"""Bytes on their way out of an HTTP/2 connection, sent by whichever request is waiting."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable

import trio
from trio.lowlevel import wait_writable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.native.connection import while_sending

_MAX_UNREAD_REPLIES = 1 << 18  # bytes; that is 15,000 pings


class Outbox:
    """One buffer, in the order in which frames are put into it.

    A task that is cancelled while it sends leaves whole frames in the buffer, and the next task
    goes on with them.

    Args:
        sock: connected and non-blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._unread_replies = 0  # bytes of replies put in since the buffer was empty
        self._writing = trio.Lock()

    def __repr__(self) -> str:
        return f"<Outbox: {len(self._buffer)} bytes>"

    def put_replies(self, data: bytes) -> None:
        """Add what is sent in reply to the server's pings and settings.

        Raises:
            TransportError: `protocol`; the server asks for replies, and does not read them.
        """
        self._buffer += data
        self._unread_replies += len(data)
        if self._unread_replies > _MAX_UNREAD_REPLIES:
            message = "the server sends pings or settings, and does not read the answers"
            raise TransportError("protocol", message, sent=True)

    def send_some(self, data: bytes = b"") -> None:
        """Add `data`, and send as much of the buffer as the socket takes at once."""
        self._buffer += data
        try:
            while self._buffer:
                del self._buffer[: self._sock.send(self._buffer)]
            self._unread_replies = 0
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError:
            # The server closed the connection.  Reading shows whether it gave a reason.
            self._buffer.clear()

    async def wait_writable(self) -> None:
        """Wait until the socket takes more; any number of tasks may wait."""
        async with self._writing:
            await wait_writable(self._sock)

    async def flush(self) -> None:
        """Send the buffer."""
        await self._send_all()

    async def while_sending(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for something, and send the buffer meanwhile."""
        if self._buffer:
            await while_sending(self._send_all, wait)
        else:
            await wait()

    async def _send_all(self) -> None:
        while self._buffer:
            async with self._writing:
                if self._buffer:
                    await wait_writable(self._sock)
            self.send_some()
