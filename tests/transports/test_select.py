"""Which transport an API gets, and that all are closed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from support.certificates import Certificates
from support.client import (
    Attempt,
    TransportKind,
    descriptors_settle_at,
    open_descriptors,
    request_head,
)
from support.server import Server, StartServer, echo

from tmux_fanout.core.http import Request
from tmux_fanout.core.plan import plan_run
from tmux_fanout.core.settings import Api, RunSettings
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.select import open_transports

KEYS: dict[TransportKind, dict[str, Any]] = {
    "native": {"transport": "native"},
    "httpx": {"transport": "httpx"},
    "http2": {"http2": True},
}


async def post(transport: Transport, url: str) -> bytes:
    head = msgspec.structs.replace(request_head(url), method="POST")
    return (await transport.send(Request(head, b"{}"), Attempt())).body


async def test_open_transports_gives_each_api_its_own(start: StartServer) -> None:
    """By name, and native where there is no wish."""
    server = await start(echo)
    apis = [
        Api("a", server.url),
        Api("b", server.url, transport="native"),
        Api("c", server.url, transport="httpx"),
        Api("d", server.url, http2=True),
    ]
    async with open_transports(plan_run(apis, RunSettings(), {}).apis) as transports:
        kinds = [re.findall(r"\w+", repr(transport))[0] for transport in transports]
        assert kinds == ["NativeTransport", "NativeTransport", "HttpxTransport", "Http2Transport"]
        for transport in transports:
            assert await post(transport, server.url) == b"{}"
        assert server.connections == 4


@pytest.mark.parametrize("how", ["left", "cancelled", "failed"])
async def test_open_transports_closes_them_however_it_ends(
    start: StartServer, kind: TransportKind, how: str
) -> None:
    """Leaving the block, being cancelled in it and an error in it leave no socket."""
    server = await start(echo)
    api = Api("a", server.url, **KEYS[kind])
    before = open_descriptors()
    with trio.CancelScope() as scope:
        try:
            async with open_transports(plan_run([api], RunSettings(), {}).apis) as [transport]:
                await post(transport, server.url)
                assert open_descriptors() > before
                if how == "cancelled":
                    scope.cancel()
                    await trio.sleep_forever()
                if how == "failed":
                    raise KeyError
        except KeyError:
            assert how == "failed"
    assert scope.cancelled_caught == (how == "cancelled")
    assert await descriptors_settle_at(before)


async def test_open_transports_trusts_the_authorities_of_the_environment(
    start: StartServer, kind: TransportKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE replaces the system's."""
    certificates = Certificates()
    server: Server = await start(echo, tls=certificates.server())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.write_authority(tmp_path)))
    api = Api("a", server.url, **KEYS[kind])
    async with open_transports(plan_run([api], RunSettings(), {}).apis) as [transport]:
        assert await post(transport, server.url) == b"{}"
