"""Which transport serves an API."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.transports.base import Transport

_CLOSING_TIME = 2.0


@asynccontextmanager
async def open_transports(plans: Sequence[ApiPlan]) -> AsyncIterator[list[Transport]]:
    """A transport for each API; all are closed at the end, cancelled or not."""
    transports: list[Transport] = []
    try:
        transports += map(_transport, plans)
        yield transports
    finally:
        with trio.CancelScope(deadline=trio.current_time() + _CLOSING_TIME, shield=True):
            for transport in transports:
                await transport.aclose()


def _transport(plan: ApiPlan) -> Transport:
    tls = _tls_context() if plan.origin.is_tls else None
    if plan.transport == "httpx":
        from tmux_fanout.transports.httpx import HttpxTransport  # costs 100 ms to import

        return HttpxTransport(plan, tls)
    from tmux_fanout.transports.native import NativeTransport

    return NativeTransport(plan, tls)


def _tls_context() -> ssl.SSLContext:
    """The system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
