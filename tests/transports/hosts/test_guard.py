"""Connections to hosts that come from records: only to addresses that were checked."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
from support.names import Names, scripted_names
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.hosts.rules import parse_hosts
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.transports.native import connect
from tmux_fanout.transports.native.hosts import guard
from tmux_fanout.transports.native.hosts.guard import GuardedConnector

PUBLIC = "8.8.8.8"
SPECIAL = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:10.0.0.1", "fd00::1"]


@pytest.fixture
def names() -> Iterator[Names]:
    with scripted_names() as set_names:
        yield set_names


@pytest.fixture
def connected_to(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of addresses to which connections are made; all of them are refused."""
    found: list[str] = []

    async def first_of(addresses: Sequence[Any]) -> socket.socket:
        await trio.lowlevel.checkpoint()
        found.extend(address[4][0] for address in addresses)
        raise ConnectionRefusedError("this is a test")

    monkeypatch.setattr(connect, "first_of", first_of)
    return found


async def failure(connector: GuardedConnector, host: str, port: int = 80) -> str:
    with pytest.raises(TransportError) as caught:
        await connector.connect(Origin("http", host, port))
    assert caught.value.kind == "connect"
    assert not caught.value.sent
    return caught.value.message


def connector(*hosts: str, timeout: float = 30.0) -> GuardedConnector:
    return GuardedConnector(None, timeout, parse_hosts(hosts or ["*"]))


@pytest.mark.parametrize("address", SPECIAL)
async def test_a_name_that_leads_to_a_special_address_is_not_connected_to(
    names: Names, connected_to: list[str], address: str
) -> None:
    """Whatever a name resolves to, only public addresses are connected to; no retry helps."""
    names({"evil.test": [address]})
    message = await failure(connector(), "evil.test")
    why = f"its address {address} is not public; to allow it, list it in hosts"
    assert message == f"not connected to evil.test: {why}"
    assert connected_to == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "169.254.169.254"])
async def test_an_address_is_checked_as_well(connected_to: list[str], host: str) -> None:
    """The check does not rely on that of the record."""
    assert "is not public" in await failure(connector(), host)
    assert connected_to == []


async def test_only_the_public_addresses_of_a_name_are_connected_to(
    names: Names, connected_to: list[str]
) -> None:
    """A name may have addresses of both kinds."""
    names({"mixed.test": ["127.0.0.1", PUBLIC, "10.0.0.1"]})
    await failure(connector(), "mixed.test")
    assert connected_to == [PUBLIC]


async def test_a_name_is_looked_up_once_for_check_and_connection(
    monkeypatch: pytest.MonkeyPatch, connected_to: list[str]
) -> None:
    """A name whose address changes with each look-up (DNS rebinding) gains nothing by that."""
    numeric = socket.getaddrinfo
    answers = iter([PUBLIC, "127.0.0.1", PUBLIC, "127.0.0.1"])

    def look_up(host: str, port: int, *, type: int, flags: int = 0) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        return numeric(next(answers), port, type=type)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    guarded = connector()
    messages = [await failure(guarded, "rebind.test") for _ in range(4)]
    assert connected_to == [PUBLIC, PUBLIC]
    assert ["is not public" in message for message in messages] == [False, True, False, True]


async def test_listed_addresses_are_connected_to(names: Names, connected_to: list[str]) -> None:
    """A network or a name that is listed allows special addresses, at its port."""
    names({"a.test": ["10.1.0.5"], "db.internal": ["10.2.0.5"]})
    guarded = connector("*:*", "10.1.0.0/16:8080", "db.internal:5000")
    await failure(guarded, "a.test", 8080)
    await failure(guarded, "db.internal", 5000)
    assert connected_to == ["10.1.0.5", "10.2.0.5"]
    assert "is not public" in await failure(guarded, "a.test", 80)
    assert "is not public" in await failure(guarded, "db.internal", 80)


async def test_nothing_is_remembered_of_a_host(names: Names, connected_to: list[str]) -> None:
    """The connector does not grow with the number of hosts."""
    names({f"h{i}.test": [PUBLIC] for i in range(50)})
    guarded = connector()
    async with trio.open_nursery() as nursery:
        for i in range(50):
            for _ in range(2):
                nursery.start_soon(failure, guarded, f"h{i}.test")
    assert repr(guarded) == "<Connector: {}>"
    assert not guarded._users


async def test_look_ups_are_limited(
    names: Names, connected_to: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that get no answer take so many threads at most; the timeout covers the wait."""
    monkeypatch.setattr(guard, "_MAX_LOOK_UPS", 2)
    guarded = connector(timeout=0.2)
    messages: list[str] = []

    async def ask(host: str) -> None:
        messages.append(await failure(guarded, host))

    async with trio.open_nursery() as nursery:
        for i in range(5):
            nursery.start_soon(ask, f"silent{i}.test")
        await wait_all_tasks_blocked()
        assert guarded._threads.borrowed_tokens == 2
    expected = {f"no connection to silent{i}.test within 200ms" for i in range(5)}
    assert set(messages) == expected
