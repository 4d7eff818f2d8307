"""The transport for a client of the user's own: an `httpx.AsyncClient`, or one of httpx2.

Everything that the user may have set up in it takes effect: authentication, event hooks, mounts,
proxies, cookies, default headers.  The rest stays with tmux-fanout: time limits (the client's would
only bound single reads), redirects, content codings and retries.  Both packages have the same
names, which are looked up in the one that the client comes from.

The progress of a request is only known from what httpcore reports while it sends, and a mounted
transport may not use httpcore.  So a request counts as sent from the start, unless the client
reports that there was no connection, and httpcore has not reported a request.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import trio

from tmux_fanout.core.config.choice import client_package
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import BodyStream, Request, RequestHead, Response
from tmux_fanout.core.text import printable
from tmux_fanout.core.version import __version__
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.native.connect import reason_of, tls_message
from tmux_fanout.transports.shortage import shortage_of

_CLOSING_TIME = 2.0
_MAX_PIECES_LEFT = 100  # of a closed response, which its client had received already
# Headers of ours that the client's own values replace.
_DEFAULTS = {"user-agent": f"tmux-fanout/{__version__}", "accept": "*/*"}
_THEIR_DEFAULTS = ("python-httpx", "*/*")
_LOST = ("Server disconnected", "peer closed connection")


class ClientTransport:
    """Sends with `plan.client`, and leaves it open.

    Args:
        plan: of the API to call.
    """

    def __init__(self, plan: ApiPlan) -> None:
        self._client: Any = plan.client
        self._httpx: Any = sys.modules[client_package(plan.client) or ""]
        self._timeout = self._httpx.Timeout(None, connect=plan.connect_timeout)
        self._max_response = plan.max_response
        self._ok_status = plan.responses.ok_status

    def __repr__(self) -> str:
        return f"<ClientTransport: {self._httpx.__name__}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        if self._client.is_closed:
            message = "the client is closed; keep it open for as long as the run takes"
            raise TransportError("protocol", message, sent=False)
        trace = _Trace()
        try:
            outgoing = self._outgoing(request, trace)
        except (self._httpx.InvalidURL, ValueError, TypeError) as exc:
            message = "the client refuses this request, for its URL or one of its headers"
            raise TransportError("protocol", message, sent=False) from exc
        progress.sent = True
        try:
            response = await self._exchange(outgoing, progress)
        except self._httpx.HTTPStatusError as exc:
            return self._raised_for(exc, outgoing)
        except (TransportError, trio.Cancelled):
            raise
        except Exception as exc:
            error = self._error(exc, trace, request.head)
            progress.sent = error.sent
            raise error from exc
        return decoded(response, self._max_response)

    async def aclose(self) -> None:
        """Nothing: the client is the user's to close."""

    def _outgoing(self, request: Request, trace: _Trace) -> Any:
        head, stream = request.head, request.stream
        headers = [header for header in head.headers if not self._is_overridden(*header)]
        if stream is not None:  # else the client would send chunks
            headers.append(("Content-Length", str(stream.size)))
        outgoing = self._client.build_request(
            head.method,
            head.url,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers],
            content=request.body if stream is None else stream,
            timeout=self._timeout,
            extensions={"trace": trace},
        )
        if stream is not None:
            outgoing.stream = self._streamed(stream)
        if self._client.params:  # the client would replace ours by its own
            outgoing.url = self._with_params(head.url)
        return outgoing

    def _streamed(self, body: BodyStream) -> Any:
        """Return a body without the generator that the client has around one.

        A generator that is not exhausted, as when its request is cancelled, is a warning in trio.
        """
        base: Any = self._httpx.AsyncByteStream

        class Streamed(base):  # type: ignore[misc]  # of either package
            def __aiter__(self) -> AsyncIterator[bytes]:
                return aiter(body)

        return Streamed()

    def _with_params(self, address: str) -> Any:
        """Return a URL with those of the client's query parameters that it does not have itself."""
        url, params = self._httpx.URL(address), self._httpx.QueryParams
        ours = params(url.query)
        theirs = params([pair for pair in self._client.params.multi_items() if pair[0] not in ours])
        parts = [part for part in (url.query, str(theirs).encode()) if part]
        return url.copy_with(query=b"&".join(parts))

    def _is_overridden(self, name: str, value: str) -> bool:
        """Return whether a header is our default, and the client has a value of the user's own."""
        if _DEFAULTS.get(name.lower()) != value:
            return False
        theirs: str = self._client.headers.get(name, "")
        return bool(theirs) and not theirs.startswith(_THEIR_DEFAULTS)

    async def _exchange(self, outgoing: Any, progress: Progress) -> Response:
        response = await self._client.send(outgoing, stream=True, follow_redirects=False)
        progress.first_byte_at = trio.current_time()
        try:
            if response.is_stream_consumed:  # and decoded, by authentication or a hook
                return self._whole(response, response.content, is_decoded=True)
            body = await self._body(response)
            _check_length(response, outgoing.method, len(body))
            return self._whole(response, body, is_decoded=False)
        finally:
            with trio.CancelScope(deadline=trio.current_time() + _CLOSING_TIME, shield=True):
                await response.aclose()

    def _raised_for(self, exc: Any, outgoing: Any) -> Response:
        """Return the response after a hook raised an error for its status.

        The body is empty unless the hook has read it.

        Raises:
            TransportError: it is the response to another request, such as one for a token; or its
                status is ok, but its body was not read.
        """
        response = exc.response
        if response.request is not outgoing:
            raise _raised(exc) from exc
        try:
            body = response.content
        except self._httpx.ResponseNotRead:
            if response.status_code in self._ok_status:
                raise _raised(exc) from exc
            body = b""
        return self._whole(response, body, is_decoded=True)

    async def _body(self, response: Any) -> bytes:
        pieces, size = [], 0
        stream = response.aiter_raw()
        async for piece in stream:
            pieces.append(piece)
            size += len(piece)
            if size > self._max_response:
                await response.aclose()
                await _exhaust(stream)
                self._check_size(size)
        return b"".join(pieces)

    def _whole(self, response: Any, body: bytes, *, is_decoded: bool) -> Response:
        self._check_size(len(body))
        headers = _headers(response)
        if is_decoded:
            headers = [field for field in headers if field[0] != b"content-encoding"]
        size = sum(len(name) + len(value) for name, value in headers)
        return Response(response.status_code, headers, body, size + len(body))

    def _check_size(self, size: int) -> None:
        if size > self._max_response:
            message = f"the response body is larger than {self._max_response} bytes"
            raise TransportError("too_large", message, sent=True)

    def _error(self, exc: Exception, trace: _Trace, head: RequestHead) -> TransportError:
        """Translate an exception raised by the client."""
        httpx = self._httpx
        not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
        if isinstance(exc, not_sent):
            return _not_connected(exc, trace.sent, head)
        # With HTTP/2, the client reports errors in a response as local ones.
        is_ours = isinstance(exc, httpx.LocalProtocolError) and not trace.awaiting
        if is_ours or isinstance(exc, httpx.UnsupportedProtocol):
            message = "the client refuses this request, for its URL or one of its headers"
            return TransportError("protocol", message, sent=trace.sent)
        if isinstance(exc, httpx.TimeoutException):
            message = "the client's own time limit passed"
            return TransportError("timeout", message, sent=True, transient=True)
        if isinstance(exc, httpx.DecodingError):
            message = f"the client cannot decode the response: {type(exc).__name__}"
            return TransportError("decode", message, sent=True)
        if isinstance(exc, (httpx.NetworkError, httpx.ProtocolError)):
            is_lost = isinstance(exc, httpx.NetworkError) or str(exc).startswith(_LOST)
            message = "connection lost" if is_lost else "not a valid HTTP response"
            return TransportError(
                "protocol",
                f"{message}: {_reason(exc)}",
                sent=True,
                transient=is_lost,
                stale=is_lost and trace.reused and not trace.answered,
            )
        return _raised(exc)


