"""One HTTP/2 connection (RFC 9113), with `h2` for the protocol and native's way with sockets.

httpcore has one on top of the same h2, but it cannot be had whole: a request cancelled while it
writes leaves half a frame behind, on which all later ones founder; the server is not told, and what
it still sends eats the others' flow control; a stream that the server refused cannot be told from
one that it may have processed.

There is no task beside the requests.  Of those under way one, the leader, receives for all, and
wakes each of them that has got what it waits for; where the leader is done or cancelled, it
appoints another.  What goes out passes one buffer in the order in which h2 made it.  So a request
can be cancelled anywhere: its frames are whole, and whoever comes next empties the buffer.

The server may be dead without the connection being lost.  So where a request is given up and
nothing came in all its time, no other one is begun on this connection.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trio
from trio.lowlevel import wait_readable, wait_writable

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import MISDIRECTED, Request, Response
from tmux_fanout.core.policy.keep_alive import MAX_IDLE
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.http2.frames import FrameFilter, Goaway
from tmux_fanout.transports.http2.protocol import MAX_DECODED_HEAD, client_connection
from tmux_fanout.transports.http2.stream import Exchange, code_name, header_list
from tmux_fanout.transports.native.connect import reason_of

ErrorCodes = h2.errors.ErrorCodes

_RECV_SIZE = 65536
_MOST_READS = 64  # of what came while nobody waited; past that, there is no end to it
_MAX_UNREAD_REPLIES = 1 << 18  # bytes; that is 15,000 pings
_NO_MORE = "the server takes no more requests on this connection"


class Session:
    """A connection for many requests at a time.

    Args:
        sock: connected, non-blocking, HTTP/2 agreed on; the session owns it.
        max_body: most bytes of a response body as received.

    Attributes:
        wants_http1: whether the server has said that it wants HTTP/1.1 instead.
    """

    def __init__(self, sock: socket.socket, max_body: int) -> None:
        self._sock = sock
        self._max_body = max_body
        self._h2 = client_connection()
        self._frames = FrameFilter()
        self._out = bytearray()
        self._unread_replies = 0  # bytes of them that were added to that since it was empty
        self._writing = trio.Lock()
        self._leader: Exchange | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._heard = 0
        self._has_settings = False
        self._must_write = False
        self._used = False
        self._retired = False
        self._idle_since = trio.current_time()
        self.wants_http1 = False

    def __repr__(self) -> str:
        state = "retired" if self._retired else "open"
        return f"<Session: {state}, {len(self._exchanges)} requests under way>"

    @property
    def is_finished(self) -> bool:
        """Whether it serves nobody, and will not again."""
        return self._retired and not self._exchanges

    def takes_more(self) -> bool:
        """Whether another request can be begun now."""
        if not self._leader:
            self._catch_up()
        idle = trio.current_time() - self._idle_since
        self._retired = self._retired or (not self._exchanges and idle > MAX_IDLE)
        return self.room > 0

    @property
    def room(self) -> int:
        """How many more requests can be begun, as far as is known."""
        return 0 if self._retired else max(0, self.max_requests - len(self._exchanges))

    @property
    def max_requests(self) -> int:
        """How many the server takes at a time."""
        return self._h2.remote_settings.max_concurrent_streams

    async def open(self) -> None:
        """Begin, and wait for the server's part of it, and until it takes a request.

        A server may take none for a while (RFC 9113, section 5.1.2), or until more of its parts
        have started.

        Raises:
            TransportError: `protocol`; nothing of a request was sent.
        """
        self._send_some()
        greeting = Exchange(b"", 0, "")
        self._exchanges[0] = greeting
        try:
            while not (self._has_settings and self.max_requests) and not greeting.over:
                await self._receive()
        finally:
            del self._exchanges[0]
        if greeting.failure:
            failure = greeting.failure
            raise TransportError(
                "protocol", failure.message, sent=False, transient=failure.transient
            )

    async def exchange(self, request: Request, progress: Progress) -> Response:
        """Send a request and read its response.

        Returns:
            The response, its body as received.

        Raises:
            TransportError: `protocol` or `too_large`.
        """
        exchange = Exchange(request.body or b"", self._max_body, request.head.method)
        heard_before, used_before = self._heard, self._used
        number = self._begin(request, exchange)
        progress.sent = self._used = True
        self._send_some()
        try:
            await self._wait(exchange)
        except BaseException:
            self._retired = self._retired or self._heard == heard_before
            raise
        finally:
            progress.first_byte_at = exchange.began_at
            del self._exchanges[number]
            self._idle_since = trio.current_time()
            if not exchange.over or exchange.failure or exchange.unsent:
                self._reset(number)
            if self._leader is None:
                self._appoint()
        if exchange.failure:
            failure = exchange.failure
            failure.stale = failure.stale and used_before and not exchange.status
            raise failure
        self._retired = self._retired or exchange.status == MISDIRECTED
        body = b"".join(exchange.pieces)
        return Response(exchange.status, exchange.headers, body, exchange.wire_size)

    def close(self) -> None:
        """Say good-bye if that can be done at once, and close the socket."""
        self._retired = True
        if self._sock.fileno() >= 0:
            if self._h2.state_machine.state != h2.connection.ConnectionState.CLOSED:
                self._h2.close_connection()
            self._send_some()
            self._sock.close()

    # Sending.

    def _begin(self, request: Request, exchange: Exchange) -> int:
        """Put a request into the buffer, as much of it as the server's windows allow."""
        if self._retired:
            raise TransportError("protocol", _NO_MORE, sent=False, transient=True)
        try:
            number = self._h2.get_next_available_stream_id()
            has_body = bool(request.body)
            self._h2.send_headers(number, header_list(request), end_stream=not has_body)
            # h2 need not know of HEAD: DATA in answer to it would end the connection.
            self._h2.streams[number].request_method = None
        except (h2.exceptions.TooManyStreamsError, h2.exceptions.NoAvailableStreamIDError) as exc:
            self._retired = True
            raise TransportError("protocol", _NO_MORE, sent=False, transient=True) from exc
        except (h2.exceptions.ProtocolError, UnicodeError) as exc:
            self._retired = True
            # Its own words may quote a header, and so a secret.
            message = "HTTP/2 has no place for one of the headers of this request"
            raise TransportError("protocol", message, sent=False) from exc
        self._exchanges[number] = exchange
        self._feed(number, exchange)
        return number

    def _feed(self, number: int, exchange: Exchange) -> None:
        with suppress(h2.exceptions.StreamClosedError):  # by the server; the event is on its way
            while exchange.unsent and not exchange.over:
                window = self._h2.local_flow_control_window(number)
                size = min(window, self._h2.max_outbound_frame_size, len(exchange.unsent))
                if size <= 0:
                    return
                piece, rest = exchange.unsent[:size], exchange.unsent[size:]
                self._h2.send_data(number, bytes(piece), end_stream=not rest)
                exchange.unsent = rest

    def _reset(self, number: int) -> None:
        """Tell the server that nobody waits for a response any more."""
        try:
            self._h2.reset_stream(number, ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            return  # it knows
        self._send_some()

    def _send_some(self) -> None:
        """Send what the socket takes at once."""
        self._out += self._h2.data_to_send()
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
            self._unread_replies = 0
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError:
            self._out.clear()  # closed by the server, who may have said why: reading will tell

    async def _send_all(self) -> None:
        while self._out:
            async with self._writing:
                if self._out:
                    await wait_writable(self._sock)
            self._send_some()

    async def _while_sending(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for something, while what is in the buffer goes out."""
        if not self._out:
            await wait()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all)
            await wait()
            nursery.cancel_scope.cancel()

    # Receiving.

    async def _wait(self, exchange: Exchange) -> None:
        """Until it is over, receive for all, or else be woken by who does."""
        while not exchange.over:
            if self._leader is None:
                self._leader = exchange
                try:
                    while not exchange.over:
                        await self._receive()
                finally:
                    self._leader = None
            else:
                await self._while_sending(exchange.wake.wait)
                if not exchange.over:
                    exchange.wake = trio.Event()

    def _appoint(self) -> None:
        waiting = (exchange for exchange in self._exchanges.values() if not exchange.over)
        heir = next(waiting, None)
        if heir:
            heir.wake.set()

    async def _receive(self) -> None:
        """Take what comes next, while what is in the buffer goes out."""
        await trio.lowlevel.checkpoint()  # where there is always something, others have their turn
        while not self._take_what_is_there():
            if self._must_write:
                async with self._writing:
                    await wait_writable(self._sock)
                self._must_write = False
                continue
            await self._while_sending(partial(wait_readable, self._sock))

    def _catch_up(self) -> None:
        """Take what came while nobody waited, so that an end behind it is seen."""
        for _ in range(_MOST_READS):
            if self._retired or not self._take_what_is_there():
                return
        self._retired = True

    def _take_what_is_there(self) -> bool:
        """Whether there was something, be it the end."""
        try:
            data = self._sock.recv(_RECV_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except ssl.SSLWantWriteError:
            self._must_write = True
            return False
        except OSError as exc:
            self._lose(f"connection lost {{}} the response: {reason_of(exc)}")
            return True
        if not data:
            self._lose("the server closed the connection {} the response")
            return True
        try:
            frames, goaway = self._frames.feed(data)
            events = self._h2.receive_data(frames)
            self._reply()
            for event in events:
                self._handle(event, goaway)
        except h2.exceptions.DenialOfServiceError:
            self._break_off(f"the head of a response is larger than {MAX_DECODED_HEAD} bytes")
        except h2.exceptions.ProtocolError:
            # Its own words may quote a header, and so a secret.
            self._break_off("not valid HTTP/2: the server broke the rules of HTTP/2")
        except TransportError as failure:
            self._break_off(failure.message)
        except Exception as exc:  # whoever reads for all, each of them may have lost something
            unforeseen = exc
            self._fail_all(lambda _: internal_failure(unforeseen, sent=True))
        else:
            if goaway:
                self._part(goaway)
        self._send_some()
        return True

    def _reply(self) -> None:
        """Put what h2 answers by itself, such as to pings, into the buffer.

        Raises:
            TransportError: `protocol`; the server asks for it, and does not read it.
        """
        replies = self._h2.data_to_send()
        self._out += replies
        self._unread_replies += len(replies)
        if self._unread_replies > _MAX_UNREAD_REPLIES:
            message = "the server sends pings or settings, and does not read the answers"
            raise TransportError("protocol", message, sent=True)

    def _lose(self, message: str) -> None:
        def failure(exchange: Exchange) -> TransportError:
            where = "in the middle of" if exchange.status else "before"
            text = message.format(where)
            return TransportError("protocol", text, sent=True, transient=True, stale=True)

        self._fail_all(failure)

    def _break_off(self, message: str) -> None:
        """End the connection for what the server did wrong on it.

        Which request that was about cannot be told.  A lone one would meet it again, but where
        there are others, most of them would not.
        """
        is_shared = sum(not exchange.over for exchange in self._exchanges.values()) > 1
        self._fail_all(
            lambda _: TransportError("protocol", message, sent=True, transient=is_shared)
        )

    def _fail_all(self, failure: Callable[[Exchange], TransportError]) -> None:
        self._retired = True
        for exchange in self._exchanges.values():
            exchange.fail(failure(exchange))

    def _handle(self, event: h2.events.Event, goaway: Goaway | None) -> None:
        """Take an event; `goaway` came in the same read, and counts before a reset."""
        if not isinstance(event, h2.events.SettingsAcknowledged):
            self._heard += 1
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._has_settings = True
            self._feed_all()
        elif isinstance(event, h2.events.WindowUpdated):
            self._feed_all()
        elif isinstance(event, h2.events.StreamReset):
            if event.error_code == ErrorCodes.HTTP_1_1_REQUIRED:
                self._retired = self.wants_http1 = True
            refused = self._exchanges.get(event.stream_id) if goaway else None
            if goaway and refused and event.stream_id > goaway.last and not refused.status:
                return  # `_part` says that it was not processed (RFC 9113, section 6.8)
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        number = getattr(event, "stream_id", None)
        exchange = self._exchanges.get(number) if number else None
        if exchange:
            exchange.handle(event)

    def _feed_all(self) -> None:
        for number, exchange in self._exchanges.items():
            self._feed(number, exchange)

    def _part(self, goaway: Goaway) -> None:
        """The server takes no more requests; those up to a number it may still answer."""
        self._retired = True
        if goaway.code == ErrorCodes.HTTP_1_1_REQUIRED:
            self.wants_http1 = True
        is_orderly = goaway.code == ErrorCodes.NO_ERROR
        ended = f"the server ended the connection: {code_name(goaway.code)}"
        for number, exchange in self._exchanges.items():
            if number > goaway.last:
                message = _NO_MORE if is_orderly else ended
                # Where it was for a reason, the next attempt had better not come at once.
                failure = TransportError(
                    "protocol", message, sent=False, transient=True, stale=is_orderly
                )
                exchange.fail(failure)
            elif not is_orderly:
                exchange.fail(TransportError("protocol", ended, sent=True, transient=True))
