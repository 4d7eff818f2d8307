"""The native transport: a pool of kept-alive connections for each origin."""

from __future__ import annotations

import ssl
from collections.abc import Callable
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
from tmux_fanout.transports.native.head_cache import ResponseHeadCache
from tmux_fanout.transports.native.hosts.guard import GuardedConnector
from tmux_fanout.transports.native.hosts.pool import BoundedPool
from tmux_fanout.transports.native.taskless import TasklessConnection, Watcher
from tmux_fanout.transports.pool import Pool


class NativeTransport:
    """HTTP/1.1 with one request at a time on each connection.

    Args:
        plan: of the API to call.
        tls: for https.
    """

    def __init__(self, plan: ApiPlan, tls: ssl.SSLContext | None) -> None:
        hosts = plan.hosts
        self._connector = (
            GuardedConnector(tls, plan.connect_timeout, hosts.rules)
            if hosts
            else Connector(tls, plan.connect_timeout, plan.connect_to)
        )
        self._max_response = plan.max_response
        self._watcher = Watcher()
        self._pool: Pool[TasklessConnection] = (
            BoundedPool(plan.limit, self._watcher) if hosts else Pool(self._watcher)
        )
        self._heads = ResponseHeadCache()
        self._wire_heads = Prepared(_wire_head)

    def __repr__(self) -> str:
        return f"<NativeTransport: {self._pool!r}, {self._watcher!r}>"

    @property
    def is_attended(self) -> bool:
        """Whether `attend` is running, so that attempts can begin without a task."""
        return self._watcher.is_watching

    async def send(self, request: Request, progress: Progress) -> Response:
        head = request.head
        if progress.fresh:
            self._pool.make_room(head.origin)
            idle = None
        else:
            idle = self._pool.take(head.origin, trio.current_time())
        connection = idle or await self.connect(head.origin, progress)
        try:
            response = await connection.exchange(head.method, self._wire(request), progress)
        except BaseException:
            connection.close()
            raise
        self.keep(head.origin, connection)
        return decoded(response, self._max_response)

    async def connect(self, origin: Origin, progress: Progress) -> TasklessConnection:
        """Return a new connection; the caller owns it.

        Raises:
            TransportError: `connect` or `tls`.
        """
        sock = await self._connector.connect(origin)
        progress.connected_at = trio.current_time()
        return TasklessConnection(
            sock,
            self._max_response,
            self._heads,
            self._watcher,
            finished=partial(self._finished, origin),
            dropped=partial(self._pool.drop, origin),
        )

    def keep(self, origin: Origin, connection: TasklessConnection) -> None:
        """Keep a connection for later requests, or close it if it cannot be used again."""
        if self._pool.give_back(origin, connection, trio.current_time()):
            connection.watch()

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> TasklessConnection | None:
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

    def _finished(
        self,
        origin: Origin,
        connection: TasklessConnection,
        answer: Response | TransportError,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
    ) -> None:
        """Report the end of an exchange without a task, and keep its connection."""
        if isinstance(answer, TransportError):
            connection.close()
            answered(progress, answer)
            return
        if not answer.is_plain:
            try:
                answer = decoded(answer, self._max_response)
            except TransportError as error:
                answer = error
            except Exception as exc:
                answer = internal_failure(exc, sent=True)
        self._pool.give_back(origin, connection, answered(progress, answer))

    def _wire(self, request: Request) -> bytes:
        """Return a request as it is sent."""
        head = self._wire_heads[request.head]
        if request.body is None:
            return head + b"\r\n"
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(request.body), request.body)

    async def aclose(self) -> None:
        self._pool.close()


def _wire_head(head: RequestHead) -> bytes:
    """Return a request head as it is sent, except for Content-Length and the final empty line."""
    lines = [f"{head.method} {head.target} HTTP/1.1", *map(": ".join, head.headers), ""]
    return "\r\n".join(lines).encode("latin-1")
