"""The native transport: a pool of kept-alive connections for each origin."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial

import trio

from tmux_fanout.core.errors import Failure
from tmux_fanout.core.http import Origin, Request, RequestHead, Response
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.core.prepared import Prepared
from tmux_fanout.transports.base import P, Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.native.connect import Connector
from tmux_fanout.transports.native.heads import Heads
from tmux_fanout.transports.native.prompt import PromptConnection, Watcher
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
        self._watcher = Watcher()
        self._pool = Pool[PromptConnection](are_watched=lambda: self._watcher.is_watching)
        self._heads = Heads()
        self._wire_heads = Prepared(_wire_head)
        self._uncoded: Sequence[tuple[bytes, bytes]] = ()  # headers without a content coding

    def __repr__(self) -> str:
        return f"<NativeTransport: {self._pool!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        head = request.head
        connection = None if progress.fresh else self._pool.take(head.origin)
        if connection is None:
            sock = await self._connector.connect(head.origin)
            progress.connected_at = trio.current_time()
            connection = self._connection(sock, head.origin)
        try:
            response = await connection.exchange(head.method, self._wire(request), progress)
        except BaseException:
            connection.close()
            raise
        if self._pool.give_back(head.origin, connection):
            connection.watch()
        return self._decoded(response)

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | Failure], object],
    ) -> PromptConnection | None:
        connection = None
        if self._watcher.is_watching and not progress.fresh:
            connection = self._pool.take(request.head.origin)
        if connection and not connection.watch():
            self._pool.give_back(request.head.origin, connection)
            return None
        if connection:
            connection.begin(request.head.method, self._wire(request), progress, answered)
        return connection

    async def attend(self, passed: Callable[[], object]) -> None:
        await self._watcher.watch(passed)

    def _connection(self, sock: socket.socket, origin: Origin) -> PromptConnection:
        return PromptConnection(
            sock,
            self._max_response,
            self._heads,
            self._watcher,
            finished=partial(self._finished, origin),
            dropped=partial(self._pool.drop, origin),
        )

    def _finished(
        self, origin: Origin, connection: PromptConnection, answer: Response | Failure
    ) -> Response | Failure:
        """Keep the connection of an exchange that was begun, and decode its response."""
        if isinstance(answer, Failure):
            connection.close()
            return answer
        self._pool.give_back(origin, connection)
        try:
            return self._decoded(answer)
        except Failure as failure:
            return failure

    def _decoded(self, response: Response) -> Response:
        if response.headers is self._uncoded:  # the very same, as heads are known again
            return response
        whole = decoded(response, self._max_response)
        if whole is response:
            self._uncoded = response.headers
        return whole

    def _wire(self, request: Request) -> bytes:
        """A request as it goes out."""
        head = self._wire_heads[request.head]
        if request.body is None:
            return head + b"\r\n"
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(request.body), request.body)

    async def aclose(self) -> None:
        self._pool.close()


def _wire_head(head: RequestHead) -> bytes:
    """A request head as it goes out, open for one more header."""
    lines = [f"{head.method} {head.target} HTTP/1.1", *map(": ".join, head.headers), ""]
    return "\r\n".join(lines).encode("latin-1")
