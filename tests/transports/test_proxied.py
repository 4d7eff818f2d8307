"""Proxies: what they receive, and how their refusals are reported."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import pytest
import trio
from support.cancelling import cancelled_after
from support.certificates import Certificates
from support.client import Attempt, classify, descriptors_settle_at, open_descriptors, request_head
from support.http2 import echo2, http2, http2_contexts
from support.proxy import proxying
from support.server import Peer, Received, Server, StartServer, echo

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Origin, Request, Response
from tmux_fanout.core.http.proxies import parse_proxy
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.foreign.httpx import HttpxTransport
from tmux_fanout.transports.http2.transport import Http2Transport
from tmux_fanout.transports.native.proxy import ProxyConnector

CREDENTIALS = f"Basic {base64.b64encode(b'user:s3cret').decode()}"
LARGE = bytes(range(256)) * (4 << 10)
MAX_STEPS = 400


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


class Caller:
    """A transport through a proxy."""

    def __init__(
        self, server: Server, proxy: Server | str, certificates: Certificates, **keys: Any
    ) -> None:
        url = proxy.url if isinstance(proxy, Server) else proxy
        api = Api("a", server.url, **{"proxy": url, "max_response": 8 << 20, **keys})
        plan = plan_run([api], RunSettings(), {}).apis[0]
        http1_tls = proxy_tls = certificates.client()
        self.transport: Transport
        if keys.get("http2"):
            _, tls = http2_contexts(certificates)
            self.transport = Http2Transport(plan, tls, http1_tls, proxy_tls)
        else:
            self.transport = HttpxTransport(plan, http1_tls, proxy_tls)
        self.url = server.url
        self.attempt = Attempt()

    async def send(self, body: bytes = b"{}") -> Response:
        self.attempt = Attempt()
        head = request_head(self.url)
        head = type(head)("POST", head.origin, "/x?y=%20", head.headers)
        with trio.fail_after(60):
            return await self.transport.send(Request(head, body), self.attempt)


async def test_send_has_plain_requests_forwarded(
    start: StartServer, certificates: Certificates
) -> None:
    """They carry the whole URL and the credentials, and the connection is kept."""
    seen: list[Received] = []
    proxy = await start(proxying(credentials=CREDENTIALS, seen=seen))
    server = await start(echo)
    url = f"http://user:s3cret@127.0.0.1:{proxy.port}"
    caller = Caller(server, url, certificates)
    for body in (b"1", b"2"):
        assert (await caller.send(body)).body == body
    assert [received.target for received in seen] == [f"{server.url}x?y=%20"] * 2
    assert seen[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert proxy.connections == 1
    assert "s3cret" not in repr(caller.transport)
    await caller.transport.aclose()


@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("keys", [{}, {"http2": True}], ids=["http1", "http2"])
async def test_send_goes_through_a_tunnel(
    start: StartServer, certificates: Certificates, secure: bool, keys: dict[str, Any]
) -> None:
    """The proxy gets host, port and its credentials; TLS is spoken with the origin."""
    seen: list[Received] = []
    tls = certificates.server() if secure else None
    proxy = await start(proxying(credentials=CREDENTIALS, seen=seen), tls=tls)
    of_server, _ = http2_contexts(certificates)
    script, context = (http2(echo2), of_server) if keys else (echo, certificates.server())
    server = await start(script, tls=context)
    url = f"http{'s' if secure else ''}://user:s3cret@127.0.0.1:{proxy.port}"
    before = open_descriptors()
    caller = Caller(server, url, certificates, **keys)
    for body in (b"1", LARGE, b"2"):
        assert (await caller.send(body)).body == body
    assert [received.method for received in seen] == ["CONNECT"]
    assert seen[0].target == f"127.0.0.1:{server.port}"
    assert not any("authorization" in received.headers for received in server.requests)
    await caller.transport.aclose()
    assert await descriptors_settle_at(before)


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "final", "requires other credentials: HTTP 407"),
        (b"HTTP/1.1 403 No\r\n\r\n", "final", "does not connect to"),
        (b"HTTP/1.1 502 No\r\n\r\n", "transient", "HTTP 502"),
        (b"SSH-2.0-x\r\n\r\n", "final", "does not answer CONNECT with HTTP/1.1"),
        (b"SSH-2.0-x", "final", "does not answer CONNECT with HTTP/1.1"),
        (b"\x15\x03\x01", "final", "does not answer CONNECT with HTTP/1.1"),
        (b"HTTP/2 200\r\n\r\n", "final", "does not answer CONNECT with HTTP/1.1"),
        (b"HTTP/1.1 2000 OK\n\n", "final", "does not answer CONNECT with HTTP/1.1"),
        (b"HTTP/1.1 407 No\nX: a\n\n", "final", "requires other credentials: HTTP 407"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "final", "HTTP 101"),
        (b"", "transient", "cannot connect to the proxy http://127.0.0.1"),
    ],
)
async def test_send_fails_where_a_proxy_opens_no_tunnel(
    start: StartServer, certificates: Certificates, answer: bytes, expected: str, words: str
) -> None:
    """It fails at once, nothing was sent to the origin, and the message names the proxy
    without its credentials.
    """

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        if answer:
            await peer.closed()

    proxy = await start(script)
    server = await start(echo, tls=certificates.server())
    before = open_descriptors()
    caller = Caller(server, f"http://user:s3cret@127.0.0.1:{proxy.port}", certificates)
    with pytest.raises(TransportError) as caught:
        await caller.send()
    assert classify(caught.value) == ("connect", expected)
    assert not caught.value.sent
    assert not caller.attempt.sent
    assert words in caught.value.message
    assert "s3cret" not in caught.value.message
    assert await descriptors_settle_at(before)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.0 200 Connection established\nProxy-agent: x\n\n",
        b"HTTP/1.1 200\r\nX: a\n\r\n",
        b"HTTP/1.1 200 OK\r\n\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1  100 Continue\r\n\r\nHTTP/1.0   200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nno header\r\n\r\n",
        b"HTTP/1.1 100 Continue\n\nHTTP/1.0 103 X\r\n\r\nHTTP/1.1 299 OK\r\n\r\n",
    ],
)
async def test_send_goes_through_a_tunnel_that_is_announced_oddly(
    start: StartServer, certificates: Certificates, answer: bytes
) -> None:
    """Only status and end of the head matter; see curl/curl#1317 and elixir-mint/mint#493."""
    proxy = await start(proxying(agreement=answer))
    server = await start(echo, tls=certificates.server())
    caller = Caller(server, proxy, certificates)
    for body in (b"1", b"2"):
        assert (await caller.send(body)).body == body
    assert proxy.connections == 1
    await caller.transport.aclose()


