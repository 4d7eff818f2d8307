"""Connections to Unix sockets and to other hosts than those of the URL."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
from support.certificates import Certificates
from support.client import (
    Attempt,
    Client,
    OpenClient,
    classify,
    descriptors_settle_at,
    open_descriptors,
)
from support.http2 import echo2, http2, http2_contexts
from support.proxy import proxying
from support.server import Peer, Received, StartServer, answering, echo, response
from support.tokens import Guarded, TokenEndpoint, oauth2, opened
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.http.redirects import follow
from tmux_fanout.core.records.parser import Record

OK = answering(response(b"ok"))
TIMEOUT = 0.3

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.sock")


def url_of(path: str, target: str = "/") -> str:
    return f"http+unix://{quote(path, safe='')}{target}"


async def test_send_on_a_socket(start: StartServer, client: OpenClient, path: str) -> None:
    """The Host is localhost, and the connection is kept for requests of any size."""
    server = await start(echo, path=path)
    caller = client(url_of(path, "/v1?q=1"), max_response=8 << 20)
    for body in (b"{}", bytes(range(256)) * (8 << 12), b"[]"):
        assert (await caller.send("POST", body)).body == body
    assert server.connections == 1
    assert [each.target for each in server.requests] == ["/v1?q=1"] * 3
    assert server.requests[0].headers["host"] == "localhost"


@on_linux
async def test_send_on_an_abstract_socket(start: StartServer, client: OpenClient) -> None:
    """It has a name instead of a file."""
    name = f"tmux-fanout-test-{os.getpid()}"
    await start(OK, path=f"\0{name}")
    assert (await client(url_of(f"@{name}")).send()).body == b"ok"


async def test_send_on_a_relative_path(
    start: StartServer, client: OpenClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is relative to the working directory."""
    await start(OK, path=path)
    monkeypatch.chdir(Path(path).parent)
    assert (await client("http://api.test/", socket="x.sock").send()).body == b"ok"


async def test_tls_on_a_socket(
    start: StartServer, client: OpenClient, certificates: Certificates, path: str
) -> None:
    """Name and certificate are those of the URL."""
    await start(OK, path=path, tls=certificates.server("api.test"))
    tls = certificates.client()
    assert (await client("https://api.test/", tls=tls, socket=path).send()).body == b"ok"
    error = await client("https://other.test/", tls=tls, socket=path).failure()
    assert classify(error) == ("tls", "final")
    assert "certificate of other.test not accepted" in error.message


async def test_http2_on_a_socket(start: StartServer, certificates: Certificates, path: str) -> None:
    """It is agreed on in the handshake, as it is over TCP."""
    of_server, of_client = http2_contexts(certificates)
    server = await start(http2(echo2), path=path, tls=of_server)
    caller = Client("http2", "https://127.0.0.1/", of_client, socket=path, http2=True)
    assert [(await caller.send("POST", b)).body for b in (b"1", b"2")] == [b"1", b"2"]
    assert server.connections == 1
    await caller.transport.aclose()


def missing(path: str) -> None:
    pass


def regular(path: str) -> None:
    Path(path).touch()


def folder(path: str) -> None:
    Path(path).mkdir()


def stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


def closed_to_us(path: str) -> None:
    stale(path)
    Path(path).chmod(0)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (missing, "no such file or directory"),
        (regular, "it is not a socket"),
        (folder, "it is not a socket"),
        (stale, "no server listens on it"),
        pytest.param(
            closed_to_us,
            "permission denied",
            marks=pytest.mark.skipif(os.getuid() == 0, reason="root may open everything"),
        ),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the systems report other errors")
async def test_connect_fails_with_the_reason(
    client: OpenClient, path: str, make: Callable[[str], None], why: str
) -> None:
    """Nothing is sent, and the message names the path."""
    make(path)
    before = open_descriptors()
    error = await client(url_of(path)).failure("POST", b"{}")
    assert classify(error) == ("connect", "transient")
    assert error.message == f"cannot connect to the socket {path}: {why}"
    assert not error.shortage
    assert await descriptors_settle_at(before)


