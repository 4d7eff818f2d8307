"""An HTTP proxy as a script for `support.server.serve`: it forwards requests and opens tunnels."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

import trio
from support.server import Peer, Received, Script

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


def proxying(
    *,
    credentials: str = "",
    refusal: bytes = b"",
    agreement: bytes = b"HTTP/1.1 200 Connected\r\n\r\n",
    seen: list[Received] | None = None,
) -> Script:
    """Return the script.

    Args:
        credentials: the required Proxy-Authorization.
        refusal: the answer to every CONNECT, if any.
        agreement: the answer to CONNECT otherwise.
        seen: is called with each request.
    """

    async def script(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            if seen is not None:
                seen.append(received)
            if credentials and received.headers.get("proxy-authorization") != credentials:
                await peer.send(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            elif received.method != "CONNECT":
                await _forward(peer, received)
            elif refusal:
                await peer.send(refusal)
            else:
                await _tunnel(peer, received, agreement)
                return

    return script


async def _forward(peer: Peer, received: Received) -> None:
    parts = urlsplit(received.target)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    head = received.head.replace(received.target.encode(), target.encode(), 1)
    async with await trio.open_tcp_stream(parts.hostname or "", parts.port or 80) as origin:
        await origin.send_all(head + received.body)
        await peer.send(await origin.receive_some())


async def _tunnel(peer: Peer, received: Received, agreement: bytes) -> None:
    host, _, port = received.target.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as origin:
        await peer.send(agreement)

        async def pump(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
            with suppress(*_GONE):
                while data := await source.receive_some(65536):
                    await sink.send_all(data)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, peer.stream, origin)
            nursery.start_soon(pump, origin, peer.stream)
