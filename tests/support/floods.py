"""Responses without end."""

from __future__ import annotations

from support.server import Peer, Script, response

OK = response(b"ok")
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def flooding(start: bytes, more: bytes) -> Script:
    """Return a script: on the first connection `start`, then `more` for ever; then responses."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number:
            return await peer.send(OK)
        await peer.send(start)
        while True:
            await peer.send(more * (1 + 4096 // len(more)))

    return script


FLOODS = {
    "a body with its length": (HEAD + b"Content-Length: 1000000000\r\n\r\n", b"x"),
    "a body up to the close": (HEAD + b"\r\n", b"x"),
    "large chunks": (CHUNKED, b"ffff\r\n" + bytes(0xFFFF) + b"\r\n"),
    "small chunks": (CHUNKED, b"1\r\nx\r\n"),
    "chunk extensions": (CHUNKED, b"1;" + b"x" * 1000 + b"\r\nx\r\n"),
    "one chunk extension": (CHUNKED + b"1;", b"x"),
    "a status line": (b"HTTP/1.1 200 ", b"x"),
    "one header": (HEAD + b"X: ", b"x"),
    "one header name": (HEAD, b"x"),
    "headers": (HEAD, b"X-Header: x\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"X-Header: x\r\n"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "empty lines": (b"", b"\r\n"),
}

LARGE_HEADS = {
    "one of 200 KB": HEAD + b"X: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "9,000": HEAD + b"X-Header: x\r\n" * 9_000 + b"Content-Length: 2\r\n\r\nok",
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 9_000 + OK,
}
