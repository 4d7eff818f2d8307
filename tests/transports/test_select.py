"""Which transport an API gets, and that all are closed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from support.certificates import Certificates
from support.client import (
    KEYS,
    TRANSPORTS,
    Attempt,
    TransportKind,
    descriptors_settle_at,
    open_descriptors,
    request_head,
)
from support.server import Server, StartServer, echo

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin, Request
from tmux_fanout.core.http.proxies import parse_proxy
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.select import check_transports, open_transports


async def post(transport: Transport, url: str) -> bytes:
    head = msgspec.structs.replace(request_head(url), method="POST")
    return (await transport.send(Request(head, b"{}"), Attempt())).body


async def test_open_transports_gives_each_api_its_own(start: StartServer) -> None:
    """By name, and native by default."""
    server = await start(echo)
    apis = [Api("any", server.url)]
    apis += [Api(kind, server.url, **KEYS[kind]) for kind in TRANSPORTS]
    expected = ["NativeTransport", "NativeTransport"]
    expected += ["HttpxTransport", "Http2Transport", "AsksTransport"]
    async with open_transports(plan_run(apis, RunSettings(), {}).apis) as transports:
        kinds = [re.findall(r"\w+", repr(transport))[0] for transport in transports]
        assert kinds == expected[: len(apis)]
        for transport in transports:
            assert await post(transport, server.url) == b"{}"
        assert server.connections == len(apis)


@pytest.mark.parametrize("how", ["left", "cancelled", "failed"])
async def test_open_transports_closes_them_however_it_ends(
    start: StartServer, kind: TransportKind, how: str
) -> None:
    """Leaving the block, cancellation and an error leave no socket."""
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


ORIGIN, PROXY = Origin("http", "a.test", 80), parse_proxy("http://p.test:1", "proxy")


FORMS = (
    plan_run([Api("a", "http://a.test", body_format="multipart")], RunSettings(), {})
    .apis[0]
    .requests
)


@pytest.mark.parametrize(
    ("trio_version", "settings", "message"),
    [
        (None, {}, "asks is not installed here; pip install 'tmux-fanout[asks]'"),
        ("0.24.0", {}, "asks works with trio below 0.24, and this is 0.24.0; pip install "),
        ("1.0.0", {}, "asks works with trio below 0.24, and this is 1.0.0; pip install "),
        ("0.23.2", {"http2": True}, "asks does not support http2; use transport ="),
        ("0.23.2", {"proxies": {ORIGIN: PROXY}}, "asks does not support a proxy; use transport ="),
        ("0.23.2", {"client": object()}, "asks does not support a client; use transport ="),
        ("0.23.2", {"requests": FORMS}, "asks does not support multipart bodies; use transport ="),
        ("0.23.2", {}, None),
    ],
)
def test_check_transports_tells_what_asks_lacks(
    monkeypatch: pytest.MonkeyPatch,
    trio_version: str | None,
    settings: dict[str, Any],
    message: str | None,
) -> None:
    """It is missing, trio is too new, or a feature is unsupported."""
    there = sys if trio_version else None
    modules = {"asks": there, "h2": sys}
    monkeypatch.setattr("tmux_fanout.transports.select.find_spec", modules.get)
    monkeypatch.setattr("tmux_fanout.transports.select.version", {"trio": trio_version}.get)
    (plan,) = plan_run([Api("a", "http://a.test")], RunSettings(), {}).apis
    plan = msgspec.structs.replace(plan, transport="asks", **settings)
    if message is None:
        check_transports([plan])
        return
    with pytest.raises(ConfigError) as caught:
        check_transports([plan])
    assert str(caught.value).startswith(f"API 'a': transport: {message}")
