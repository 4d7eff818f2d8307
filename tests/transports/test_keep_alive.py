"""Kept-alive connections: how long, how often, and when another one is used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from support.client import Client, OpenClient
from support.http2 import Stream, http2
from support.server import Peer, Server, StartServer, answering, response
from trio.testing import wait_all_tasks_blocked

OK = response(b"ok")
Connect = Callable[..., Awaitable[tuple[Server, Client]]]
MISDIRECTED = response(b"", status="421 Misdirected Request")


class Clock:
    """trio's clock, as `trio.current_time` gives it, moved forward by `ahead` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        current_time = trio.current_time
        monkeypatch.setattr(trio, "current_time", lambda: current_time() + self.ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("headers", "idle", "connections"),
    [
        ((), 45.0, 1),
        ((), 51.0, 2),
        (("Keep-Alive: timeout=5",), 3.0, 1),
        (("Keep-Alive: timeout=5",), 4.1, 2),
        (("keep-alive: Timeout=5, max=100",), 4.1, 2),
        (("Keep-Alive: timeout=0",), 0.1, 2),
        (("Keep-Alive: timeout=600",), 51.0, 2),
        (("Keep-Alive: max=0",), 0.0, 2),
    ],
)
async def test_send_uses_no_connection_that_has_been_idle_for_too_long(
    start: StartServer,
    client: OpenClient,
    clock: Clock,
    headers: tuple[str, ...],
    idle: float,
    connections: int,
) -> None:
    """A NAT gateway may have forgotten it; see urllib3/urllib3#3184."""
    server = await start(answering(response(b"ok", *headers)))
    caller = client(server.url)
    await caller.send("POST", b"{}")
    clock.ahead += idle
    await caller.send("POST", b"{}")
    assert server.connections == connections


async def test_send_heeds_a_hint_that_comes_late(
    start: StartServer, client: OpenClient, clock: Clock
) -> None:
    """Any response may carry it, also with a head cached from another connection."""
    hint = response(b"ok", "Keep-Alive: timeout=5")
    server = await start(answering(OK, hint, hint, hint))
    caller = client(server.url)
    for _ in range(3):
        await caller.send("POST", b"{}")
    clock.ahead += 4.1
    await caller.send("POST", b"{}")
    assert server.connections == 2


async def test_send_counts_down_with_its_server(start: StartServer, client: OpenClient) -> None:
    """A server that accepts three requests per connection need not close it on us."""

    async def script(peer: Peer) -> None:
        for left in (2, 1, 0):
            await peer.request()
            await peer.send(response(b"ok", f"Keep-Alive: timeout=5, max={left}"))
        assert await peer.request() is None

    server = await start(script)
    caller = client(server.url)
    for _ in range(7):
        assert (await caller.send()).body == b"ok"
    assert server.connections == 3


async def test_send_makes_room_for_a_fresh_connection(
    start: StartServer, client: OpenClient
) -> None:
    """An idle one is closed for it, so that their number does not grow."""
    everyone_is_here = trio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            if server.connections == 3:
                everyone_is_here.set()
            await everyone_is_here.wait()
            await peer.send(OK)

    server = await start(script)
    caller = client(server.url)
    async with trio.open_nursery() as requests:
        for _ in range(3):
            requests.start_soon(caller.send)
    for _ in range(5):
        await caller.send(fresh=True)
        await wait_all_tasks_blocked(0.001)
        assert (caller.idle, server.open) == (3, 3)
    assert server.connections == 8


async def test_send_leaves_a_connection_that_was_the_wrong_one(
    start: StartServer, client: OpenClient
) -> None:
    """After 421 the next request uses another one (RFC 9110, section 15.5.20)."""
    server = await start(answering(MISDIRECTED, OK))
    caller = client(server.url)
    for connections in (1, 2, 3):
        assert (await caller.send()).status == 421
        await wait_all_tasks_blocked(0.001)
        assert (server.connections, server.open, caller.idle) == (connections, 0, 0)


async def test_http2_leaves_a_connection_that_was_the_wrong_one(connect: Connect) -> None:
    """It takes no more requests; see golang/go#18341."""

    async def handler(stream: Stream) -> None:
        await stream.answer(b"", status=421 if stream.link.peer.number == 0 else 200)

    server, client = await connect(http2(handler))
    assert (await client.send()).status == 421
    for _ in range(3):
        assert (await client.send()).status == 200
    assert server.connections == 2


@pytest.mark.parametrize(("idle", "connections"), [(45.0, 1), (51.0, 2)])
async def test_http2_uses_no_connection_that_has_been_idle_for_too_long(
    connect: Connect, clock: Clock, idle: float, connections: int
) -> None:
    """As with HTTP/1.1."""

    async def handler(stream: Stream) -> None:
        await stream.answer(b"ok")

    server, client = await connect(http2(handler))
    await client.send("POST", b"{}")
    clock.ahead += idle
    await client.send("POST", b"{}")
    assert server.connections == connections
