"""The contract suite runs over every transport: what a test asserts holds for all of them.

If a transport cannot do the same, the test has a table that tells what it does instead.
`http2` is included for servers that speak HTTP/1.1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import trio
from support.certificates import Certificates
from support.client import KEYS, TRANSPORTS, Client, OpenClient, TransportKind
from support.http2 import http2_contexts
from support.server import Script, Server, StartServer, serve
from support.tokens import Guarded, TokenEndpoint, oauth2

from tmux_fanout.core.config.settings import Api


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> TransportKind:
    transport: TransportKind = request.param
    return transport


@pytest.fixture
def start(nursery: trio.Nursery) -> StartServer:
    """Return `start(script)`, which starts a server that runs as long as the test."""

    async def start_server(script: Script, **arguments: Any) -> Server:
        server: Server = await nursery.start(partial(serve, script, **arguments))
        return server

    return start_server


@pytest.fixture
async def client(kind: TransportKind) -> AsyncIterator[OpenClient]:
    """Return `client(url, ...)`: a client of the transport under test, closed after the test."""
    clients: list[Client] = []

    def open_client(url: str, **arguments: Any) -> Client:
        clients.append(Client(kind, url, **arguments))
        return clients[-1]

    yield open_client
    for opened in clients:
        await opened.transport.aclose()


@pytest.fixture
def endpoint() -> TokenEndpoint:
    return TokenEndpoint()


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


@pytest.fixture
async def api(
    start: StartServer, endpoint: TokenEndpoint, guarded: Guarded, kind: TransportKind
) -> Api:
    """Return the API `guarded`, with tokens from `endpoint`."""
    tokens = await start(endpoint.script)
    server = await start(guarded.script)
    return Api("a", server.url, auth=oauth2(tokens.url), **KEYS[kind])


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
async def connect(start: StartServer, certificates: Certificates) -> AsyncIterator[Any]:
    """Return `connect(script, ...)`, which starts a server and returns it with a client."""
    clients: list[Client] = []

    async def connect_client(script: Script, **more: Any) -> tuple[Server, Client]:
        of_server, of_client = http2_contexts(certificates)
        server = await start(script, tls=of_server)
        http1_tls = certificates.client()
        http1_tls.set_alpn_protocols(["http/1.1"])
        client = Client("http2", server.url, of_client, http1_tls=http1_tls, http2=True, **more)
        clients.append(client)
        return server, clients[-1]

    yield connect_client
    for client in clients:
        await client.transport.aclose()


@pytest.fixture(params=["httpx", "httpx2"])
def package(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed")


@pytest.fixture
async def client_of(package: Any) -> AsyncIterator[Callable[..., Any]]:
    """Return `client_of(...)`: an `AsyncClient` with these arguments, closed after the test."""
    clients: list[Any] = []

    def make(**arguments: Any) -> Any:
        clients.append(package.AsyncClient(trust_env=False, **arguments))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()
