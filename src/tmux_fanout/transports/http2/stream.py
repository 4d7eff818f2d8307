"""One request and its response over HTTP/2, as they come out of `h2`."""

from __future__ import annotations

import h2.errors
import h2.events
import trio

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request
from tmux_fanout.transports.http2.protocol import check_fields, parse_head

_UNSENDABLE = frozenset(
    {"host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
# What these codes say is that nothing was processed (RFC 9113, sections 7 and 8.7).
_NOT_PROCESSED: dict[int | None, str] = {
    h2.errors.ErrorCodes.REFUSED_STREAM: "the server is too busy for this request",
    h2.errors.ErrorCodes.HTTP_1_1_REQUIRED: "the server wants HTTP/1.1; write http2 = false",
}


class Exchange:
    """A request under way, and what has come of it.

    Args:
        body: of the request.
        max_body: most bytes of the response's body as received.
        method: of the request; a response to HEAD has no body.

    Attributes:
        unsent: what of the body the server's windows have not allowed yet.
        began_at: when the response began, or 0.
        over: whether nothing more is to come; then either `failure` is set, or all is here.
        wake: set when it is over, or its turn to receive.
    """

    def __init__(self, body: bytes, max_body: int, method: str) -> None:
        self.unsent = memoryview(body)
        self._max_body = max_body
        self._method = method
        self._length: int | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.size = 0
        self.wire_size = 0
        self.over = False
        self.failure: TransportError | None = None
        self.began_at = 0.0
        self.wake = trio.Event()

    def fail(self, failure: TransportError) -> None:
        if not self.over:
            self.failure = failure
            self.end()

    def end(self) -> None:
        self.over = True
        self.wake.set()

    def handle(self, event: h2.events.Event) -> None:
        """Take a part of the response."""
        try:
            self._take(event)
        except TransportError as failure:
            self.fail(failure)
        except Exception as exc:
            self.fail(internal_failure(exc, sent=True))

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._take_head(event)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            if parse_head(event.headers or ()).status == 101:  # RFC 9113, section 8.6
                message = "the server switches protocols without being asked"
                raise TransportError("protocol", message, sent=True)
        elif isinstance(event, h2.events.TrailersReceived):
            check_fields(event.headers or ())
        elif isinstance(event, h2.events.DataReceived):
            data = bytes(event.data or b"")
            self.pieces.append(data)
            self.size += len(data)
            self.wire_size += event.flow_controlled_length or 0
            if self.size > self._max_body:
                message = f"the response body is larger than {self._max_body} bytes"
                raise TransportError("too_large", message, sent=True)
        elif isinstance(event, h2.events.StreamEnded):
            self._check_whole()
            self.end()
        elif isinstance(event, h2.events.StreamReset):
            self.fail(_reset_failure(event.error_code, bool(self.status)))

    def _take_head(self, event: h2.events.ResponseReceived) -> None:
        self.began_at = trio.current_time()
        head = parse_head(event.headers or ())
        self.status, self.headers, self._length = head
        if self._method == "HEAD" or self.status in (204, 304):
            self._length = 0  # what it says is of another response, or of none
        self.wire_size += sum(len(name) + len(value) for name, value in self.headers)

    def _check_whole(self) -> None:
        if not self.status:
            raise TransportError(
                "protocol", "not valid HTTP/2: a response without a head", sent=True
            )
        if self._length not in (None, self.size):
            message = "the response body is not as long as its content-length says"
            raise TransportError("protocol", message, sent=True)


def _reset_failure(code: int | None, begun: bool) -> TransportError:
    if code in _NOT_PROCESSED and not begun:
        return TransportError("protocol", _NOT_PROCESSED[code], sent=False, transient=True)
    where = "in the middle of" if begun else "before"
    message = f"the server broke off {where} the response: {code_name(code)}"
    return TransportError("protocol", message, sent=True, transient=True)


def code_name(code: int | None) -> str:
    """An error code in words."""
    try:
        return h2.errors.ErrorCodes(code or 0).name.lower().replace("_", " ")
    except ValueError:
        return f"error {code}"


def header_list(request: Request) -> list[tuple[bytes, bytes]]:
    """A request's head, with what RFC 9113, section 8.3.1, puts in place of Host."""
    head, body = request.head, request.body
    authority = next((v for n, v in head.headers if n.lower() == "host"), head.origin.authority)
    fields = [
        (":method", head.method),
        (":authority", authority),
        (":scheme", head.origin.scheme),
        (":path", head.target),
    ]
    fields += [(n.lower(), v.strip(" \t")) for n, v in head.headers if n.lower() not in _UNSENDABLE]
    if body is not None:
        fields.append(("content-length", str(len(body))))
    return [(name.encode(), value.encode("latin-1")) for name, value in fields]
