"""One connection: a non-blocking socket that carries one exchange after another.

The fast path of an exchange is one `send` that takes the whole request, one wait, and one `recv`
that returns the whole response.  trio's own sockets and streams put a checkpoint around each of
these, which costs more than the system call itself (3 to 14 us against 1 to 3).  So the socket is
used directly, and trio only does the waiting.  TLS is an `ssl.SSLSocket` in the same role: it
reports whether it wants to read or to write.

A server may answer, and close the connection, before it has read the whole request (with a 413,
say).  So if the socket does not take the request at once, the rest is sent while the response is
being read.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio
from mypy_extensions import mypyc_attr
from trio.lowlevel import wait_readable, wait_writable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import MISDIRECTED, BodyStream, Response
from tmux_fanout.core.policy.keep_alive import MAX_IDLE, Headers, requests_left
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.native.connect import reason_of
from tmux_fanout.transports.native.head_cache import ResponseHeadCache, announced_idle
from tmux_fanout.transports.native.nested_tls import NestedTls
from tmux_fanout.transports.native.parser import ResponseParser

# `recv` allocates its whole buffer: reading 64 KiB costs 1 us more than 16 KiB, however little
# arrives.
_SMALL_READ, _LARGE_READ = 16 << 10, 64 << 10
# Alerts about the client's certificate.  A server may request one at any time (RFC 8446, section
# 4.6.2).
_REFUSALS = (
    "_CERTIFICATE",
    "_CERTIFICATE_EXPIRED",
    "_CERTIFICATE_REQUIRED",
    "_CERTIFICATE_REVOKED",
    "_CERTIFICATE_UNKNOWN",
    "_ALERT_UNKNOWN_CA",
    "_ALERT_ACCESS_DENIED",
)
# Alerts that belong to a handshake.  Any other alert may come at any time, from a server that has
# read and processed the request.
_HANDSHAKE_REFUSALS = (
    *_REFUSALS,
    "_ALERT_HANDSHAKE_FAILURE",
    "_ALERT_NO_APPLICATION_PROTOCOL",
    "_UNRECOGNIZED_NAME",
)
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError)

T = TypeVar("T")


async def while_sending(
    send: Callable[[], Awaitable[None]], receive: Callable[[], Awaitable[T]]
) -> T:
    """Run `receive` with `send` beside it, and cancel `send` once `receive` is done.

    Returns:
        The result of `receive`.

    Raises:
        Exception: what `receive` raises, not wrapped in a group; or what `send` raises before
            `receive` is done.
    """
    results: list[T | Exception] = []

    async def sending() -> None:
        try:
            await send()
        except Exception as exc:
            results.append(exc)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending)
        try:
            results.append(await receive())
        except Exception as exc:
            results.append(exc)
        nursery.cancel_scope.cancel()
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection:
    """A connected socket and the parser of the responses received on it.

    Args:
        sock: connected and non-blocking; the connection owns it.
        max_body: limit on the bytes of a response body as received.
        heads: cached response heads, or None to parse every response.

    Attributes:
        max_idle: seconds that the connection may be idle between two exchanges.
        idle_until: trio's clock when that time is over; set by the pool.
    """

    def __init__(
        self, sock: socket.socket, max_body: int, heads: ResponseHeadCache | None = None
    ) -> None:
        self._sock = sock
        self._is_tls = isinstance(sock, (ssl.SSLSocket, NestedTls))
        # Asked now, because OpenSSL no longer knows after an alert.
        version = sock.version() if isinstance(sock, (ssl.SSLSocket, NestedTls)) else None
        self._is_tls13 = version == "TLSv1.3"
        self._parser = ResponseParser(max_body, heads)
        self._events = select.poll()
        self._events.register(sock, select.POLLIN)
        self.max_idle = MAX_IDLE
        self.idle_until = 0.0
        self._used = False
        self._sent_all = True
        self._is_kept_alive = True
        self._recv_size = _SMALL_READ

    def __repr__(self) -> str:
        return f"<Connection: fd {self._sock.fileno()}, {self._parser!r}>"

    @property
    def is_reusable(self) -> bool:
        """Whether an exchange can begin: there was none yet, or the last one is complete."""
        return self._sent_all and self._is_kept_alive

    def is_alive(self) -> bool:
        """Return whether an idle connection is still open, and without unsolicited bytes."""
        # Nearly always nothing has arrived.  Learning that from an exception costs three times as
        # much as polling, but polling does not see the bytes that OpenSSL holds.
        if not self._is_tls and not self._events.poll(0):
            return True
        try:
            self._sock.recv(1)
        except WOULD_BLOCK:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self._sock.close()
        self._parser.close()

    async def exchange(self, method: str, wire: bytes, progress: Progress) -> Response:
        """Send a request and read its response.

        Args:
            method: of the request.
            wire: the whole request as it is sent.
            progress: updated as the exchange proceeds.

        Returns:
            The response, with its body as received.

        Raises:
            TransportError: `protocol`, `too_large` or `tls`.
        """
        rest = self._start(method, wire, progress)
        if rest:
            return await while_sending(
                partial(self._send_rest, rest), partial(self._read, progress)
            )
        return await self._read(progress)

    async def exchange_stream(
        self, method: str, wire: bytes, body: BodyStream, progress: Progress
    ) -> Response:
        """Make an exchange as `exchange` does, with a body that is read while it is sent.

        Args:
            method: of the request.
            wire: its head as it is sent.
            body: what follows that.
            progress: updated as the exchange proceeds.
        """
        rest = self._start(method, wire, progress)
        self._sent_all = False

        async def send() -> None:
            if rest:
                await self._send_piece(rest)
            async for piece in body:
                await self._send_piece(memoryview(piece))
            self._sent_all = True

        return await while_sending(send, partial(self._read, progress))

    def _start(self, method: str, wire: bytes, progress: Progress) -> memoryview | None:
        """Send as much of a request as the socket takes.  Return the rest, or None."""
        self._parser.start(method)
        self._is_kept_alive = False
        progress.sent = True
        sent = self._send_some(wire)
        self._sent_all = sent == len(wire)
        return None if self._sent_all else memoryview(wire)[sent:]

    def _send_some(self, data: bytes | bytearray | memoryview) -> int:
        """Return how many bytes the socket took; all of them if the server has stopped reading."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError:
            # The server closed the connection.  Reading shows whether it answered first.
            return len(data)

    async def _send_rest(self, data: memoryview) -> None:
        await self._send_piece(data)
        self._sent_all = True

    async def _send_piece(self, data: memoryview) -> None:
        while data:
            await wait_writable(self._sock)
            sent = self._send_some(data)
            data = data[sent:]

    async def _read(self, progress: Progress) -> Response:
        try:
            while not (response := self._feed(await self._receive(), progress)):
                pass
        except OSError as exc:
            raise self._lost(exc) from exc
        except TransportError as error:
            self._mark_stale(error)
            raise
        return response

    def _feed(self, data: bytes, progress: Progress) -> Response | None:
        """Return the response if these bytes complete it.  No bytes mean the end of the stream.

        Raises:
            TransportError: the bytes are not part of an acceptable response.
        """
        parser = self._parser
        head = parser.recognise(data)
        if head:
            self._used = self._is_kept_alive = True
            if head.max_idle is not None:
                self.max_idle = head.max_idle
            body = data[head.size :]
            return Response(head.status, head.headers, body, len(data), head.is_plain)
        if parser.feed(data) if data else parser.feed_eof():
            message = parser.message
            self._used = True
            self._is_kept_alive = message.keep_alive and message.status != MISDIRECTED
            self._apply_keep_alive(message.headers)
            return Response(message.status, message.headers, parser.take_body(), parser.received)
        self._recv_size = _LARGE_READ
        if not progress.first_byte_at:
            progress.first_byte_at = trio.current_time()
        return None

    def _apply_keep_alive(self, headers: Headers) -> None:
        """Apply what the server announces about reusing the connection, if anything."""
        max_idle = announced_idle(headers)
        if max_idle is not None:
            self.max_idle = max_idle
            self._is_kept_alive = self._is_kept_alive and requests_left(headers) != 0

    def _mark_stale(self, error: TransportError) -> None:
        """Mark an error as stale if the server closed the connection while it was idle."""
        error.stale = error.transient and self._is_stale()

    def _is_stale(self) -> bool:
        return self._used and not self._parser.received

    def _lost(self, exc: OSError) -> TransportError:
        """Return the error for a connection that broke while a response was awaited."""
        alert = (exc.reason or "") if isinstance(exc, ssl.SSLError) else ""
        is_first = not self._used and not self._parser.received
        if self._is_tls13 and is_first and alert.endswith(_HANDSHAKE_REFUSALS):
            # In TLS 1.3 the client finishes its handshake first and sends the request at once.  A
            # server that refuses the handshake reports it only now, and has processed nothing.
            message = f"TLS handshake refused by the server: {reason_of(exc)}"
            return TransportError("tls", message, sent=False)
        if alert.endswith(_REFUSALS) and not self._parser.received:
            return TransportError("tls", f"refused by the server: {reason_of(exc)}", sent=True)
        where = "in the middle of" if self._parser.received else "before"
        message = f"connection lost {where} the response: {reason_of(exc)}"
        return TransportError(
            "protocol", message, sent=True, transient=True, stale=self._is_stale()
        )

    async def _receive(self) -> bytes:
        """Return some bytes, or none at the end of the stream."""
        if not self._is_tls:  # with TLS, OpenSSL may hold bytes that the kernel does not know of
            await wait_readable(self._sock)
        while True:
            try:
                return self._sock.recv(self._recv_size)
            except WOULD_BLOCK:
                await wait_readable(self._sock)
            except ssl.SSLWantWriteError:
                await wait_writable(self._sock)
