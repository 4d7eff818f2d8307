"""One host for the resolver, the request, the proxy and TLS (see `core.http.hosts`)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.certificates import Certificates
from support.client import Attempt, OpenClient, TransportKind, request_head
from support.names import Names, scripted_names
from support.server import Peer, StartServer, echo, response

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request
from tmux_fanout.transports.foreign.httpx import HttpxTransport


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")


@pytest.fixture
def names() -> Iterator[Names]:
    with scripted_names() as names:
        yield names


class Server:
    """A TLS server with a certificate for one name, which records the names clients ask for."""

    def __init__(self, certificates: Certificates, name: str) -> None:
        self.context = certificates.server(name)
        self.context.sni_callback = self._note
        self.asked_for: list[str | None] = []

    def _note(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.asked_for.append(name)


@pytest.mark.parametrize(
    ("written", "name", "host"),
    [
        ("a.test", "a.test", "a.test"),
        ("a.test.", "a.test", "a.test."),  # curl/curl#716
        ("faß.test.", "xn--fa-hia.test", "xn--fa-hia.test."),
    ],
)
async def test_name_with_a_final_dot(
    start: StartServer,
    client: OpenClient,
    certificates: Certificates,
    names: Names,
    written: str,
    name: str,
    host: str,
) -> None:
    """TLS uses it without the dot, everything else with it."""
    names({host: ["127.0.0.1"]})
    tls = Server(certificates, name)
    server = await start(echo, tls=tls.context)
    caller = client(f"https://{written}:{server.port}", tls=certificates.client())
    assert (await caller.send("POST", b"{}")).body == b"{}"
    assert tls.asked_for == [name]
    assert server.requests[0].headers["host"] == f"{host}:{server.port}"


LOOPBACK = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "")


@IPV6
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("zone", ["1", LOOPBACK])
async def test_address_with_a_zone(
    start: StartServer,
    client: OpenClient,
    kind: TransportKind,
    certificates: Certificates,
    is_tls: bool,
    zone: str,
) -> None:
    """It tells only this machine where to connect; see aio-libs/yarl#1862."""
    if kind == "asks" and zone == LOOPBACK:
        pytest.skip("asks looks it up in DNS")
    tls = Server(certificates, "::1")
    server = await start(echo, tls=tls.context if is_tls else None, host="::1")
    url = f"{server.scheme}://[::1%25{zone}]:{server.port}"
    assert (await client(url, tls=certificates.client()).send("POST", b"{}")).body == b"{}"
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"
    assert tls.asked_for == [None] * is_tls  # addresses are not asked for (RFC 6066, section 3)


@pytest.mark.parametrize("address", ["fe80::1", "2001:db8::1"])
async def test_address_with_a_zone_that_is_not_there(
    client: OpenClient, kind: TransportKind, address: str
) -> None:
    """The call fails, and the message names the missing interface."""
    error = await client(f"http://[{address}%25no-such-0]").failure()
    assert (error.kind, error.transient) == ("connect", True)
    why = "" if kind == "asks" else "no network interface 'no-such-0'"
    assert error.message.startswith(f"cannot connect to [{address}]: {why}")


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://[fe80::1%25eth0]/x", "GET http://[fe80::1]/x HTTP/1.1", "[fe80::1]"),
        ("http://faß.test.:81/x", "GET http://xn--fa-hia.test.:81/x HTTP/1.1", None),
        ("https://[fe80::1%25eth0]/x", "CONNECT [fe80::1]:443 HTTP/1.1", "[fe80::1]:443"),
        ("https://a.test.:444/x", "CONNECT a.test.:444 HTTP/1.1", "a.test.:444"),
    ],
)
async def test_proxy_is_told_the_host_as_a_server_is(
    start: StartServer, certificates: Certificates, url: str, line: str, host: str | None
) -> None:
    """Our zone means nothing to it."""
    seen: list[Any] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.head())
        await peer.send(response(b"no", status="502 Bad Gateway"))

    proxy = await start(script)
    api = Api("a", url, proxy=proxy.url)
    plan = plan_run([api], RunSettings(), {}).apis[0]
    transport = HttpxTransport(plan, certificates.client())
    with suppress(TransportError):  # where there is no tunnel
        await transport.send(Request(request_head(url), None), Attempt())
    await transport.aclose()
    [received] = seen
    assert received.head.decode().splitlines()[0] == line
    assert host is None or received.headers["host"] == host
