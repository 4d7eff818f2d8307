"""One HTTP/2 connection (RFC 9113), with `h2` for the protocol and a non-blocking socket.

httpcore has one on top of the same h2, but it falls short: a request that is cancelled while it
writes leaves half a frame behind, which breaks all later ones; the server is not informed, and what
it still sends uses up the flow control of the others; a stream that the server refused cannot be
told from one that it may have processed.

No task exists besides those of the requests.  One of these, the leader, receives for all, and wakes
each task whose wait is over; when the leader is done or cancelled, another takes its place.  All
that is sent passes through one buffer in the order in which h2 produced it.  So a request can be
cancelled anywhere: its frames are whole, and the next task empties the buffer.

The server may be dead without the connection being lost.  So once a request is given up and nothing
was received in all its time, no other request begins on this connection.
"""

from __future__ import annotations

import socket
import ssl
from functools import partial

import h2.connection
import h2.events
import h2.exceptions
import trio
from trio.lowlevel import wait_readable

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import MISDIRECTED, BodyStream, Request, Response
from tmux_fanout.core.policy.keep_alive import MAX_IDLE
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.http2.frames import FrameFilter, Goaway
from tmux_fanout.transports.http2.outbox import Outbox
from tmux_fanout.transports.http2.protocol import (
    MAX_DECODED_HEAD,
    client_connection,
    header_list,
)
from tmux_fanout.transports.http2.stream import NO_MORE, ErrorCodes, Stream, Streams
from tmux_fanout.transports.native.connect import reason_of
from tmux_fanout.transports.native.connection import while_sending

_RECV_SIZE = 65536
_MAX_READS = 64  # of what arrived while no task received; beyond that, it may be endless


