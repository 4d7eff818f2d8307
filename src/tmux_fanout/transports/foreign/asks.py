"""The asks transport: asks' request processor makes the exchanges, on native's connections.

asks 3.0.0 has two layers.  A Session finds a connection and passes each request to a
RequestProcessor, which builds it, sends it, and reads the response by means of h11.  The Session
does not meet the requirements of a transport here, so it is bypassed:

- It counts connections with a semaphore, in which requests queue.
- It uses a kept connection without checking whether the server has closed it, or has sent more.
- It repeats requests on its own when a connection is refused or lost.

The processor is used as it is, except for its handling of messages, which `_Processor` corrects:

- It adds headers, keeps one of each name, sends `Connection: close`, and spells the target its own
  way.  The request that it would send is replaced by the prepared one.
- It mistakes an interim response for the response.
- It acts on the headers of a response: it decodes them as UTF-8, looks for cookies and redirects,
  and reads no body unless they announce one.  So it does not see them.

It gets a connection in the form of an anyio stream; see `h11_connection` for what that adds.

What asks cannot do is refused.  HTTP/2, proxies and clients of the user's own are configuration
errors (see `select`); CONNECT, for which it would read without end, and headers that h11 does not
send, such as two of Host, fail before anything is sent.
"""

from __future__ import annotations

import ssl
from typing import Any

import h11
import trio
from asks.request_object import RequestProcessor

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.text import printable
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.foreign.h11_connection import H11Connection
from tmux_fanout.transports.native.connect import Connector
from tmux_fanout.transports.native.parser import MAX_HEAD
from tmux_fanout.transports.pool import Pool

_Headers = list[tuple[bytes, bytes]]

# These make asks read to the end of the body, which h11 knows from the real headers.
_SHOWN: _Headers = [(b"connection", b"close")]


class AsksTransport:
    """HTTP/1.1 with one request at a time on each connection, the one used last first.

    Args:
        plan: of the API to call.
        tls: for https.
    """

    def __init__(self, plan: ApiPlan, tls: ssl.SSLContext | None) -> None:
        self._connector = Connector(tls, plan.connect_timeout, plan.connect_to)
        self._max_response = plan.max_response
        self._pool = Pool[_Stream]()

    def __repr__(self) -> str:
        return f"<AsksTransport: {self._pool!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        if request.head.method == "CONNECT":
            raise TransportError(
                "protocol", "asks does not send CONNECT; write transport = 'native'", sent=False
            )
        origin = request.head.origin
        if progress.fresh:
            self._pool.make_room(origin)
            idle = None
        else:
            idle = self._pool.take(origin, trio.current_time())
        stream = idle
        if stream is None:
            stream = _Stream(await self._connector.connect(origin), self._max_response)
            progress.connected_at = trio.current_time()
        try:
            response = await self._exchange(stream, request, progress)
        except BaseException:
            stream.close()
            raise
        self._pool.give_back(origin, stream, trio.current_time())
        return decoded(response, self._max_response)

    async def _exchange(self, stream: _Stream, request: Request, progress: Progress) -> Response:
        """Have asks send a request on a connection and read the response to it."""
        processor = _Processor(request, stream)
        try:
            with stream.exchange_of(request.head.method, progress):
                _, response = await processor.make_request()
        except h11.LocalProtocolError as exc:
            # h11's own message may quote a header, and so a secret.
            message = "asks refuses to send this request, for its URL or one of its headers"
            raise TransportError("protocol", message, sent=progress.sent) from exc
        except h11.RemoteProtocolError as exc:
            message = f"not a valid HTTP/1.1 response: {printable(str(exc))}"
            raise TransportError("protocol", message, sent=True) from exc
        body = bytes(response.body)
        return Response(response.status_code, processor.received, body, stream.received)

    async def aclose(self) -> None:
        self._pool.close()


class _Processor(RequestProcessor):  # type: ignore[misc]  # asks has no types
    """Makes one exchange.

    Attributes:
        received: the headers of the response, names in lower case.
    """

    def __init__(self, request: Request, stream: _Stream) -> None:
        head = request.head
        super().__init__(
            None,  # a session would only provide connections to follow redirects
            head.method,
            f"{head.origin.site}/",
            str(head.origin.port),
            data=request.body,
            encoding="utf-8",
            follow_redirects=False,
            sock=stream,
        )
        self._request = request
        self.received: _Headers = []

    async def _request_io(self, h11_request: h11.Request, h11_body: Any, _: h11.Connection) -> Any:
        """Send the prepared request in place of asks' own, and read its response.

        The h11 connection is replaced too, as asks limits heads to 16 KB.
        """
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * MAX_HEAD)
        return await super()._request_io(_outgoing(self._request), h11_body, connection)

    async def _recv_event(self, h11_connection: h11.Connection) -> Any:
        event = await super()._recv_event(h11_connection)
        while isinstance(event, h11.InformationalResponse):
            event = await super()._recv_event(h11_connection)
        if isinstance(event, h11.Response):
            self.received = list(event.headers)
            return h11.Response(status_code=event.status_code, headers=_SHOWN)
        return event


def _outgoing(request: Request) -> h11.Request:
    """Return a request with exactly the prepared headers."""
    # h11 refuses blanks around a value, which have no meaning (RFC 9110, section 5.5).
    stripped = [(name, value.strip(" \t")) for name, value in request.head.headers]
    headers = [(name.encode(), value.encode("latin-1")) for name, value in stripped]
    if request.body is not None:
        headers.append((b"Content-Length", b"%d" % len(request.body)))
    return h11.Request(method=request.head.method, target=request.head.target, headers=headers)


class _Stream(H11Connection):
    """A connection in the form of an anyio stream; asks leaves an inactive one open."""

    _active = False

    async def send(self, item: bytes) -> None:
        self.put(item)

    async def receive(self) -> bytes:
        return await self.get()
