"""Connections that are reset or closed before, during and between responses."""

from __future__ import annotations

import pytest
import trio
from support.client import OpenClient, classify, descriptors_settle_at, open_descriptors
from support.server import Peer, Script, StartServer, echo, response
from trio.testing import wait_all_tasks_blocked

OK = response(b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf "
BIG = bytes(8 << 20)


def losing(served: int, data: bytes, how: str) -> Script:
    """Return a script: answer `served` requests, then send `data` and reset or close."""

    async def script(peer: Peer) -> None:
        for _ in range(served):
            await peer.request()
            await peer.send(OK)
        await peer.request()
        await peer.send(data)
        if how == "reset":
            # A reset discards what the client has not read yet.
            await wait_all_tasks_blocked(0.001)
            peer.reset()

    return script


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "before the response"),
        (b"HTTP/1.1 2", "in the middle of the response"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "in the middle of the response"),
        (HALF, "in the middle of the response"),
    ],
)
async def test_send_on_a_new_connection_that_is_lost(
    start: StartServer, client: OpenClient, method: str, how: str, data: bytes, where: str
) -> None:
    """The request may have been applied, a partial response is none, and nothing is stale."""
    server = await start(losing(0, data, how))
    before = open_descriptors()
    error = await client(server.url).failure(method, b"{}" if method == "POST" else None)
    assert classify(error) == ("protocol", "transient")
    assert error.sent
    assert where in error.message
    if how == "reset":
        assert error.message == f"connection lost {where}: connection reset by peer"
    assert await descriptors_settle_at(before)


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize(("data", "stale"), [(b"", "stale"), (HALF, "transient")])
async def test_send_on_a_kept_connection_that_is_lost(
    start: StartServer, client: OpenClient, how: str, data: bytes, stale: str
) -> None:
    """It is stale before the first byte of a response, and not later."""
    server = await start(losing(1, data, how))
    caller = client(server.url)
    await caller.send()
    error = await caller.failure()
    assert classify(error) == ("protocol", stale)
    assert error.sent
    assert server.connections == 1
    assert (await caller.send(fresh=True)).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_send_sees_that_an_idle_connection_is_gone(
    start: StartServer, client: OpenClient, how: str
) -> None:
    """A connection that was closed while idle is not used: a POST is sent on a new one."""
    idle_is_over = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.number == 0:
            await idle_is_over.wait()
            if how == "reset":
                peer.reset()
        else:
            await peer.closed()

    server = await start(script)
    caller = client(server.url)
    await caller.send()
    idle_is_over.set()
    await wait_all_tasks_blocked(0.001)
    assert server.open == 0
    assert (await caller.send("POST", b"{}")).body == b"ok"
    assert (server.connections, len(server.requests)) == (2, 2)


async def test_send_does_not_use_a_connection_on_which_bytes_came_unasked(
    start: StartServer, client: OpenClient
) -> None:
    """An unsolicited response, such as a 408 on an idle connection, answers nothing."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await wait_all_tasks_blocked(0.001)
        await peer.send(response(b"unasked", status="408 Request Timeout"))
        await peer.closed()

    server = await start(script)
    caller = client(server.url)
    for _ in range(3):
        assert (await caller.send()).body == b"ok"
        await wait_all_tasks_blocked(0.002)
    assert server.connections == 3


async def test_send_goes_through_every_dead_connection_once(
    start: StartServer, client: OpenClient
) -> None:
    """After a server restart all kept connections are closed and a new one is made."""
    everyone_is_here, restart = trio.Event(), trio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            if server.open == 10:
                everyone_is_here.set()
            await everyone_is_here.wait()
            await peer.send(OK)
            if peer.number < 10:
                await restart.wait()
                return

    server = await start(script)
    caller = client(server.url)
    before = open_descriptors()
    async with trio.open_nursery() as requests:
        for _ in range(10):
            requests.start_soon(caller.send)
    restart.set()
    assert await descriptors_settle_at(before + 10)
    assert (await caller.send("POST", b"{}")).body == b"ok"
    assert await descriptors_settle_at(before + 2)


REFUSAL = response(b"too large", "Connection: close", status="413 Content Too Large")


@pytest.mark.parametrize("then", ["close", "end and read", "wait"])
async def test_send_keeps_the_status_of_a_server_that_does_not_read_on(
    start: StartServer, client: OpenClient, then: str
) -> None:
    """A 413 in the middle of the body is the response, whatever the server does next."""
    answered = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(REFUSAL)
        if then == "end and read":
            await peer.stream.send_eof()
            await peer.closed()
        elif then == "wait":
            await answered.wait()

    server = await start(script)
    caller = client(server.url)
    before = open_descriptors()
    answer = await caller.send("POST", BIG)
    answered.set()
    assert (answer.status, answer.body) == (413, b"too large")
    assert caller.attempt.sent
    assert await descriptors_settle_at(before)


async def test_send_does_not_keep_a_connection_with_half_a_request_on_it(
    start: StartServer, client: OpenClient
) -> None:
    """If the server answers early and keeps it open, the rest of the body is in the way."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"early"))
        await trio.sleep_forever()

    server = await start(script)
    caller = client(server.url)
    for _ in range(2):
        assert (await caller.send("POST", BIG)).body == b"early"
    assert server.connections == 2


async def test_send_carries_large_bodies_both_ways(start: StartServer, client: OpenClient) -> None:
    """A server may read everything and then answer, and the connection is used again."""
    server = await start(echo)
    caller = client(server.url, max_response=len(BIG))
    body = bytes(range(256)) * (len(BIG) >> 8)
    for _ in range(2):
        assert (await caller.send("POST", body)).body == body
    assert server.connections == 1


async def test_send_reads_while_it_sends(start: StartServer, client: OpenClient) -> None:
    """A server that writes as it reads would block with a client that reads afterwards."""

    async def script(peer: Peer) -> None:
        received = await peer.head()
        assert received
        left = int(received.headers["content-length"])
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        while left:
            data = await peer.some()
            left -= len(data)
            await peer.send(data)
        assert await peer.some() == b""

    server = await start(script)
    caller = client(server.url, max_response=len(BIG))
    body = bytes(range(256)) * (len(BIG) >> 8)
    assert (await caller.send("POST", body)).body == body


async def test_send_fails_where_a_large_request_is_lost(
    start: StartServer, client: OpenClient
) -> None:
    """A reset in the middle of the request, without a response, is a lost connection."""

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reset()

    server = await start(script)
    error = await client(server.url).failure("POST", BIG)
    assert classify(error) == ("protocol", "transient")
    assert error.sent
