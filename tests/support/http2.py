"""An HTTP/2 server: a script for `support.server.serve`, built from a handler of requests."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio
from support.certificates import Certificates
from support.server import Peer, Script

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Stream:
    """The server's end of one request.

    Attributes:
        headers: of the request, including pseudo-headers, in order.
        body: of the request.
        reset: set once the client cancels it.
    """

    def __init__(self, link: Link, number: int, headers: Any) -> None:
        self.headers = [(name.decode(), value.decode("latin-1")) for name, value in headers]
        self.body = b""
        self.number = number
        self.reset = trio.Event()
        self.link = link

    async def head(self, *headers: tuple[str, str], end: bool = False, status: int = 200) -> None:
        fields = [(":status", str(status)), *headers]
        self.link.h2.send_headers(self.number, fields, end_stream=end)
        await self.link.flush()

    async def data(self, data: bytes, *, end: bool = False) -> None:
        """Send data as the client's windows allow."""
        view = memoryview(data)
        while view:
            size = self.link.h2.local_flow_control_window(self.number)
            size = min(size, self.link.h2.max_outbound_frame_size, len(view))
            if not size:
                await self.link.news.wait()
                continue
            last = end and size == len(view)
            self.link.h2.send_data(self.number, bytes(view[:size]), end_stream=last)
            view = view[size:]
            await self.link.flush()
        if end and not data:
            self.link.h2.end_stream(self.number)
            await self.link.flush()

    async def answer(self, body: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        await self.head(*headers, status=status)
        await self.data(body, end=True)

    async def refuse(self, code: h2.errors.ErrorCodes) -> None:
        self.link.h2.reset_stream(self.number, code)
        await self.link.flush()


Handler = Callable[[Stream], Awaitable[object]]


class Link:
    """The server's end of one connection."""

    def __init__(self, peer: Peer, limit: int) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        values = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: limit}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.peer = peer
        self.news = trio.Event()
        self.streams: dict[int, Stream] = {}
        self._lock = trio.Lock()

    async def flush(self, raw: bytes = b"") -> None:
        """Send what h2 has produced, and bytes that it would not produce."""
        async with self._lock:
            await self.peer.send(self.h2.data_to_send() + raw)

    async def run(self, handler: Handler) -> None:
        self.h2.initiate_connection()
        await self.flush()
        async with trio.open_nursery() as nursery:
            with suppress(*_GONE, h2.exceptions.ProtocolError):
                await self._receive(nursery, handler)
            nursery.cancel_scope.cancel()

    async def _receive(self, nursery: trio.Nursery, handler: Handler) -> None:
        while data := await self.peer.stream.receive_some(65536):
            for event in self.h2.receive_data(data):
                stream = self._taken(event)
                if stream:
                    nursery.start_soon(_handled, handler, stream)
            self.news.set()
            self.news = trio.Event()
            await self.flush()

    def _taken(self, event: h2.events.Event) -> Stream | None:
        """Return a request that is complete, if the event completes one."""
        number: Any = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.streams[number] = Stream(self, number, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.streams[number].body += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        elif isinstance(event, h2.events.StreamReset):
            self.streams[number].reset.set()
        return self.streams[number] if isinstance(event, h2.events.StreamEnded) else None


async def _handled(handler: Handler, stream: Stream) -> None:
    # A request that the client has cancelled, or a test has closed, cannot be answered.
    with suppress(*_GONE, h2.exceptions.ProtocolError):
        await handler(stream)


def http2(handler: Handler, limit: int = 100) -> Script:
    """Return a script that passes each request to `handler`, at most `limit` at a time."""

    async def script(peer: Peer) -> None:
        await Link(peer, limit).run(handler)

    return script


async def echo2(stream: Stream) -> None:
    """Answer each request with its own body."""
    await stream.answer(stream.body)


def http2_contexts(certificates: Certificates) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a server and a client that agree on HTTP/2."""
    server, client = certificates.server(), certificates.client()
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["h2", "http/1.1"])
    return server, client
