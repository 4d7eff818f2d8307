"""Which transport serves an API."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.util import find_spec

import trio

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.transports.base import Transport

_CLOSING_TIME = 2.0
_INSTALL_ASKS = "pip install 'tmux-fanout[asks]'"
_TRIO_PAST_ASKS = (0, 24)


def check_transports(plans: Sequence[ApiPlan]) -> None:
    """Return if every API can have the transport that is planned for it.

    Raises:
        ConfigError: it is an extra that is not installed, or cannot do what it is to do.
    """
    for plan in plans:
        if plan.transport == "asks":
            try:
                _check_asks(plan)
            except ConfigError as exc:
                raise exc.within("transport", api=plan.name) from None


def _check_asks(plan: ApiPlan) -> None:
    if find_spec("asks") is None:
        raise ConfigError(f"asks is not installed here; {_INSTALL_ASKS}")
    here = version("trio")
    if tuple(map(int, here.split(".")[:2])) >= _TRIO_PAST_ASKS:
        message = f"asks works with trio below 0.24, and this is {here}"
        raise ConfigError(f"{message}; {_INSTALL_ASKS} brings one")
    wishes = {"http2": plan.http2, "proxy": plan.proxy, "client": plan.client}
    for key, wish in wishes.items():
        if wish:
            raise ConfigError(f"asks cannot serve {key}; write transport = 'httpx'")


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
    if plan.transport == "asks":
        from tmux_fanout.transports.asks import AsksTransport  # an extra

        return AsksTransport(plan, tls)
    from tmux_fanout.transports.native import NativeTransport

    return NativeTransport(plan, tls)


def _tls_context() -> ssl.SSLContext:
    """The system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
