"""The native transport: a pool of kept-alive connections for each origin."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial

import trio

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.transports.base import P, Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.native.connect import Connector
from tmux_fanout.transports.native.head_cache import Heads
from tmux_fanout.transports.native.taskless import PromptConnection, Watcher
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
        self._pool = Pool[PromptConnection](self._watcher)
        self._heads = Heads()
        self._wire_heads = Prepared(_wire_head)
        self._uncoded: Sequence[tuple[bytes, bytes]] = ()  # headers without a content coding

    def __repr__(self) -> str:
        return f"<NativeTransport: {self._pool!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        head = request.head
        if progress.fresh:
            self._pool.make_room(head.origin)
            idle = None
        else:
            idle = self._pool.take(head.origin, trio.current_time())
        connection = idle or await self._connected(head.origin, progress)
        try:
            response = await connection.exchange(head.method, self._wire(request), progress)
        except BaseException:
            connection.close()
            raise
        if self._pool.give_back(head.origin, connection, trio.current_time()):
            connection.watch()
        return self._decoded(response)

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> PromptConnection | None:
        connection = None
        if self._watcher.is_watching and not progress.fresh:
            connection = self._pool.take(request.head.origin, now)
        if connection and not (connection.is_watched or connection.watch()):
            self._pool.give_back(request.head.origin, connection, now)
            return None
        if connection:
            try:
                connection.begin(request.head.method, self._wire(request), progress, answered)
            except BaseException:
                connection.cancel()
                raise
        return connection

    async def attend(self, passed: Callable[[], object]) -> None:
        await self._watcher.watch(passed)

    async def _connected(self, origin: Origin, progress: Progress) -> PromptConnection:
        sock = await self._connector.connect(origin)
        progress.connected_at = trio.current_time()
        return self._connection(sock, origin)

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
        self,
        origin: Origin,
        connection: PromptConnection,
        answer: Response | TransportError,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
    ) -> None:
        """Pass on what an exchange that was begun came to, and keep its connection."""
        if isinstance(answer, TransportError):
            connection.close()
            answered(progress, answer)
            return
        if answer.headers is not self._uncoded:
            try:
                answer = self._decoded(answer)
            except TransportError as failure:
                answer = failure
            except Exception as exc:
                answer = internal_failure(exc, sent=True)
        self._pool.give_back(origin, connection, answered(progress, answer))

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
