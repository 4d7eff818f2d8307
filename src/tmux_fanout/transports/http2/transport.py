"""The transport for HTTP/2; if a server does not speak it, HTTP/1.1 by the httpx transport.

The TLS handshake decides (ALPN).  A server that has agreed on HTTP/2 may still ask for HTTP/1.1
(HTTP_1_1_REQUIRED), and gets it from then on.

Many requests share a connection, so concurrent ones wait for the one that makes it, and share its
failure; further connections carry what the server does not accept on the first.  Once the server
has announced how many requests it accepts on each, as many are made at a time as are needed.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Origin, Request, Response
from tmux_fanout.core.units import show_duration
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.decoding import decoded
from tmux_fanout.transports.foreign.httpx import HttpxTransport
from tmux_fanout.transports.http2.session import Session
from tmux_fanout.transports.native.proxy import ProxyConnector


class Http2Transport:
    """Requests to one API over as few connections as the server allows.

    Args:
        plan: of the API to call.
        tls: for https, with h2 among its ALPN protocols.
        http1_tls: for https, without h2.
        proxy_tls: for https proxies.
    """

    def __init__(
        self,
        plan: ApiPlan,
        tls: ssl.SSLContext | None,
        http1_tls: ssl.SSLContext | None,
        proxy_tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connector = ProxyConnector(
            tls, plan.connect_timeout, plan.proxies, proxy_tls, plan.connect_to
        )
        self._http1 = HttpxTransport(plan, http1_tls, proxy_tls)
        self._max_response = plan.max_response
        self._connect_timeout = plan.connect_timeout
        self._origins: defaultdict[Origin, _OriginState] = defaultdict(_OriginState)

    def __repr__(self) -> str:
        sessions = sum(len(state.sessions) for state in self._origins.values())
        return f"<Http2Transport: {sessions} sessions, {self._http1!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        origin = request.head.origin
        state = self._origins[origin]
        if state.wants_http1 or not origin.is_tls:  # without TLS there is no agreement on HTTP/2
            return await self._http1.send(request, progress)
        connection: Session | socket.socket | None = None if progress.fresh else state.available()
        if connection is None and state.is_http1:
            response = await self._http1.send_on_idle(request, progress)
            if response is not None:
                return response
            connection = await self._connect(origin)
        elif connection is None:
            connection = await self._shared(origin, state, progress.fresh)
        progress.connected_at = trio.current_time()
        if not isinstance(connection, Session):
            return await self._http1.send_on(connection, request, progress)
        try:
            response = await connection.exchange(request, progress)
        except TransportError as error:
            state.wants_http1 = state.wants_http1 or connection.wants_http1
            if error.sent or not connection.wants_http1:
                raise
        else:
            return decoded(response, self._max_response)
        finally:
            state.discard_finished()
        progress.sent = False
        return await self._http1.send(request, progress)

    async def aclose(self) -> None:
        for state in self._origins.values():
            for session in state.sessions:
                session.close()
            state.sessions.clear()
        await self._http1.aclose()

    async def _shared(
        self, origin: Origin, state: _OriginState, fresh: bool
    ) -> Session | socket.socket:
        """Return a new connection, or the session that another request has made meanwhile."""
        tries_before = state.tries
        async with state.turn():
            if state.tries > tries_before and state.error:
                known = state.error
                raise TransportError(
                    known.kind,
                    known.message,
                    sent=False,
                    transient=known.transient,
                    shortage=known.shortage,
                )
            session = None if fresh and state.tries == tries_before else state.available()
            if session:
                return session
            if not state.is_http1:
                try:
                    return await self._connect(origin)
                except TransportError as error:
                    state.error = error
                    state.tries += 1
                    raise
        return await self._connect(origin)

    async def _connect(self, origin: Origin) -> Session | socket.socket:
        """Return a new session or, if HTTP/2 is not agreed on, a socket for HTTP/1.1.

        Raises:
            TransportError: nothing of a request was sent.
        """
        state = self._origins[origin]
        with trio.move_on_after(self._connect_timeout):
            sock = await self._connector.connect(origin)
            if cast(ssl.SSLSocket, sock).selected_alpn_protocol() != "h2":
                state.connected(None)
                return sock
            session = Session(sock, self._max_response)
            try:
                await session.open()
            except BaseException:
                session.close()
                raise
            state.connected(session)
            return session
        time = show_duration(self._connect_timeout)
        message = f"no HTTP/2 connection to {origin.server} within {time}"
        raise TransportError("connect", message, sent=False, transient=True)


class _OriginState:
    """The sessions to an origin, and what is known of it.

    Attributes:
        sessions: those that are open.
        tries: number of times that connecting has succeeded or failed.
        error: of the last time, or None if it succeeded.
        is_http1: whether the server chose HTTP/1.1 the last time.
        wants_http1: whether it has agreed on HTTP/2, and then asked for HTTP/1.1 all the same.
    """

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._turns = trio.CapacityLimiter(1)
        self._waiting = 0
        self._requests_each = math.inf  # that the newest session accepts at a time
        self.tries = 0
        self.error: TransportError | None = None
        self.is_http1 = False
        self.wants_http1 = False

    def __repr__(self) -> str:
        return f"<_OriginState: {len(self.sessions)} sessions, {self._waiting} waiting>"

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until another connection is needed."""
        self._waiting += 1
        try:
            self._admit_enough()
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    def _admit_enough(self) -> None:
        left = self._waiting - sum(session.room for session in self.sessions)
        self._turns.total_tokens = max(1, math.ceil(left / self._requests_each))

    def available(self) -> Session | None:
        """Return a session on which another request can begin, or None."""
        found = next((session for session in self.sessions if session.can_begin()), None)
        self.discard_finished()
        return found

    def connected(self, session: Session | None) -> None:
        """Record a new session, or None for a connection that speaks HTTP/1.1."""
        self.tries += 1
        self.error = None
        self.is_http1 = session is None
        if session:
            self.sessions.append(session)
            self._requests_each = session.max_requests
            self._admit_enough()

    def discard_finished(self) -> None:
        """Close and forget the sessions that serve no request any more."""
        for session in [session for session in self.sessions if session.is_finished]:
            self.sessions.remove(session)
            session.close()