async def test_send_fails_where_there_is_no_proxy(
    start: StartServer, certificates: Certificates
) -> None:
    """The message says that the proxy cannot be reached."""
    server = await start(echo)
    with pytest.raises(
        TransportError, match=r"cannot connect to the proxy http://127\.0\.0\.1:1: "
    ):
        await Caller(server, "http://127.0.0.1:1", certificates).send()


async def test_send_gives_a_silent_proxy_the_connect_timeout(
    start: StartServer, certificates: Certificates
) -> None:
    """Opening the tunnel is part of connecting."""
    proxy = await start(Peer.closed)
    server = await start(echo, tls=certificates.server())
    before = open_descriptors()
    with pytest.raises(TransportError) as caught:
        await Caller(server, proxy, certificates, connect_timeout=0.3).send()
    assert classify(caught.value) == ("connect", "transient")
    assert await descriptors_settle_at(before)


@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
async def test_send_cancelled_at_every_checkpoint_in_turn(
    start: StartServer, certificates: Certificates, secure: bool
) -> None:
    """No socket is left, and the next request works."""
    proxy = await start(proxying(), tls=certificates.server() if secure else None)
    server = await start(echo, tls=certificates.server())
    before = open_descriptors()
    for steps in range(MAX_STEPS):
        caller = Caller(server, proxy, certificates)
        cancelled = await cancelled_after(steps, partial(caller.send, b"{}"))
        assert (await caller.send(b"next")).body == b"next"
        await caller.transport.aclose()
        assert await descriptors_settle_at(before)
        if not cancelled:
            break
    assert not cancelled
    assert steps > 2


async def test_send_cuts_a_proxy_that_never_gets_to_the_point(
    start: StartServer, certificates: Certificates
) -> None:
    """Interim responses count towards the size of the head, and other tasks run."""

    async def script(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)

    proxy = await start(script)
    server = await start(echo, tls=certificates.server())
    with pytest.raises(TransportError, match="does not answer CONNECT") as caught:
        await Caller(server, proxy, certificates).send()
    assert classify(caught.value) == ("connect", "final")


async def test_send_never_falls_back_to_plain_text(start: StartServer) -> None:
    """Without a TLS context, no https origin and no https proxy is connected to."""
    seen = await start(echo)
    origin = Origin("https", "127.0.0.1", seen.port)
    proxy = parse_proxy(f"https://user:s3cret@127.0.0.1:{seen.port}", "proxy")
    for proxies in ({}, {origin: proxy}, {origin._replace(scheme="http"): proxy}):
        target = next(iter(proxies), origin)
        with pytest.raises(TransportError) as caught:
            await ProxyConnector(None, 1.0, proxies, None).connect(target)
        assert classify(caught.value) == ("tls", "final")
        assert not caught.value.sent
        assert "s3cret" not in caught.value.message
    assert seen.connections == 0
