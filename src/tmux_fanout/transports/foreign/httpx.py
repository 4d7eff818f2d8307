"""The httpx transport: an `httpx.AsyncClient` makes the exchanges, on native's connections.

httpx 0.28 is built on httpcore, and that on h11.  As they are, they do not meet the requirements of
a transport here:

- httpcore's pool can lose a slot for good when a request is cancelled while it waits for one
  (encode/httpcore#1093), and examines every connection for each request.
- A cancelled TLS handshake leaves its socket open.
- Bytes after the end of a response stay in h11's buffer, and become the next request's response.
- h11 accepts a length together with chunks, and any number of interim responses and chunk
  extensions.
- The whole request is written before anything is read.  So if a server answers early and stops
  reading, or writes while it reads, the client waits for ever.
- The client keeps cookies, and fails on a Location that is not a URL even if redirects are off.

httpx and httpcore have two seams, and this module uses both.  `_Bridge` is the client's transport:
it has no pool, and sends each request on the connection that comes with it.  `_Stream` is that
connection, one of native's in the form of an httpcore network stream: what native refuses in a
response fails here as it does there (see `h11_connection`).  Connecting, the check of idle
connections, and the meaning of a close or a reset are native's own.

HTTP/1.1 only; for HTTP/2 see `Http2Transport`.  Proxies are part of connecting (see
`native.proxy`).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator

import httpcore
import httpx
import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.core.text import printable
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.foreign.h11_connection import H11Connection
from tmux_fanout.transports.native.proxy import ProxyConnector
from tmux_fanout.transports.pool import Pool

_Headers = list[tuple[bytes, bytes]]


class HttpxTransport:
    """HTTP/1.1 with one request at a time on each connection, the one used last first.

    Args:
        plan: of the API to call.
        tls: for https.
        proxy_tls: for https proxies.
    """

    def __init__(
        self, plan: ApiPlan, tls: ssl.SSLContext | None, proxy_tls: ssl.SSLContext | None = None
    ) -> None:
        self._connector = ProxyConnector(
            tls, plan.connect_timeout, plan.proxies, proxy_tls, plan.connect_to
        )
        self._max_response = plan.max_response
        self._pool = Pool[_Stream]()
        self._client = httpx.AsyncClient(transport=_Bridge(), timeout=None, trust_env=False)
        self._urls_and_headers = Prepared(_url_and_headers)

    def __repr__(self) -> str:
        return f"<HttpxTransport: {self._pool!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        response = await self.send_on_idle(request, progress)
        if response is not None:
            return response
        sock = await self._connector.connect(request.head.origin)
        progress.connected_at = trio.current_time()
        return await self.send_on(sock, request, progress)

    async def send_on_idle(self, request: Request, progress: Progress) -> Response | None:
        """Make an attempt on an idle connection; return None if there is none to use."""
        if progress.fresh:
            self._pool.make_room(request.head.origin)
            return None
        stream = self._pool.take(request.head.origin, trio.current_time())
        return None if stream is None else await self._send(stream, request, progress)

    async def send_on(self, sock: socket.socket, request: Request, progress: Progress) -> Response:
        """Make an attempt on a new connection, and keep it.

        Args:
            sock: connected and non-blocking; the transport owns it.
            request: to be sent.
            progress: updated as the attempt proceeds.
        """
        stream = _Stream(sock, self._max_response, request.head.origin)
        return await self._send(stream, request, progress)

    async def _send(self, stream: _Stream, request: Request, progress: Progress) -> Response:
        try:
            response = await self._exchange(stream, self._connector.as_sent(request), progress)
        except BaseException:
            stream.close()
            raise
        self._pool.give_back(request.head.origin, stream, trio.current_time())
        return decoded(response, self._max_response)

    async def _exchange(self, stream: _Stream, request: Request, progress: Progress) -> Response:
        """Have the client send a request on a connection and read the response to it."""
        try:
            with stream.exchange_of(request.head.method, progress):
                response = await self._client.send(self._outgoing(request, stream), stream=True)
                body = await _read(response)
        except (httpx.InvalidURL, httpcore.LocalProtocolError) as exc:
            # Their own messages may quote a header, and so a secret.
            message = "httpx refuses to send this request, for its URL or one of its headers"
            raise TransportError("protocol", message, sent=progress.sent) from exc
        except (httpx.HTTPError, httpcore.RemoteProtocolError) as exc:
            message = f"not a valid HTTP/1.1 response: {printable(str(exc))}"
            raise TransportError("protocol", message, sent=True) from exc
        headers: _Headers = response.extensions["headers"]
        names_lowered = [(name.lower(), value) for name, value in headers]
        return Response(response.status_code, names_lowered, body, stream.received)

    def _outgoing(self, request: Request, stream: _Stream) -> httpx.Request:
        """Return a request with exactly the prepared headers; `content=` would add others."""
        head, body = request.head, request.body
        url, headers = self._urls_and_headers[head]
        if body is not None:
            headers = [*headers, (b"Content-Length", b"%d" % len(body))]
        return httpx.Request(
            head.method,
            url,
            headers=headers,
            stream=httpx.ByteStream(body or b""),
            extensions={"target": head.target.encode(), "stream": stream},
        )

    async def aclose(self) -> None:
        self._pool.close()
        await self._client.aclose()


def _url_and_headers(head: RequestHead) -> tuple[httpx.URL, _Headers]:
    """Return the URL of the origin, as httpx would change the target, and the headers."""
    # h11 refuses blanks around a value, which have no meaning (RFC 9110, section 5.5).
    stripped = [(name, value.strip(" \t")) for name, value in head.headers]
    headers = [(name.encode(), value.encode("latin-1")) for name, value in stripped]
    return httpx.URL(f"{head.origin.site}/"), headers


async def _read(response: httpx.Response) -> bytes:
    """Return the body as received.

    In httpx, a response and its stream refer to each other.  That cycle would hold the request and
    the body until the garbage collector runs.
    """
    stream = response.stream
    del response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # always so in an async client
    body = b"".join([piece async for piece in stream])
    await stream.aclose()
    return body


class _Bridge(httpx.AsyncBaseTransport):
    """Connects httpx to httpcore: each request is sent on the stream that comes with it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stream: _Stream = request.extensions["stream"]
        assert stream.http11 is not None  # the stream is open
        response = await stream.http11.handle_async_request(
            httpcore.Request(
                request.method,
                stream.url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        # The client sees no headers, as it would act on Set-Cookie and Location.
        return httpx.Response(
            response.status,
            stream=_Body(response),
            extensions={"headers": response.headers},
        )


class _Body(httpx.AsyncByteStream):
    """An httpcore response body in the form that httpx requires."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.aiter_stream()

    async def aclose(self) -> None:
        await self._response.aclose()


class _Stream(H11Connection, httpcore.AsyncNetworkStream):
    """A connection in the form of an httpcore network stream, with httpcore's HTTP/1.1 on top.

    Args:
        sock: connected and non-blocking; the stream owns it.
        max_body: limit on the bytes of a response body as received.
        origin: to which it is connected.

    Attributes:
        url: of the origin, for httpcore.
        http11: makes the exchanges; None once the stream is closed.
    """

    def __init__(self, sock: socket.socket, max_body: int, origin: Origin) -> None:
        super().__init__(sock, max_body)
        self.url = httpcore.URL(
            scheme=origin.scheme.encode(), host=origin.host.encode(), port=origin.port, target=b"/"
        )
        self.http11: httpcore.AsyncHTTP11Connection | None = httpcore.AsyncHTTP11Connection(
            self.url.origin, self
        )

    @property
    def is_reusable(self) -> bool:
        return super().is_reusable and self.http11 is not None and self.http11.is_idle()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.put(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self.get()

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        super().close()
        self.http11 = None  # it refers back to the stream; this breaks the cycle