class _Trace:
    """Records what httpcore reports about a request, and those that authentication sends before it.

    Attributes:
        sent: whether sending of any of them has begun.
        reused: whether the last one was sent on an existing connection.
        awaiting: whether it was sent completely, so that a response comes next.
        answered: whether the head of its response was received.
    """

    def __init__(self) -> None:
        self.sent = self.reused = self.awaiting = self.answered = self._connected = False

    async def __call__(self, event: str, info: Any) -> None:
        if event == "connection.connect_tcp.started":
            self._connected = True
        elif event.endswith("send_request_headers.started"):
            if info["request"].method == b"CONNECT":  # it goes to the proxy only
                return
            self.sent, self.reused, self.answered = True, not self._connected, False
            self._connected = self.awaiting = False
        elif event.endswith("receive_response_headers.started"):
            self.awaiting = True
        elif event.endswith("receive_response_headers.complete"):
            self.answered = True


def _not_connected(exc: Exception, sent: bool, head: RequestHead) -> TransportError:
    cause = _cause(exc)
    if isinstance(cause, ssl.SSLError):
        message = tls_message(cause, head.origin)
        broken_off = isinstance(cause, ssl.SSLEOFError)
        return TransportError("tls", message, sent=sent, transient=broken_off or sent)
    message = f"cannot connect to {head.origin.authority}: {_reason(exc)}"
    return TransportError("connect", message, sent=sent, transient=True, shortage=_shortage(exc))


def _shortage(exc: BaseException | None) -> str:
    """Return what has run out, according to the causes of an exception, or ""."""
    while exc is not None:
        if isinstance(exc, BaseExceptionGroup):  # one exception for each address that trio tried
            exc = exc.exceptions[0]
        if what := shortage_of(exc):
            return what
        exc = exc.__cause__ or exc.__context__
    return ""


def _raised(exc: Exception) -> TransportError:
    """Return the error for an exception in the client's authentication or hooks.

    Only its name is shown, as its message may hold a secret.
    """
    return TransportError("protocol", f"the client raised {type(exc).__name__}", sent=True)


def _reason(exc: Exception) -> str:
    """Return the reason for a lost connection; for anything else, the exception's name."""
    cause = _cause(exc)
    if isinstance(cause, OSError) and cause.errno is not None:
        return printable(reason_of(cause))
    return printable(str(exc)) if str(exc).startswith(_LOST) else type(exc).__name__


def _cause(exc: BaseException) -> BaseException:
    """Return the system's or OpenSSL's exception, which httpx and httpcore have wrapped."""
    while not isinstance(exc, OSError):
        below = exc.__cause__ or exc.__context__
        if below is None:
            break
        exc = below
    return exc


async def _exhaust(stream: Any) -> None:
    """Run the generators of a closed response to completion, as trio requires."""
    with suppress(Exception):
        for _ in range(_MAX_PIECES_LEFT):
            await anext(stream)


def _headers(response: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in response.headers.raw]


def _check_length(response: Any, method: str, size: int) -> None:
    """Check the length of a raw body, as not every transport does.

    Raises:
        TransportError: `protocol`; it differs from the response's Content-Length.
    """
    if method == "HEAD" or response.status_code == 304:
        return
    lengths = {value for name, value in _headers(response) if name == b"content-length"}
    if any(not length.isdigit() or int(length[:20]) != size for length in lengths):
        message = "the response body is not as long as its Content-Length"
        raise TransportError("protocol", message, sent=True)