@on_linux
async def test_connect_fails_at_a_socket_for_datagrams(client: OpenClient, path: str) -> None:
    """It is a socket, but none for HTTP."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        error = await client(url_of(path)).failure()
    assert error.message.endswith("it is a socket of another type than SOCK_STREAM")


async def test_connect_shows_odd_paths_in_plain_text(client: OpenClient) -> None:
    """A path may hold any bytes, and a message none that could steer a terminal."""
    error = await client(url_of("/no/\x1b[2J\n")).failure()
    assert "/no/\\x1b[2J\\x0a: no such file" in error.message


@on_linux
async def test_connect_waits_for_a_place_in_the_backlog(client: OpenClient, path: str) -> None:
    """The system refuses a connection while others wait to be accepted: no shortage of ours."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(path)
        listener.listen(0)
        other.connect(path)
        before = open_descriptors()
        error = await client(url_of(path), connect_timeout=TIMEOUT).failure()
        assert classify(error) == ("connect", "transient")
        assert error.message == f"no connection to the socket {path} within 300ms"
        assert not error.shortage
        assert await descriptors_settle_at(before)
        patient = client(url_of(path))
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                assert (await patient.send()).body == b"ok"

            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            served, _ = listener.accept()
            with served:  # that of the other
                wrapped = trio.socket.from_stdlib_socket(listener)
                mine, _ = await wrapped.accept()
            with mine:
                assert await mine.recv(65536)
                await mine.send(response(b"ok"))


async def test_redirects_lead_from_a_socket_to_no_host(
    start: StartServer, client: OpenClient, path: str
) -> None:
    """A path, and a URL of the same host, stay on the socket; all else is another origin."""
    reply = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {}\r\n\r\n"

    async def script(peer: Peer) -> None:
        while received := await peer.request():
            await peer.send(reply.format(received.headers["x-to"]).encode())

    await start(script, path=path)
    head = client(url_of(path, "/a/b")).head

    async def followed(to: str) -> object:
        caller = client(url_of(path, "/a/b"), headers={"X-To": to})
        step = follow(Request(caller.head, None), await caller.send())
        return step if isinstance(step, str) else step.request.head.url

    assert head.origin.socket == path
    assert await followed("../c") == "http://localhost/c"
    assert await followed("http://localhost/c") == "http://localhost/c"
    for elsewhere in ("http://127.0.0.1/", "http://localhost:81/", "https://localhost/"):
        assert "is not followed" in str(await followed(elsewhere))
    assert "to another scheme" in str(await followed(url_of(path)))


async def test_connect_to_another_host(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """Host header, SNI and certificate stay those of the URL."""
    server = await start(OK, tls=certificates.server("api.test"))
    tls, there = certificates.client(), f"127.0.0.1:{server.port}"
    assert (await client("https://api.test/", tls=tls, connect_to=there).send()).body == b"ok"
    assert server.requests[0].headers["host"] == "api.test"
    error = await client("https://other.test/", tls=tls, connect_to=there).failure()
    assert "certificate of other.test not accepted" in error.message


async def test_connect_to_keeps_the_port(start: StartServer, client: OpenClient) -> None:
    """A host alone stands for the same port there."""
    server = await start(OK)
    caller = client(f"http://api.test:{server.port}/", connect_to="127.0.0.1")
    assert (await caller.send()).body == b"ok"
    assert server.requests[0].headers["host"] == f"api.test:{server.port}"


async def test_connect_to_fails_with_both_names(client: OpenClient) -> None:
    """The message says where it went, and for whom."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        there = f"127.0.0.1:{sock.getsockname()[1]}"
        error = await client("http://api.test/", connect_to=there).failure()
    assert error.message == f"cannot connect to {there}, for api.test: connection refused"


@pytest.mark.parametrize("way", ["connect_to", "socket"])
async def test_token_endpoints_are_reached_directly(
    start: StartServer, endpoint: TokenEndpoint, guarded: Guarded, path: str, way: str
) -> None:
    """Where the API is reached says nothing of the host that has its tokens."""
    tokens = await start(endpoint.script)
    server = await start(guarded.script, path=path if way == "socket" else "")
    there: dict[str, Any] = {"socket": path, "connect_to": f"127.0.0.1:{server.port}"}
    api = Api("a", "http://api.test/", auth=oauth2(tokens.url), **{way: there[way]})
    async with opened(api) as [transport]:
        [plan] = plan_run([api], RunSettings(), {}).apis
        request = plan.requests.build(Record(0, b"{}", b"{}"))
        assert isinstance(request, Request)
        assert (await transport.send(request, Attempt())).status == 200
    assert len(endpoint.fetches) == len(guarded.seen) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxies_open_a_tunnel_to_another_host(
    start: StartServer, certificates: Certificates, scheme: str
) -> None:
    """As with curl: the proxy is told where to connect, and reads no request."""
    seen: list[Received] = []
    proxy = await start(proxying(seen=seen))
    tls = certificates.server("api.test") if scheme == "https" else None
    server = await start(OK, tls=tls)
    there = f"127.0.0.1:{server.port}"
    caller = Client(
        "httpx",
        f"{scheme}://api.test/",
        certificates.client(),
        connect_to=there,
        proxy=f"http://127.0.0.1:{proxy.port}",
    )
    assert (await caller.send()).body == b"ok"
    assert [(each.method, each.target) for each in seen] == [("CONNECT", there)]
    assert server.requests[0].target == "/"
    await caller.transport.aclose()
