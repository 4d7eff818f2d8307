"""The native transport: a pool of kept-alive connections for each origin."""

from __future__ import annotations

import ssl
from collections import defaultdict
from functools import lru_cache

from tmux_fanout.core.http import Origin, Request, RequestHead, Response
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.native.connect import connect
from tmux_fanout.transports.native.connection import Connection


class NativeTransport:
    """HTTP/1.1 with one request at a time on each connection.

    The connection used last is used first, so that few are kept busy and the others may go.

    Args:
        connect_timeout: seconds for name, address and handshake.
        max_response: most bytes of a body, as received and decoded.
        tls: for https.
    """

    def __init__(
        self, *, connect_timeout: float, max_response: int, tls: ssl.SSLContext | None
    ) -> None:
        self._connect_timeout = connect_timeout
        self._max_response = max_response
        self._tls = tls
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)

    def __repr__(self) -> str:
        return f"<NativeTransport: {sum(map(len, self._idle.values()))} idle connections>"

    async def send(self, request: Request, progress: Progress) -> Response:
        head = request.head
        wire = _wire_head(head)
        if request.body is not None:
            wire += b"Content-Length: %d\r\n\r\n%b" % (len(request.body), request.body)
        else:
            wire += b"\r\n"
        idle = self._idle[head.origin]
        connection = None if progress.fresh else _take_alive(idle)
        if connection is None:
            sock = await connect(head.origin, self._tls, self._connect_timeout)
            connection = Connection(sock, self._max_response)
        reusable = False
        try:
            response = await connection.exchange(head.method, wire, progress)
            reusable = connection.is_reusable
        finally:
            if reusable:
                idle.append(connection)
            else:
                connection.close()
        return decoded(response, self._max_response)

    async def aclose(self) -> None:
        for connections in self._idle.values():
            while connections:
                connections.pop().close()


def _take_alive(idle: list[Connection]) -> Connection | None:
    while idle:
        connection = idle.pop()
        if connection.is_alive():
            return connection
        connection.close()
    return None


@lru_cache(maxsize=256)
def _wire_head(head: RequestHead) -> bytes:
    """A request head as it goes out, open for one more header."""
    lines = [f"{head.method} {head.target} HTTP/1.1", *map(": ".join, head.headers), ""]
    return "\r\n".join(lines).encode("latin-1")
