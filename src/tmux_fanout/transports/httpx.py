"""The httpx transport: requests go through an `httpx.AsyncClient`, connections are native's.

httpx 0.28 rests on httpcore and that on h11.  Taken as they come, they fall short of what a
transport has to be here:

- httpcore's pool loses a place for good when a request is cancelled while it waits, and a socket
  when it is cancelled between connecting and sending; it costs O(n) for each request.
- A TLS handshake that is cancelled leaves its socket open.
- Bytes past the end of a response stay in h11's buffer, and are the next request's response.
- h11 overlooks a length beside chunks, and never tires of interim responses or chunk extensions.
- The whole request is written before anything is read, so a server that answers early and goes on
  reading nothing, or that writes as it reads, is waited for in vain.
- With redirects off, the client still parses Location, and fails where it cannot.

So the client decides what is sent and what has come back, and what is below it is exchanged at
two seams that httpx and httpcore offer.  `_Bridge` is the client's transport: no pool, but the
connection that the request brings along.  `_Stream` is that connection, native's, in the shape of
an httpcore network stream: all that is received passes native's parser on its way to h11, and what
that refuses fails with the same words.  Connecting, the check of idle connections and the reading
of a close or a reset are native's own.

HTTP/1.1 only; nothing here speaks to a proxy.
"""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import NamedTuple

import httpcore
import httpx
import trio
from trio.lowlevel import wait_writable

from tmux_fanout.core.errors import Failure, printable
from tmux_fanout.core.http import Origin, Request, RequestHead, Response
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.native.connect import connect
from tmux_fanout.transports.native.connection import Connection
from tmux_fanout.transports.native.parser import ResponseParser


class HttpxTransport:
    """HTTP/1.1 with one request at a time on each connection, the one used last first.

    Args:
        plan: of the API that is called.
        tls: for https.
    """

    def __init__(self, plan: ApiPlan, tls: ssl.SSLContext | None) -> None:
        self._connect_timeout = plan.connect_timeout
        self._max_response = plan.max_response
        self._tls = tls
        self._idle: defaultdict[Origin, list[_Stream]] = defaultdict(list)
        self._client = httpx.AsyncClient(transport=_Bridge(), timeout=None, trust_env=False)

    def __repr__(self) -> str:
        return f"<HttpxTransport: {sum(map(len, self._idle.values()))} idle connections>"

    async def send(self, request: Request, progress: Progress) -> Response:
        origin = request.head.origin
        idle = self._idle[origin]
        stream = None if progress.fresh else _take_alive(idle)
        if stream is None:
            sock = await connect(origin, self._tls, self._connect_timeout)
            stream = _Stream(sock, self._max_response, origin)
        reusable = False
        try:
            response = await self._exchange(stream, request, progress)
            reusable = stream.is_reusable
        finally:
            if reusable:
                idle.append(stream)
            else:
                stream.close()
        return decoded(response, self._max_response)

    async def _exchange(self, stream: _Stream, request: Request, progress: Progress) -> Response:
        """Have the client send a request on a connection, and read what it makes of the answer."""
        stream.start(request.head.method, progress)
        try:
            incoming = await self._client.send(_outgoing(request, stream), stream=True)
            body = b"".join([piece async for piece in incoming.aiter_raw()])
        except (httpx.InvalidURL, httpcore.LocalProtocolError) as exc:
            # Whose own message may quote a header, and so a secret.
            message = "httpx does not send this request: its URL or a header is not to its liking"
            raise Failure("protocol", message, sent=progress.sent) from exc
        except (httpx.HTTPError, httpcore.ProtocolError) as exc:
            message = f"not a valid HTTP/1.1 response: {printable(str(exc))}"
            raise Failure("protocol", message, sent=True) from exc
        headers = [(name.lower(), value) for name, value in incoming.extensions["headers"]]
        return Response(incoming.status_code, headers, body, stream.received)

    async def aclose(self) -> None:
        for streams in self._idle.values():
            while streams:
                streams.pop().close()
        await self._client.aclose()


class _Bridge(httpx.AsyncBaseTransport):
    """From httpx to httpcore: each request goes out on the stream that it brings along."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stream: _Stream = request.extensions["stream"]
        response = await stream.http11.handle_async_request(
            httpcore.Request(
                request.method,
                stream.url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        # The client is shown no header: it would keep cookies, and parse Location.
        return httpx.Response(
            response.status,
            stream=_Body(response.stream),
            extensions={"headers": response.headers},
        )


class _Body(httpx.AsyncByteStream):
    """A body from httpcore, as httpx wants it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Stream(Connection, httpcore.AsyncNetworkStream):
    """A connection as httpcore sees it, and httpcore's HTTP/1.1 on top of it.

    Args:
        sock: connected, non-blocking; the stream owns it.
        max_body: most bytes of a response body as received.
        origin: where it is connected to.
    """

    def __init__(self, sock: socket.socket, max_body: int, origin: Origin) -> None:
        super().__init__(sock, max_body)
        self._parser = _Witness(max_body)
        self._unsent = bytearray()
        self.url = httpcore.URL(
            scheme=origin.scheme.encode(), host=origin.host.encode(), port=origin.port, target=b"/"
        )
        self.http11 = httpcore.AsyncHTTP11Connection(self.url.origin, self)

    @property
    def is_reusable(self) -> bool:
        return super().is_reusable and self.http11.is_idle()

    @property
    def received(self) -> int:
        """Bytes of the response so far."""
        return self._parser.received

    def start(self, method: str, progress: Progress) -> None:
        """Expect an exchange."""
        self._used = self._parser.complete
        self._parser.start(method)
        self._progress = progress

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take part of the request; it goes out once httpcore wants to read."""
        self._unsent += buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what is not sent, and receive some of the response, none at its end by a close."""
        if self._unsent:
            self._progress.sent = True
            self._send_unsent()
        try:
            data = await (self._receive_while_sending() if self._unsent else self._receive())
