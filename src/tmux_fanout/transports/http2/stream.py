"""HTTP/2 streams: one request and its response each, as `h2` reports its parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trio

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.transports.http2.frames import Goaway
from tmux_fanout.transports.http2.protocol import check_fields, parse_head

ErrorCodes = h2.errors.ErrorCodes

NO_MORE = "the server takes no more requests on this connection"
# With these codes the server states that it processed nothing (RFC 9113, sections 7 and 8.7).
_NOT_PROCESSED: dict[int | None, str] = {
    ErrorCodes.REFUSED_STREAM: "the server is too busy for this request",
    ErrorCodes.HTTP_1_1_REQUIRED: "the server wants HTTP/1.1; write http2 = false",
}


class Stream:
    """A request that is under way, and what has been received for it.

    Args:
        body: of the request.
        max_body: limit on the bytes of the response's body as received.
        method: of the request; a response to HEAD has no body.

    Attributes:
        unsent: the part of the body that the server's windows have not admitted yet.
        has_more: whether more of the body follows what is unsent.
        admitted: set when nothing is unsent any more, and more follows.
        status: of the response, or 0 before it begins.
        began_at: trio's clock when the response began, or 0.
        over: whether nothing more is to come; then either `error` is set, or all is here.
        error: why there is no response.
        wake: set when the stream is over, or its task is to receive for all.
    """

    def __init__(self, body: bytes, max_body: int, method: str) -> None:
        self.unsent = memoryview(body)
        self.has_more = False
        self.admitted = trio.Event()
        self._max_body = max_body
        self._method = method
        self._length: int | None = None
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._wire_size = 0
        self.over = False
        self.error: TransportError | None = None
        self.began_at = 0.0
        self.wake = trio.Event()

    def __repr__(self) -> str:
        state = "over" if self.over else "under way"
        return f"<Stream: {state}, status {self.status}, {self._size} bytes>"

    def response(self) -> Response:
        """Return the response, with its body as received, once it is over without an error."""
        return Response(self.status, self._headers, b"".join(self._pieces), self._wire_size)

    def fail(self, error: TransportError) -> None:
        """End with an error, unless the stream is over already."""
        if not self.over:
            self.error = error
            self._end()

    def send_body(self, connection: h2.connection.H2Connection, number: int) -> None:
        """Send as much of the rest of the body as the server's windows admit.

        Args:
            connection: of which this is a stream.
            number: of this stream on it.
        """
        with suppress(h2.exceptions.StreamClosedError):  # by the server; its event follows
            while self.unsent and not self.over:
                window = connection.local_flow_control_window(number)
                size = min(window, connection.max_outbound_frame_size, len(self.unsent))
                if size <= 0:
                    return
                piece, rest = self.unsent[:size], self.unsent[size:]
                connection.send_data(number, bytes(piece), end_stream=not (rest or self.has_more))
                self.unsent = rest
            if not self.unsent:
                self.admitted.set()

    def handle(self, event: h2.events.Event) -> None:
        """Process an event of this stream; what is wrong with it ends the stream."""
        try:
            self._process(event)
        except TransportError as error:
            self.fail(error)
        except Exception as exc:
            self.fail(internal_failure(exc, sent=True))

    def _process(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._process_head(event)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            if parse_head(event.headers or ()).status == 101:  # RFC 9113, section 8.6
                message = "the server switches protocols without being asked"
                raise TransportError("protocol", message, sent=True)
        elif isinstance(event, h2.events.TrailersReceived):
            check_fields(event.headers or ())
        elif isinstance(event, h2.events.DataReceived):
            self._process_data(event)
        elif isinstance(event, h2.events.StreamEnded):
            self._check_whole()
            self._end()
        elif isinstance(event, h2.events.StreamReset):
            self.fail(_reset_error(event.error_code, bool(self.status)))

    def _process_head(self, event: h2.events.ResponseReceived) -> None:
        self.began_at = trio.current_time()
        self.status, self._headers, self._length = parse_head(event.headers or ())
        if self._method == "HEAD" or self.status in (204, 304):
            self._length = 0  # a Content-Length here describes another response, or none
        self._wire_size += sum(len(name) + len(value) for name, value in self._headers)

    def _process_data(self, event: h2.events.DataReceived) -> None:
        data = bytes(event.data or b"")
        self._pieces.append(data)
        self._size += len(data)
        self._wire_size += event.flow_controlled_length or 0
        if self._size > self._max_body:
            message = f"the response body is larger than {self._max_body} bytes"
            raise TransportError("too_large", message, sent=True)

    def _check_whole(self) -> None:
        if not self.status:
            message = "not valid HTTP/2: a response without a head"
            raise TransportError("protocol", message, sent=True)
        if self._length not in (None, self._size):
            message = "the response body is not as long as its Content-Length"
            raise TransportError("protocol", message, sent=True)

    def _end(self) -> None:
        self.over = True
        self.wake.set()


class Streams(dict[int, Stream]):
    """The streams of one connection that are under way, by number."""

    def wake_next(self) -> None:
        """Wake one waiting stream, whose task then reads for all of them."""
        heir = next((stream for stream in self.values() if not stream.over), None)
        if heir:
            heir.wake.set()

    def fail_all(self, make_error: Callable[[Stream], TransportError]) -> None:
        """End each stream with an error of its own."""
        for stream in self.values():
            stream.fail(make_error(stream))

    def lose(self, message: str) -> None:
        """Fail all streams of a connection that was lost.

        Args:
            message: with `{}` for the time relative to the response.
        """

        def lost(stream: Stream) -> TransportError:
            where = "in the middle of" if stream.status else "before"
            text = message.format(where)
            return TransportError("protocol", text, sent=True, transient=True, stale=True)

        self.fail_all(lost)

    def abort(self, message: str) -> None:
        """Fail all streams because the server violated the protocol.

        The request that this was about cannot be determined.  A lone one would fail again, but
        where there are several, most of them would not.
        """
        is_shared = sum(not stream.over for stream in self.values()) > 1
        self.fail_all(lambda _: TransportError("protocol", message, sent=True, transient=is_shared))

    def end_by_goaway(self, goaway: Goaway) -> None:
        """Fail the streams that the server will not process (RFC 9113, section 6.8)."""
        is_orderly = goaway.code == ErrorCodes.NO_ERROR
        ended = f"the server ended the connection: {code_name(goaway.code)}"
        for number, stream in self.items():
            if number > goaway.last:
                message = NO_MORE if is_orderly else ended
                # `stale` means an immediate retry, which is unwise if the server had a reason.
                stream.fail(
                    TransportError(
                        "protocol", message, sent=False, transient=True, stale=is_orderly
                    )
                )
            elif not is_orderly:
                stream.fail(TransportError("protocol", ended, sent=True, transient=True))


def code_name(code: int | None) -> str:
    """Return an error code in words."""
    try:
        return ErrorCodes(code or 0).name.lower().replace("_", " ")
    except ValueError:
        return f"error {code}"


def _reset_error(code: int | None, begun: bool) -> TransportError:
    if code in _NOT_PROCESSED and not begun:
        return TransportError("protocol", _NOT_PROCESSED[code], sent=False, transient=True)
    where = "in the middle of" if begun else "before"
    message = f"the server reset the stream {where} the response: {code_name(code)}"
    return TransportError("protocol", message, sent=True, transient=True)
