"""One connection: a non-blocking socket, and one exchange after another on it.

The fast path of an exchange is one `send` that takes all, one wait, one `recv` that brings all.
trio's own sockets and streams put a checkpoint around each of these, which costs more than the
system call (3 to 14 us against 1 to 3), so the socket is used directly and trio is asked only to
wait.  TLS is an `ssl.SSLSocket` on the same terms: it says whether it wants to read or to write.

A server may answer before it has read the whole request, and close (413, say).  So where a request
does not fit into the socket at once, the rest is sent while the response is read.
"""

from __future__ import annotations

import select
import socket
import ssl

import trio
from trio.lowlevel import wait_readable, wait_writable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import MISDIRECTED, Response
from tmux_fanout.core.policy.keep_alive import MAX_IDLE, Headers, idle_limit, requests_left
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.native.connect import reason_of
from tmux_fanout.transports.native.head_cache import Heads
from tmux_fanout.transports.native.nested_tls import NestedTls
from tmux_fanout.transports.native.parser import ResponseParser

# A read of 64 KiB costs 1 us more than one of 16, whatever comes: so much memory is asked for.
_SMALL_READ, _LARGE_READ = 16 << 10, 64 << 10
# Alerts about our certificate.  A server may ask for one at any time (RFC 8446, section 4.6.2).
_REFUSALS = (
    "_CERTIFICATE",
    "_CERTIFICATE_EXPIRED",
    "_CERTIFICATE_REQUIRED",
    "_CERTIFICATE_REVOKED",
    "_CERTIFICATE_UNKNOWN",
    "_ALERT_UNKNOWN_CA",
    "_ALERT_ACCESS_DENIED",
)
# Alerts that belong to a handshake.  All others may come at any time, from a server that has read
# and processed the request.
_HANDSHAKE_REFUSALS = (
    *_REFUSALS,
    "_ALERT_HANDSHAKE_FAILURE",
    "_ALERT_NO_APPLICATION_PROTOCOL",
    "_UNRECOGNIZED_NAME",
)
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError)


