"""Exchanges without a task, on existing connections: their results, and when they arrive."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from support.certificates import Certificates
from support.client import Attempt, BegunTransport, Client, OpenClient, classify
from support.server import Peer, StartServer, echo, response
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.http.messages import Request

OK = response(b"ok")
CHUNKS = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"0\r\n\r\n"]
BIG = bytes(range(256)) * (1 << 13)  # more than a socket takes at once


@pytest.fixture
async def begun(nursery: trio.Nursery) -> AsyncIterator[OpenClient]:
    """Return a function that opens clients whose exchanges have no task."""
    clients: list[Client] = []

    def open_client(url: str, *arguments: Any, **more: Any) -> Client:
        client = Client("begun", url, *arguments, **more)
        assert isinstance(client.transport, BegunTransport)
        nursery.start_soon(client.transport.attend)
        clients.append(client)
        return client

    yield open_client
    for client in clients:
        await client.transport.aclose()


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([OK], b"ok"),
        ([OK[:1], OK[1:20], OK[20:-1], OK[-1:]], b"ok"),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"0\r\n\r\n"],
            b"ok",
        ),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], b"ok"),
        ([response(BIG)], BIG),
    ],
    ids=["whole", "pieces", "chunks", "interim", "large"],
)
async def test_begun_takes_a_response_as_it_comes(
    start: StartServer, begun: OpenClient, pieces: list[bytes], body: bytes
) -> None:
    """In one piece or several, and the connection is used again."""

    async def script(peer: Peer) -> None:
        while await peer.request():
            for piece in pieces:
                await peer.send(piece)
                await wait_all_tasks_blocked()

    server = await start(script)
    client = begun(server.url, max_response=len(BIG))
    for _ in range(3):
        assert (await client.send("POST", b"{}")).body == body
    assert server.connections == 1


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", ("protocol", "transient")),
        (OK[:-1], ("protocol", "transient")),
        (b"SSH-2.0\r\n", ("protocol", "final")),
        (OK + OK, ("protocol", "final")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + BIG, ("too_large", "final")),
    ],
    ids=["nothing", "cut", "garbage", "excess", "too large"],
)
async def test_begun_tells_what_is_wrong_with_a_response(
    start: StartServer, begun: OpenClient, data: bytes, what: tuple[str, str]
) -> None:
    """The error is that of an exchange with a task, and the connection is closed."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)

    server = await start(script)
    client = begun(server.url)
    for number in (1, 2):
        assert classify(await client.failure("POST", b"{}")) == what
        assert server.connections == number


async def test_begun_is_stale_where_a_kept_connection_is_lost(
    start: StartServer, begun: OpenClient
) -> None:
    """It is closed before any byte of the second response, which permits a retry."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    server = await start(script)
    client = begun(server.url)
    assert (await client.send()).status == 200
    assert classify(await client.failure()) == ("protocol", "stale")


@pytest.mark.parametrize("stray", [b"", OK], ids=["closed", "unasked-for response"])
async def test_begun_leaves_a_connection_on_which_something_has_come(
    start: StartServer, begun: OpenClient, stray: bytes
) -> None:
    """The watcher drops idle connections that were closed or received unsolicited bytes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(b"%d" % peer.number))
        await wait_all_tasks_blocked(0.001)
        if stray:
            await peer.send(stray)
            await peer.closed()

    server = await start(script)
    client = begun(server.url)
    for number in range(3):
        assert (await client.send("POST", b"{}")).body == b"%d" % number
        await wait_all_tasks_blocked(0.01)
        assert client.idle == 0
    assert server.connections == 3


async def test_begun_sends_a_large_request_bit_by_bit(
    start: StartServer, begun: OpenClient
) -> None:
    """As the socket takes it, complete and in order; the connection is used again."""
    server = await start(echo)
    client = begun(server.url, max_response=len(BIG))
    for _ in range(2):
        assert (await client.send("POST", BIG)).body == BIG
    assert server.connections == 1


