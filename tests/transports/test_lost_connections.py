"""Connections that are reset or closed: before a response, in it, and between two of them."""

from __future__ import annotations

import pytest
import trio
from support.client import OpenClient, descriptors_settle_at, open_descriptors, verdict
from support.server import Peer, Script, StartServer, echo, response
from trio.testing import wait_all_tasks_blocked

OK = response(b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf "
BIG = bytes(8 << 20)


def losing(served: int, data: bytes, how: str) -> Script:
    """A script: `served` requests get their answer, the next gets `data` and a reset or close."""

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
    """The request may have been applied, part of a response is never one, and nothing is stale."""
    server = await start(losing(0, data, how))
    before = open_descriptors()
    failure = await client(server.url).failure(method, b"{}" if method == "POST" else None)
    assert verdict(failure) == ("protocol", "transient")
    assert failure.sent
    assert where in failure.message
    if how == "reset":
        assert failure.message == f"connection lost {where}: connection reset by peer"
    assert await descriptors_settle_at(before)


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize(("data", "stale"), [(b"", "stale"), (HALF, "transient")])
async def test_send_on_a_kept_connection_that_is_lost(
    start: StartServer, client: OpenClient, how: str, data: bytes, stale: str
) -> None:
    """Before any byte of a response it is stale, later it is not; a fresh one is not tried here."""
    server = await start(losing(1, data, how))
    caller = client(server.url)
    await caller.send()
    failure = await caller.failure()
    assert verdict(failure) == ("protocol", stale)
    assert failure.sent
    assert server.connections == 1
    assert (await caller.send(fresh=True)).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_send_sees_that_an_idle_connection_is_gone(
    start: StartServer, client: OpenClient, how: str
) -> None:
    """Closed before it is used again, it is not used again: a POST goes out on a new one."""
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
    """A response without a request, such as a 408 on an idle connection, answers nothing."""

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
    """After a restart of the server all kept connections are closed and a new one is made."""
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
    """A 413 while the body is still on its way is the response, however the server goes on."""
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
    """Where the server answered early and offers to go on, the rest of the body is in the way."""

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
    """A server may take it all and then answer, and the connection is good for more."""
    server = await start(echo)
    caller = client(server.url, max_response=len(BIG))
    body = bytes(range(256)) * (len(BIG) >> 8)
    for _ in range(2):
        assert (await caller.send("POST", body)).body == body
    assert server.connections == 1


async def test_send_reads_while_it_sends(start: StartServer, client: OpenClient) -> None:
    """A server that writes back as it reads would block with a client that reads afterwards."""

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
    failure = await client(server.url).failure("POST", BIG)
    assert verdict(failure) == ("protocol", "transient")
    assert failure.sent
