"""The transport for HTTP/2, where the server speaks it; else HTTP/1.1, as the httpx transport does.

Which of them it is turns out in the TLS handshake (ALPN).  A server that has agreed on HTTP/2 may
still want HTTP/1.1 (HTTP_1_1_REQUIRED), and gets that from then on.

Many requests share a connection, so those that come together wait for the one that makes it, and
share its failure; there is another connection for what the server does not take on one.  Once the
server has said how many requests it takes on each, as many are made at a time as are needed.
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
        plan: of the API that is called.
        tls: for https, with h2 among its ALPN protocols.
        http1_tls: the same without h2.
        proxy_tls: for https proxies.
    """

    def __init__(
        self,
        plan: ApiPlan,
        tls: ssl.SSLContext | None,
        http1_tls: ssl.SSLContext | None,
        proxy_tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connector = ProxyConnector(tls, plan.connect_timeout, plan.proxies, proxy_tls)
        self._http1 = HttpxTransport(plan, http1_tls, proxy_tls)
        self._max_response = plan.max_response
        self._connect_timeout = plan.connect_timeout
        self._sites: defaultdict[Origin, _Site] = defaultdict(_Site)

    def __repr__(self) -> str:
        sessions = sum(len(site.sessions) for site in self._sites.values())
        return f"<Http2Transport: {sessions} sessions, {self._http1!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        origin = request.head.origin
        if not origin.is_tls:  # where it could not be agreed on
            return await self._http1.send(request, progress)
        site = self._sites[origin]
        if site.wants_http1:
            return await self._http1.send(request, progress)
        connection: Session | socket.socket | None = None if progress.fresh else site.available()
        if connection is None and site.is_http1:
            response = await self._http1.send_on_idle(request, progress)
            if response is not None:
                return response
            connection = await self._connect(origin)
        elif connection is None:
            connection = await self._shared(origin, site, progress.fresh)
        progress.connected_at = trio.current_time()
        if not isinstance(connection, Session):
            return await self._http1.send_on(connection, request, progress)
        try:
            response = await connection.exchange(request, progress)
        except TransportError as failure:
            site.wants_http1 = site.wants_http1 or connection.wants_http1
            if failure.sent or not connection.wants_http1:
                raise
        else:
            return decoded(response, self._max_response)
        finally:
            site.tidy()
        progress.sent = False
        return await self._http1.send(request, progress)

    async def aclose(self) -> None:
        for site in self._sites.values():
            for session in site.sessions:
                session.close()
            site.sessions.clear()
        await self._http1.aclose()

    async def _shared(self, origin: Origin, site: _Site, fresh: bool) -> Session | socket.socket:
        """A connection of our own, or a session that another request makes meanwhile."""
        tried = site.tries
        async with site.turn():
            if site.tries > tried and site.failure:
                known = site.failure
                raise TransportError(
                    known.kind,
                    known.message,
                    sent=False,
                    transient=known.transient,
                    shortage=known.shortage,
                )
            session = None if fresh and site.tries == tried else site.available()
            if session:
                return session
            if not site.is_http1:
                try:
                    return await self._connect(origin)
                except TransportError as failure:
                    site.failure = failure
                    site.tries += 1
                    raise
        return await self._connect(origin)

    async def _connect(self, origin: Origin) -> Session | socket.socket:
        """A new connection: a session, or, where that is not agreed on, a socket for HTTP/1.1.

        Raises:
            TransportError: nothing of a request was sent.
        """
        site = self._sites[origin]
        with trio.move_on_after(self._connect_timeout):
            sock = await self._connector.connect(origin)
            if cast(ssl.SSLSocket, sock).selected_alpn_protocol() != "h2":
                site.connected(None)
                return sock
            session = Session(sock, self._max_response)
            try:
                await session.open()
            except BaseException:
                session.close()
                raise
            site.connected(session)
            return session
        time = show_duration(self._connect_timeout)
        message = f"no HTTP/2 connection to {origin.authority} within {time}"
        raise TransportError("connect", message, sent=False, transient=True)


class _Site:
    """What is known of an origin.

    Attributes:
        sessions: those that are open.
        tries: how many times one was made, or could not be.
        failure: why it could not be the last time.
        is_http1: whether the server was last heard to choose HTTP/1.1.
        wants_http1: whether it has agreed on HTTP/2, and then wanted HTTP/1.1 all the same.
    """

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._turns = trio.CapacityLimiter(1)
        self._waiting = 0
        self._requests_each = math.inf  # that a connection takes, by the one that was made last
        self.tries = 0
        self.failure: TransportError | None = None
        self.is_http1 = False
        self.wants_http1 = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait, with the block, until as few others make a connection as are needed."""
        self._waiting += 1
        try:
            self._allow_enough()
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    def _allow_enough(self) -> None:
        left = self._waiting - sum(session.room for session in self.sessions)
        self._turns.total_tokens = max(1, math.ceil(left / self._requests_each))

    def available(self) -> Session | None:
        """A session that takes another request; the others are dropped if they are finished."""
        found = next((session for session in self.sessions if session.takes_more()), None)
        self.tidy()
        return found

    def connected(self, session: Session | None) -> None:
        self.tries += 1
        self.failure = None
        self.is_http1 = session is None
        if session:
            self.sessions.append(session)
            self._requests_each = session.max_requests
            self._allow_enough()

    def tidy(self) -> None:
        for session in [session for session in self.sessions if session.is_finished]:
            self.sessions.remove(session)
            session.close()
