"""Names, addresses and ports that are dead, silent or slow: kind `connect`, nothing sent."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import msgspec
import pytest
import trio
from support.client import OpenClient, classify, descriptors_settle_at, open_descriptors
from support.names import Names, full_backlog, scripted_names
from support.server import StartServer, answering, response
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.transports.native.connect import interleaved

OK = answering(response(b"ok"))
TIMEOUT = 0.3


@pytest.fixture
def names() -> Iterator[Names]:
    with scripted_names() as names:
        yield names


async def test_connect_is_refused_where_a_port_is_closed(client: OpenClient) -> None:
    """The error permits a retry."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        error = await client(url).failure("POST", b"{}")
    assert classify(error) == ("connect", "transient")
    assert not error.sent
    assert error.message == f"cannot connect to {url[7:]}: connection refused"


async def test_connect_gives_up_at_its_timeout(client: OpenClient) -> None:
    """A server that does not answer a SYN costs the connect timeout and no descriptor."""
    with full_backlog("127.0.0.1") as port:
        caller = client(f"http://127.0.0.1:{port}", connect_timeout=TIMEOUT)
        before, start = open_descriptors(), trio.current_time()
        error = await caller.failure()
        elapsed = trio.current_time() - start
        assert await descriptors_settle_at(before)
    assert classify(error) == ("connect", "transient")
    assert not error.sent
    assert error.message == f"no connection to 127.0.0.1:{port} within 300ms"
    assert elapsed >= TIMEOUT


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connect_fails_where_a_name_does_not_resolve(
    client: OpenClient, names: Names, scheme: str
) -> None:
    """The resolver's message is passed on."""
    names({"no.test": socket.gaierror(socket.EAI_NONAME, "Name or service not known")})
    error = await client(f"{scheme}://no.test", tls=ssl.create_default_context()).failure()
    assert classify(error) == ("connect", "transient")
    assert not error.sent
    assert error.message == "cannot connect to no.test: Name or service not known"


@pytest.mark.parametrize("host", ["a..test", "a" * 64 + ".test", ".test"])
async def test_connect_fails_where_no_such_name_can_be(client: OpenClient, host: str) -> None:
    """A name that DNS cannot hold is a failed call like any other."""
    caller = client("http://some.test")
    caller.head = msgspec.structs.replace(caller.head, origin=Origin("http", host, 80))
    error = await caller.failure()
    assert error.kind == "connect"
    assert not error.sent


async def test_connect_of_one_is_held_up_by_a_silent_resolver_and_of_no_other(
    start: StartServer, client: OpenClient, names: Names
) -> None:
    """Other names are called meanwhile, and the wait ends at the connect timeout."""
    server = await start(OK)
    names({"alive.test": ["127.0.0.1"]})
    silent = client("http://silent.test", connect_timeout=TIMEOUT)
    alive = client(f"http://alive.test:{server.port}")
    errors = []

    async def call_silent() -> None:
        errors.append(await silent.failure())

    async with trio.open_nursery() as calls:
        for _ in range(50):  # more than trio has threads
            calls.start_soon(call_silent)
        await wait_all_tasks_blocked()
        with trio.fail_after(60):
            assert (await alive.send()).body == b"ok"
    assert [classify(error) for error in errors] == [("connect", "transient")] * 50


@pytest.mark.parametrize("dead", ["::1", "127.0.0.2"])
async def test_connect_falls_back_from_a_dead_address(
    start: StartServer, client: OpenClient, names: Names, dead: str
) -> None:
    """IPv6 is refused first, IPv4 is alive: the call succeeds."""
    server = await start(OK)
    names({"two.test": [dead, "127.0.0.1"]})
    assert (await client(f"http://two.test:{server.port}").send()).status == 200


@pytest.mark.parametrize(
    ("families", "order"), [("6644", "6464"), ("4466", "4646"), ("666", "666"), ("46666", "46666")]
)
def test_addresses_are_tried_in_turns(families: str, order: str) -> None:
    """A dead family delays the other by one address only."""
    addresses = [(int(family), 1, 6, "", index) for index, family in enumerate(families)]
    tried = interleaved(addresses)
    assert "".join(str(address[0]) for address in tried) == order
    assert sorted(tried, key=lambda address: int(address[4])) == addresses


async def test_connect_falls_back_from_a_hanging_address(
    start: StartServer, client: OpenClient, names: Names
) -> None:
    """A silent address is raced by the next one, and its socket is closed."""
    server = await start(OK)
    names({"two.test": ["127.0.0.2", "127.0.0.1"]})
    with full_backlog("127.0.0.2", server.port):
        caller = client(f"http://two.test:{server.port}")
        before = open_descriptors()
        assert (await caller.send()).status == 200
        assert await descriptors_settle_at(before + 2)
