r"""A server on loopback that is scripted by a test, byte by byte.

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")

    server = await nursery.start(serve, script)

The script runs once for each connection, which is closed when it returns; the client may close the
connection in the middle of it.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import trio

AnyStream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time


class Received(NamedTuple):
    """A request as received; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    head: bytes
    body: bytes


class Peer:
    """The server's end of one connection.

    Attributes:
        stream: for what the methods do not cover.
        number: number of connections before this one.
    """

    def __init__(self, server: Server, stream: AnyStream, number: int) -> None:
        self.stream = stream
        self.number = number
        self._server = server
        self._buffer = bytearray()

    async def head(self) -> Received | None:
        """Return the next request with its body unread; None if the client has closed."""
        while b"\r\n\r\n" not in self._buffer:
            if not await self._fill():
                return None
        end = self._buffer.index(b"\r\n\r\n") + 4
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        pairs = (line.split(": ", 1) for line in lines)
        received = Received(method, target, {k.lower(): v for k, v in pairs}, head, b"")
        self._server.requests.append(received)
        return received

    async def request(self) -> Received | None:
        """Return the next request with its body; None if the client has closed."""
        received = await self.head()
        if received is None:
            return None
        length = int(received.headers.get("content-length", 0))
        while len(self._buffer) < length:
            if not await self._fill():
                return None
        received = received._replace(body=bytes(self._buffer[:length]))
        del self._buffer[:length]
        self._server.requests[-1] = received
        return received

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def some(self) -> bytes:
        """Return some bytes, or none if the client has closed."""
        if not self._buffer:
            await self._fill()
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    async def closed(self) -> None:
        """Wait until the client has closed, whatever it sends before."""
        while await self.some():
            pass

    def reset(self) -> None:
        """Close with a reset (RST)."""
        sock = self._server.socket_of(self.stream)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        sock.close()

    async def _fill(self) -> bool:
        data = await self.stream.receive_some(65536)
        self._buffer += data
        return bool(data)


Script = Callable[[Peer], Awaitable[object]]
StartServer = Callable[..., Awaitable["Server"]]  # the arguments of `serve`


class Server:
    """A running server and what it has received.

    Attributes:
        port: on 127.0.0.1, or the host given to `serve`.
        script: runs for each connection.
        requests: in the order in which their heads arrived.
        connections: number accepted so far.
        open: number of connections open now.
        peak: the maximum of `open` so far.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None) -> None:
        self.scheme = "https" if tls else "http"
        self.host = ""
        self.port = 0
        self.requests: list[Received] = []
        self.connections = self.open = self.peak = 0
        self.script = script
        self._tls = tls

    def __repr__(self) -> str:
        return f"<Server {self.url}: {self.open} open of {self.connections}>"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/"

    @staticmethod
    def socket_of(stream: AnyStream) -> trio.socket.SocketType:
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        return stream.socket

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        number = self.connections
        self.connections += 1
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            # A client that disconnects ends the script.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.script(Peer(self, self._secured(stream), number))
        finally:
            self.open -= 1
            await trio.aclose_forcefully(stream)

    def _secured(self, stream: trio.SocketStream) -> AnyStream:
        if self._tls is None:
            return stream
        return trio.SSLStream(stream, self._tls, server_side=True)


async def serve(
    script: Script,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    path: str = "",
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; what `nursery.start` returns is the `Server`.

    Args:
        script: runs for each connection.
        tls: for https.
        host: address to listen on.
        port: to listen on; 0 is any.
        path: of a Unix socket to listen on instead; one that begins with a NUL is abstract.
    """
    server = Server(script, tls)
    if path:
        listeners = [await _unix_listener(path)]
    else:
        listeners = await trio.open_tcp_listeners(port, host=host)
        server.host, server.port = listeners[0].socket.getsockname()[:2]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, server._serve_one, listeners)
        task_status.started(server)


async def _unix_listener(path: str) -> trio.SocketListener:
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await sock.bind(path)
    sock.listen()
    return trio.SocketListener(sock)


def response(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """Return a response with its length, and further headers such as `"Connection: close"`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answering(*answers: bytes) -> Script:
    """Return a script: each request gets the next of `answers`, and then the last one again."""

    async def script(peer: Peer) -> None:
        turn = 0
        while await peer.request():
            await peer.send(answers[min(turn, len(answers) - 1)])
            turn += 1

    return script


async def echo(peer: Peer) -> None:
    """Answer each request with its own body."""
    while (received := await peer.request()) is not None:
        await peer.send(response(received.body))


def sending(data: bytes, *, then_close: bool = True) -> Script:
    """Return a script: one request gets these bytes, and then the end, or silence."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        if not then_close:
            await peer.closed()

    return script
