"""Select and open the transport of each API, with the layers around it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.util import find_spec

import msgspec
import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.config.tables import at_endpoint
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Digest, OAuth2, SentAuth, Signer
from tmux_fanout.core.http.oauth2 import token_request
from tmux_fanout.core.text import printable
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.layers.credentials import CredentialsTransport
from tmux_fanout.transports.layers.oauth2 import OAuth2Transport, Tokens
from tmux_fanout.transports.layers.redirects import RedirectingTransport
from tmux_fanout.transports.layers.uploads import UploadTransport
from tmux_fanout.transports.tls import (
    SYSTEM,
    Contexts,
    TlsUse,
    has_tls,
    has_tls_proxy,
    tls_contexts,
)

_CLOSING_TIME = 2.0
_MAX_TOKEN = 1 << 20  # bytes of a token endpoint's response
_INSTALL_ASKS = "pip install 'tmux-fanout[asks]'"
_TRIO_PAST_ASKS = (0, 24)

Connect = Callable[[ApiPlan, OAuth2 | None], Transport]
"""Return what sends the requests of an API, or those for the tokens of a client."""


def check_transports(plans: Sequence[ApiPlan]) -> Contexts:
    """Check that every API can have the transport that is planned, before anything is sent.

    Returns:
        The TLS contexts, for `open_transports`.

    Raises:
        ConfigError: a transport is an extra that is not installed, or does not support what is
            configured; a file named in `tls` cannot be used; or a function cannot be found.
    """
    for plan in plans:
        try:
            if plan.transport == "asks":
                _check_asks(plan)
            folder = plan.requests.files_root
            if folder and not os.path.isdir(folder):
                raise ConfigError(f"no such folder: {printable(folder)}", key="files_root")
            if plan.http2 and find_spec("h2") is None:
                why = "it needs an extra; pip install 'tmux-fanout[http2]'"
                raise ConfigError(why, key="http2")
            _check_functions(plan)
        except ConfigError as exc:
            raise exc.within(api=plan.name) from None
    return tls_contexts(plans)


def _check_functions(plan: ApiPlan) -> None:
    """Check that the functions that sign requests can be called."""
    for number, auth in enumerate(plan.auths, 1):
        if not isinstance(auth, Signer):
            continue
        from tmux_fanout.transports.layers.functions import find_function  # needed rarely

        try:
            find_function(auth)
        except ConfigError as exc:
            raise (
                at_endpoint(number, exc).within("endpoints") if plan.endpoints else exc
            ) from None


def _check_asks(plan: ApiPlan) -> None:
    if find_spec("asks") is None:
        raise ConfigError(f"asks is not installed here; {_INSTALL_ASKS}", key="transport")
    here = version("trio")
    if tuple(map(int, here.split(".")[:2])) >= _TRIO_PAST_ASKS:
        message = f"asks works with trio below 0.24, and this is {here}"
        raise ConfigError(f"{message}; {_INSTALL_ASKS} brings one", key="transport")
    unsupported = {
        "http2": plan.http2,
        "a proxy": plan.proxies,
        "a client": plan.client,
        "multipart bodies": plan.requests.body_format == "multipart",
    }
    for what, is_configured in unsupported.items():
        if is_configured:
            message = f"asks does not support {what}; use transport = 'httpx'"
            raise ConfigError(message, key="transport")


@asynccontextmanager
async def open_transports(
    plans: Sequence[ApiPlan], contexts: Contexts | None = None, connect: Connect | None = None
) -> AsyncIterator[list[Transport]]:
    """Open a transport for each API, and close all of them at the end, cancelled or not.

    Args:
        plans: of the APIs.
        contexts: from `check_transports`, or None to prepare them here.
        connect: makes transports in place of the planned ones, below the layers around them.

    Raises:
        ConfigError: for the same reasons as `tls_contexts`.
    """
    opening = _Opening(tls_contexts(plans) if contexts is None else contexts, connect)
    try:
        yield [opening.transport(plan) for plan in plans]
    finally:
        with trio.CancelScope(deadline=trio.current_time() + _CLOSING_TIME, shield=True):
            for transport in opening.opened:
                await transport.aclose()


class _Opening:
    """Opens the transports of a run.

    Attributes:
        opened: the transports that hold connections.
    """

    def __init__(self, contexts: Contexts, connect: Connect | None) -> None:
        self.opened: list[Transport] = []
        self._connect = connect
        self._contexts = contexts
        self._tokens: dict[OAuth2, Tokens] = {}

    def transport(self, plan: ApiPlan) -> Transport:
        """Return the transport of an API, with layers for credentials, uploads and redirects."""
        transport = self._plain(plan, is_tls=has_tls(plan))
        auths = dict.fromkeys(plan.auths)
        if plan.hosts:  # redirects to other hosts leave credentials behind
            auths[None] = None
        by_auth = {auth: self._with_auth(transport, plan, auth) for auth in auths}
        if len(by_auth) > 1:
            transport = CredentialsTransport(by_auth)
        else:
            [transport] = by_auth.values()
        if plan.requests.body_format == "multipart" and not self._connect:
            transport = UploadTransport(transport)
        if plan.redirects and not plan.hosts:  # else the engine follows them, host by host
            transport = RedirectingTransport(transport, plan.redirects)
        return transport

    def _with_auth(self, transport: Transport, plan: ApiPlan, auth: SentAuth | None) -> Transport:
        if isinstance(auth, OAuth2):
            return OAuth2Transport(transport, self._tokens_of(plan, auth))
        if isinstance(auth, Digest):
            from tmux_fanout.transports.layers.digest import DigestTransport  # needed rarely

            return DigestTransport(transport, auth)
        if isinstance(auth, Signer):
            from tmux_fanout.transports.layers.functions import find_function  # needed rarely
            from tmux_fanout.transports.layers.signing import SigningTransport

            return SigningTransport(transport, auth.name, find_function(auth))
        return transport

    def _plain(self, plan: ApiPlan, client: OAuth2 | None = None, *, is_tls: bool) -> Transport:
        if self._connect:
            transport = self._connect(plan, client)
        else:
            transport = _transport(plan, self._contexts, is_tls=is_tls)
        self.opened.append(transport)
        return transport

    def _tokens_of(self, plan: ApiPlan, client: OAuth2) -> Tokens:
        """Return the tokens of an OAuth 2.0 client, which several APIs may share."""
        if client not in self._tokens:
            direct = {"tls": SYSTEM, "proxies": {}, "connect_to": None}
            native = {"transport": "native", "http2": False, "client": None}
            plan = msgspec.structs.replace(plan, max_response=_MAX_TOKEN, **direct, **native)
            is_tls = token_request(client).head.origin.is_tls
            self._tokens[client] = Tokens(client, self._plain(plan, client, is_tls=is_tls))
        return self._tokens[client]


def _transport(plan: ApiPlan, contexts: Contexts, *, is_tls: bool) -> Transport:
    if plan.client is not None:
        from tmux_fanout.transports.foreign.client import ClientTransport

        return ClientTransport(plan)
    tls = contexts[TlsUse(plan.tls, plan.http2)] if is_tls else None
    if plan.transport == "httpx":
        # httpx and h2 take 100 ms to import.
        proxy_tls = contexts[TlsUse(SYSTEM)] if has_tls_proxy(plan) else None
        if plan.http2:
            from tmux_fanout.transports.http2.transport import Http2Transport

            http1_tls = contexts[TlsUse(plan.tls)] if is_tls else None
            return Http2Transport(plan, tls, http1_tls, proxy_tls)
        from tmux_fanout.transports.foreign.httpx import HttpxTransport

        return HttpxTransport(plan, tls, proxy_tls)
    if plan.transport == "asks":
        from tmux_fanout.transports.foreign.asks import AsksTransport  # an extra

        return AsksTransport(plan, tls)
    from tmux_fanout.transports.native import NativeTransport

    return NativeTransport(plan, tls)