async def test_begun_keeps_the_status_of_a_server_that_does_not_read_on(
    start: StartServer, begun: OpenClient
) -> None:
    """A 413 in the middle of the body is the response; the connection is not kept."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"too large", status="413 Content Too Large"))
        await peer.closed()

    server = await start(script)
    client = begun(server.url)
    for _ in range(2):
        assert (await client.send("POST", BIG * 4)).status == 413
    assert server.connections == 2


async def test_begun_over_tls(
    start: StartServer, begun: OpenClient, certificates: Certificates
) -> None:
    """What OpenSSL has already decrypted is read without waiting for the socket."""
    server = await start(echo, tls=certificates.server())
    client = begun(server.url, certificates.client(), max_response=len(BIG))
    for body in (b"{}", BIG, b"{}"):
        assert (await client.send("POST", body)).body == body
    assert server.connections == 1


async def test_begun_over_tls_keeps_a_connection_that_is_only_told_of_tickets(
    start: StartServer, begun: OpenClient, certificates: Certificates
) -> None:
    """Session tickets may arrive while it is idle (RFC 8446, section 4.6.1)."""

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(OK)

    server = await start(script, tls=certificates.server())
    client = begun(server.url, certificates.client())
    for _ in range(3):
        assert (await client.send("POST", b"{}")).body == b"ok"
        await wait_all_tasks_blocked(0.01)
        assert client.idle == 1
    assert server.connections == 1


async def test_begun_can_be_cancelled(start: StartServer, begun: OpenClient) -> None:
    """The connection is closed, nothing more is reported, and the next exchange has another."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number:
            await peer.send(OK)
        await peer.closed()

    server = await start(script)
    client = begun(server.url)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send)
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert (await client.send()).body == b"ok"
    assert server.connections == 2


async def test_begun_answers_go_to_their_requests(start: StartServer, begun: OpenClient) -> None:
    """However many are under way on as many connections."""
    server = await start(echo)
    client = begun(server.url)

    async def ask(number: int) -> None:
        for turn in range(5):
            nonce = b"%d.%d" % (number, turn)
            assert (await client.send("POST", nonce)).body == nonce

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(ask, number)
    assert server.connections <= 30


async def test_begun_hears_nothing_more_once_cancelled() -> None:
    """If a response and cancellation coincide, no exchange begins, whoever wakes first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(20):
            await _answer_and_cancel(listener)


async def _answer_and_cancel(listener: socket.socket) -> None:
    client = Client("begun", f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert isinstance(client.transport, BegunTransport)
    native, attempt, is_over = client.transport.native, Attempt(), False
    heard: list[bool] = []
    try:
        await client.transport.connect(client.head.origin, attempt)
        async with trio.open_nursery() as nursery:
            hear: Callable[..., None] = lambda *_: heard.append(is_over)  # noqa: E731
            nursery.start_soon(native.attend, hear)
            await wait_all_tasks_blocked()

            def answered(*_: object) -> float:
                heard.append(is_over)
                return 0.0

            now = trio.current_time()
            exchange = native.begin(Request(client.head, None), attempt, answered, now)
            peer, _ = listener.accept()
            with peer:
                peer.sendall(OK)
                await trio.lowlevel.checkpoint()
                is_over = True
                nursery.cancel_scope.cancel()
        assert exchange
        if not heard:
            exchange.cancel()  # only reported for exchanges that were begun
        assert not any(heard)
    finally:
        await client.transport.aclose()


@pytest.mark.parametrize(("idle", "connections"), [(45.0, 1), (51.0, 2)])
async def test_begun_uses_no_connection_that_has_been_idle_for_too_long(
    start: StartServer,
    begun: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
    idle: float,
    connections: int,
) -> None:
    """The time is the engine's, which reads the clock anyway."""
    server = await start(echo)
    client = begun(server.url)
    await client.send("POST", b"{}")
    current_time = trio.current_time
    monkeypatch.setattr(trio, "current_time", lambda: current_time() + idle)
    await client.send("POST", b"{}")
    assert server.connections == connections
