"""The native transport: a pool of kept-alive connections for each origin."""

from __future__ import annotations

import ssl
from functools import lru_cache

import trio

from tmux_fanout.core.http import Request, RequestHead, Response
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.native.connect import Connector
from tmux_fanout.transports.native.connection import Connection
from tmux_fanout.transports.native.heads import Heads
from tmux_fanout.transports.pool import Pool


class NativeTransport:
    """HTTP/1.1 with one request at a time on each connection.

    Args:
        plan: of the API that is called.
        tls: for https.
    """

    def __init__(self, plan: ApiPlan, tls: ssl.SSLContext | None) -> None:
        self._connector = Connector(tls, plan.connect_timeout)
        self._max_response = plan.max_response
        self._pool = Pool[Connection]()
        self._heads = Heads()

    def __repr__(self) -> str:
        return f"<NativeTransport: {self._pool!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        head = request.head
        wire = _wire_head(head)
        if request.body is not None:
            wire += b"Content-Length: %d\r\n\r\n%b" % (len(request.body), request.body)
        else:
            wire += b"\r\n"
        connection = None if progress.fresh else self._pool.take(head.origin)
        if connection is None:
            sock = await self._connector.connect(head.origin)
            progress.connected_at = trio.current_time()
            connection = Connection(sock, self._max_response, self._heads)
        try:
            response = await connection.exchange(head.method, wire, progress)
        except BaseException:
            connection.close()
            raise
        self._pool.give_back(head.origin, connection)
        return decoded(response, self._max_response)

    async def aclose(self) -> None:
        self._pool.close()


@lru_cache(maxsize=256)
def _wire_head(head: RequestHead) -> bytes:
    """A request head as it goes out, open for one more header."""
    lines = [f"{head.method} {head.target} HTTP/1.1", *map(": ".join, head.headers), ""]
    return "\r\n".join(lines).encode("latin-1")