class Session:
    """A connection for many requests at a time.

    Args:
        sock: connected and non-blocking, HTTP/2 agreed on; the session owns it.
        max_body: limit on the bytes of a response body as received.

    Attributes:
        wants_http1: whether the server has asked for HTTP/1.1 instead.
    """

    def __init__(self, sock: socket.socket, max_body: int) -> None:
        self._sock = sock
        self._max_body = max_body
        self._h2 = client_connection()
        self._frames = FrameFilter()
        self._outbox = Outbox(sock)
        self._leader: Stream | None = None
        self._streams = Streams()
        self._events = 0  # received, other than acknowledgements
        self._has_settings = False
        self._must_write = False  # before TLS can read on
        self._used = False
        self._retired = False
        self._idle_since = trio.current_time()
        self.wants_http1 = False

    def __repr__(self) -> str:
        state = "retired" if self._retired else "open"
        return f"<Session: {state}, {len(self._streams)} requests under way>"

    @property
    def is_finished(self) -> bool:
        """Whether it serves no request, and will not serve any more."""
        return self._retired and not self._streams

    def can_begin(self) -> bool:
        """Return whether another request can begin now."""
        if not self._leader:
            self._catch_up()
        idle = trio.current_time() - self._idle_since
        self._retired = self._retired or (not self._streams and idle > MAX_IDLE)
        return self.room > 0

    @property
    def room(self) -> int:
        """How many more requests can begin, as far as is known."""
        return 0 if self._retired else max(0, self.max_requests - len(self._streams))

    @property
    def max_requests(self) -> int:
        """How many requests the server accepts at a time."""
        return self._h2.remote_settings.max_concurrent_streams

    async def open(self) -> None:
        """Exchange prefaces, and wait until the server accepts a request.

        A server may accept none for a while (RFC 9113, section 5.1.2), or until more of its parts
        have started.

        Raises:
            TransportError: `protocol`; nothing of a request was sent.
        """
        self._send_some()
        greeting = Stream(b"", 0, "")
        self._streams[0] = greeting
        try:
            while not (self._has_settings and self.max_requests) and not greeting.over:
                await self._receive()
        finally:
            del self._streams[0]
        if greeting.error:
            error = greeting.error
            raise TransportError("protocol", error.message, sent=False, transient=error.transient)

    async def exchange(self, request: Request, progress: Progress) -> Response:
        """Send a request and read its response.

        Args:
            request: to be sent.
            progress: updated as the exchange proceeds.

        Returns:
            The response, with its body as received.

        Raises:
            TransportError: `protocol` or `too_large`.
        """
        stream = Stream(request.content, self._max_body, request.head.method)
        body = request.stream
        stream.has_more = body is not None
        events_before, used_before = self._events, self._used
        number = self._begin(request, stream)
        progress.sent = self._used = True
        self._send_some()
        try:
            if body is None:
                await self._wait(stream)
            else:
                await while_sending(
                    partial(self._send_stream, number, stream, body), partial(self._wait, stream)
                )
        except BaseException:
            self._retired = self._retired or self._events == events_before
            raise
        finally:
            progress.first_byte_at = stream.began_at
            del self._streams[number]
            self._idle_since = trio.current_time()
            if not stream.over or stream.error or stream.unsent or stream.has_more:
                self._reset(number)
            if self._leader is None:
                self._streams.wake_next()
        if stream.error:
            error = stream.error
            error.stale = error.stale and used_before and not stream.status
            raise error
        self._retired = self._retired or stream.status == MISDIRECTED
        return stream.response()

    def close(self) -> None:
        """Send GOAWAY if that is possible at once, and close the socket."""
        self._retired = True
        if self._sock.fileno() >= 0:
            if self._h2.state_machine.state != h2.connection.ConnectionState.CLOSED:
                self._h2.close_connection()
            self._send_some()
            self._sock.close()

    # Sending.

    def _begin(self, request: Request, stream: Stream) -> int:
        """Buffer as much of a request as the server's windows admit.  Return its number."""
        if self._retired:
            raise TransportError("protocol", NO_MORE, sent=False, transient=True)
        try:
            number = self._h2.get_next_available_stream_id()
            has_body = stream.has_more or bool(stream.unsent)
            self._h2.send_headers(number, header_list(request), end_stream=not has_body)
            # h2 must not know of HEAD: it would end the connection over DATA in answer to one.
            self._h2.streams[number].request_method = None
        except (h2.exceptions.TooManyStreamsError, h2.exceptions.NoAvailableStreamIDError) as exc:
            self._retired = True
            raise TransportError("protocol", NO_MORE, sent=False, transient=True) from exc
        except (h2.exceptions.ProtocolError, UnicodeError) as exc:
            self._retired = True
            # h2's own message may quote a header, and so a secret.
            message = "HTTP/2 does not allow one of the headers of this request"
            raise TransportError("protocol", message, sent=False) from exc
        self._streams[number] = stream
        stream.send_body(self._h2, number)
        return number

    def _send_bodies(self) -> None:
        for number, stream in self._streams.items():
            stream.send_body(self._h2, number)

    async def _send_stream(self, number: int, stream: Stream, body: BodyStream) -> None:
        """Send a body piece by piece, each once the server's windows have admitted the last one."""
        left = body.size
        async for piece in body:
            left -= len(piece)
            stream.unsent, stream.has_more = memoryview(piece), left > 0
            stream.admitted = trio.Event()
            stream.send_body(self._h2, number)
            self._send_some()
            if stream.unsent:
                await stream.admitted.wait()
            await self._outbox.flush()

    def _reset(self, number: int) -> None:
        """Inform the server that no task waits for a response any more."""
        try:
            self._h2.reset_stream(number, ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            return  # the stream is closed on both sides
        self._send_some()

    def _send_some(self) -> None:
        self._outbox.send_some(self._h2.data_to_send())

    # Receiving.

    async def _wait(self, stream: Stream) -> None:
        """Until the stream is over, receive for all, or be woken by the task that does."""
        while not stream.over:
            if self._leader is None:
                self._leader = stream
                try:
                    while not stream.over:
                        await self._receive()
                finally:
                    self._leader = None
            else:
                await self._outbox.while_sending(stream.wake.wait)
                if not stream.over:
                    stream.wake = trio.Event()

    async def _receive(self) -> None:
        """Process what arrives next, and send the buffer meanwhile."""
        await trio.lowlevel.checkpoint()  # other tasks run even if there is always more to read
        while not self._receive_available():
            if self._must_write:
                await self._outbox.wait_writable()
                self._must_write = False
            else:
                await self._outbox.while_sending(partial(wait_readable, self._sock))

    def _catch_up(self) -> None:
        """Process what arrived while no task received; it may end with the end of the session."""
        for _ in range(_MAX_READS):
            if self._retired or not self._receive_available():
                return
        self._retired = True

    def _receive_available(self) -> bool:
        """Process what has arrived.  Return whether there was anything, such as the end."""
        try:
            data = self._sock.recv(_RECV_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except ssl.SSLWantWriteError:
            self._must_write = True
            return False
        except OSError as exc:
            self._retired = True
            self._streams.lose(f"connection lost {{}} the response: {reason_of(exc)}")
            return True
        if data:
            self._process(data)
            self._send_some()
        else:
            self._retired = True
            self._streams.lose("the server closed the connection {} the response")
        return True

    def _process(self, data: bytes) -> None:
        """Process received bytes; what is wrong with them ends the session."""
        try:
            frames, goaway = self._frames.feed(data)
            events = self._h2.receive_data(frames)
            self._outbox.put_replies(self._h2.data_to_send())
            for event in events:
                self._handle(event, goaway)
        except h2.exceptions.DenialOfServiceError:
            self._abort(f"the head of a response is larger than {MAX_DECODED_HEAD} bytes")
        except h2.exceptions.ProtocolError:
            # h2's own message may quote a header, and so a secret.
            self._abort("not valid HTTP/2: the server violated the protocol")
        except TransportError as error:
            self._abort(error.message)
        except Exception as exc:  # any of the streams may have missed something
            unforeseen = exc
            self._retired = True
            self._streams.fail_all(lambda _: internal_failure(unforeseen, sent=True))
        else:
            if goaway:
                self._retired = True
                self.wants_http1 |= goaway.code == ErrorCodes.HTTP_1_1_REQUIRED
                self._streams.end_by_goaway(goaway)

    def _abort(self, message: str) -> None:
        self._retired = True
        self._streams.abort(message)

    def _handle(self, event: h2.events.Event, goaway: Goaway | None) -> None:
        """Process an event; `goaway` came in the same read, and takes precedence over a reset."""
        if not isinstance(event, h2.events.SettingsAcknowledged):
            self._events += 1
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._has_settings = True
            self._send_bodies()
        elif isinstance(event, h2.events.WindowUpdated):
            self._send_bodies()
        elif isinstance(event, h2.events.StreamReset):
            if event.error_code == ErrorCodes.HTTP_1_1_REQUIRED:
                self._retired = self.wants_http1 = True
            refused = self._streams.get(event.stream_id) if goaway else None
            if goaway and refused and event.stream_id > goaway.last and not refused.status:
                return  # it was not processed (RFC 9113, section 6.8); see `end_by_goaway`
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        number = getattr(event, "stream_id", None)
        stream = self._streams.get(number) if number else None
        if stream:
            stream.handle(event)
