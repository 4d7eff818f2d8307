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
    if plan.client is not None:
        from tmux_fanout.transports.httpx_client import ClientTransport

        return ClientTransport(plan)
    is_tls = any(origin.is_tls for origin in (plan.origin, *(e.origin for e in plan.endpoints)))
    if plan.transport == "httpx":
        # These cost 100 ms to import.
        proxy_tls = _tls_context() if any(p.origin.is_tls for p in plan.proxies.values()) else None
        if plan.http2:
            from tmux_fanout.transports.http2 import Http2Transport

            return Http2Transport(plan, _tls_context("h2") if is_tls else None, proxy_tls)
        from tmux_fanout.transports.httpx import HttpxTransport

        return HttpxTransport(plan, _tls_context() if is_tls else None, proxy_tls)
    from tmux_fanout.transports.native import NativeTransport

    return NativeTransport(plan, _tls_context() if is_tls else None)


def _tls_context(*more_protocols: str) -> ssl.SSLContext:
    """The system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR.

    Args:
        more_protocols: that are rather spoken than HTTP/1.1, by their names for ALPN.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols([*more_protocols, "http/1.1"])
    return context
