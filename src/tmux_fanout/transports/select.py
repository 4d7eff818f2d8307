"""Which transport serves an API, and what is put around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from tmux_fanout.core.oauth2 import token_request
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.core.tables import OAuth2
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.oauth2 import OAuth2Transport, Tokens
from tmux_fanout.transports.redirects import RedirectingTransport
from tmux_fanout.transports.tls import SYSTEM, Contexts, tls_contexts

_CLOSING_TIME = 2.0
_MAX_TOKEN = 1 << 20  # bytes of the response that brings one


@asynccontextmanager
async def open_transports(
    plans: Sequence[ApiPlan], contexts: Contexts | None = None
) -> AsyncIterator[list[Transport]]:
    """A transport for each API; all are closed at the end, cancelled or not.

    Args:
        contexts: from `tls_contexts`, where that was called before to have its errors early.

    Raises:
        ConfigError: what `tls_contexts` raises.
    """
    opening = _Opening(tls_contexts(plans) if contexts is None else contexts)
    try:
        yield [opening.transport(plan) for plan in plans]
    finally:
        with trio.CancelScope(deadline=trio.current_time() + _CLOSING_TIME, shield=True):
            for transport in opening.opened:
                await transport.aclose()


class _Opening:
    """Opens the transports of a run.

    Attributes:
        opened: those that hold connections.
    """

    def __init__(self, contexts: Contexts) -> None:
        self.opened: list[Transport] = []
        self._contexts = contexts
        self._tokens: dict[OAuth2, Tokens] = {}

    def transport(self, plan: ApiPlan) -> Transport:
        """What sends the requests of an API, with its token, and follows its redirects."""
        transport = self._plain(plan)
        if plan.oauth2:
            transport = OAuth2Transport(transport, self._tokens_of(plan, plan.oauth2))
        if plan.redirects:
            transport = RedirectingTransport(transport, plan.redirects)
        return transport

    def _plain(self, plan: ApiPlan) -> Transport:
        transport = _transport(plan, self._contexts)
        self.opened.append(transport)
        return transport

    def _tokens_of(self, plan: ApiPlan, client: OAuth2) -> Tokens:
        """Those of a client, which several APIs may share."""
        if client not in self._tokens:
            native = {"transport": "native", "proxy": None, "http2": False, "client": None}
            plan = msgspec.structs.replace(plan, tls=SYSTEM, max_response=_MAX_TOKEN, **native)
            self._tokens[client] = Tokens(token_request(client), self._plain(plan))
        return self._tokens[client]


def _transport(plan: ApiPlan, contexts: Contexts) -> Transport:
    tls = contexts.get(plan.tls)
    if plan.transport == "httpx":
        from tmux_fanout.transports.httpx import HttpxTransport  # costs 100 ms to import

        return HttpxTransport(plan, tls)
    from tmux_fanout.transports.native import NativeTransport

    return NativeTransport(plan, tls)