class Connection:
    """A connected socket and the parser of what comes from it.

    Args:
        sock: connected, non-blocking; the connection owns it.
        max_body: most bytes of a response body as received.
        heads: of responses, those that are known, or None.

    Attributes:
        max_idle: seconds that it may lie idle.
        idle_until: when it has been idle for so long since its last exchange.
    """

    def __init__(self, sock: socket.socket, max_body: int, heads: Heads | None = None) -> None:
        self._sock = sock
        self._is_tls = isinstance(sock, (ssl.SSLSocket, NestedTls))
        # Asked for now: after an alert, OpenSSL no longer tells.
        version = sock.version() if isinstance(sock, (ssl.SSLSocket, NestedTls)) else None
        self._is_tls13 = version == "TLSv1.3"
        self._parser = ResponseParser(max_body, heads)
        self._events = select.poll()
        self._events.register(sock, select.POLLIN)
        self.max_idle = MAX_IDLE
        self.idle_until = 0.0
        self._heeded: Headers = ()
        self._used = False
        self._sent_all = False
        self._is_kept_alive = False
        self._recv_size = _SMALL_READ

    def __repr__(self) -> str:
        return f"<Connection: fd {self._sock.fileno()}, {self._parser!r}>"

    @property
    def is_reusable(self) -> bool:
        """Whether the last exchange left both sides where the next can begin."""
        return self._sent_all and self._is_kept_alive

    def is_alive(self) -> bool:
        """Whether an idle connection is usable: not closed, and without unasked-for bytes."""
        # Nearly always nothing has come.  To be told so by an exception costs three times as much,
        # but with TLS something may have come that OpenSSL keeps.
        if not self._is_tls and not self._events.poll(0):
            return True
        try:
            self._sock.recv(1)
        except WOULD_BLOCK:
            return True
        except OSError:
            return False
        return False

    def _heed(self, headers: Headers) -> None:
        """Learn from a response for how long, and whether, the server lets it be used again."""
        self._heeded = headers
        if any(name == b"keep-alive" for name, _ in headers):
            self.max_idle = idle_limit(headers)
            self._is_kept_alive = self._is_kept_alive and requests_left(headers) != 0

    def close(self) -> None:
        self._sock.close()
        self._parser.close()

    async def exchange(self, method: str, wire: bytes, progress: Progress) -> Response:
        """Send a request and read its response.

        Args:
            wire: the whole request as it goes out.

        Returns:
            The response, its body as received.

        Raises:
            TransportError: `protocol` or `too_large`.
        """
        rest = self._start(method, wire, progress)
        if rest:
            return await self._read_while_sending(rest, progress)
        return await self._read(progress)

    def _start(self, method: str, wire: bytes, progress: Progress) -> memoryview | None:
        """Send what the socket takes of a request.  Returns the rest, or None."""
        self._parser.start(method)
        self._is_kept_alive = False
        progress.sent = True
        sent = self._send_some(wire)
        self._sent_all = sent == len(wire)
        return None if self._sent_all else memoryview(wire)[sent:]

    def _send_some(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes the socket took; all, as far as we care, if the server is not reading."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError:
            # Closed by the server, who may have said why: reading will tell.
            return len(data)

    async def _send_rest(self, data: memoryview) -> None:
        while data:
            await wait_writable(self._sock)
            data = data[self._send_some(data) :]
        self._sent_all = True

    async def _read_while_sending(self, rest: memoryview, progress: Progress) -> Response:
        answer: Response | TransportError
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_rest, rest)
            try:
                answer = await self._read(progress)
            except TransportError as failure:
                answer = failure
            nursery.cancel_scope.cancel()
        if isinstance(answer, TransportError):
            raise answer
        return answer

    async def _read(self, progress: Progress) -> Response:
        try:
            while not (response := self._take(await self._receive(), progress)):
                pass
        except OSError as exc:
            raise self._lost(exc) from exc
        except TransportError as failure:
            self._judge(failure)
            raise
        return response

    def _take(self, data: bytes, progress: Progress) -> Response | None:
        """The response, if these bytes complete it; none are the end of the stream.

        Raises:
            TransportError: they are no part of a response that can be accepted.
        """
        parser = self._parser
        response = parser.recognise(data)
        if response:
            self._used = self._is_kept_alive = True
            if response.headers is not self._heeded:  # the very same, as heads are known again
                self._heed(response.headers)
        elif parser.feed(data) if data else parser.feed_eof():
            self._used = True
            self._is_kept_alive = parser.keep_alive and parser.status != MISDIRECTED
            self._heed(parser.headers)
            response = Response(parser.status, parser.headers, parser.take_body(), parser.received)
        else:
            self._recv_size = _LARGE_READ
            if not progress.first_byte_at:
                progress.first_byte_at = trio.current_time()
        return response

    def _judge(self, failure: TransportError) -> None:
        """Tell of a failure whether the connection was closed before it was used again."""
        failure.stale = failure.transient and self._is_stale()

    def _lost(self, exc: OSError) -> TransportError:
        alert = (exc.reason or "") if isinstance(exc, ssl.SSLError) else ""
        is_first = not self._used and not self._parser.received
        if self._is_tls13 and is_first and alert.endswith(_HANDSHAKE_REFUSALS):
            # With TLS 1.3 the client ends its handshake first, and sends the request at once.  A
            # server that refuses the handshake says so only now, and has processed nothing.
            message = f"TLS handshake refused by the server: {reason_of(exc)}"
            return TransportError("tls", message, sent=False)
        if alert.endswith(_REFUSALS) and not self._parser.received:
            return TransportError("tls", f"refused by the server: {reason_of(exc)}", sent=True)
        where = "in the middle of" if self._parser.received else "before"
        message = f"connection lost {where} the response: {reason_of(exc)}"
        return TransportError(
            "protocol", message, sent=True, transient=True, stale=self._is_stale()
        )

    def _is_stale(self) -> bool:
        return self._used and not self._parser.received

    async def _receive(self) -> bytes:
        """Some bytes, or none at the end of the stream."""
        if not self._is_tls:  # whose bytes may be in OpenSSL's buffer already
            await wait_readable(self._sock)
        while True:
            try:
                return self._sock.recv(self._recv_size)
            except WOULD_BLOCK:
                await wait_readable(self._sock)
            except ssl.SSLWantWriteError:
                await wait_writable(self._sock)
