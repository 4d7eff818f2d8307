"""Name look-ups: who shares them, and how much an unanswered one can cost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from support.command import PATIENCE
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.transports.native.resolver import Name

LOOPBACK = next((pair for pair in socket.if_nameindex() if pair[1].startswith("lo")), (0, "0"))
NOT_FOUND = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class Resolver:
    """A resolver that answers while `gate` is open: an address, or for no.test an error."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self._numeric = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: int, *, type: int, flags: int = 0) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            return self._numeric(host, port, type=type, flags=flags)
        self.asked += 1
        self.entered.release()
        self.gate.wait(PATIENCE)
        if host == "no.test":
            raise NOT_FOUND
        return self._numeric(f"127.0.0.{self.asked}", port, type=type)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.gate.set()


async def ask(name: Name, answers: list[object]) -> None:
    try:
        answers.append([address[4] for address in await name.addresses()])
    except OSError as exc:
        answers.append(str(exc))


@pytest.mark.parametrize(
    ("host", "scope"),
    [("::1%7", 7), ("2001:db8::1%4294967295", 4294967295), (f"::1%{LOOPBACK[1]}", LOOPBACK[0])],
)
async def test_zone_is_the_scope_of_any_address(resolver: Resolver, host: str, scope: int) -> None:
    """Some resolvers accept interface names for link-local addresses only."""
    [(_, _, _, _, socket_address)] = await Name(host, 80).addresses()
    assert socket_address == (host.partition("%")[0], 80, 0, scope)
    assert resolver.asked == 0


@pytest.mark.parametrize("address", ["::1", "fe80::1"])
@pytest.mark.parametrize("zone", ["no-such-0", "4294967296", "1.5", "n" * 1000, "1" * 5000])
async def test_zone_that_is_not_there_is_not_looked_up(
    resolver: Resolver, address: str, zone: str
) -> None:
    """DNS knows nothing of interfaces."""
    with pytest.raises(OSError, match=f"^no network interface '{zone}'$"):
        await Name(f"{address}%{zone}", 80).addresses()
    assert resolver.asked == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_name_that_is_an_address_is_not_looked_up(resolver: Resolver, host: str) -> None:
    """It needs no thread."""
    assert (await Name(host, 80).addresses())[0][4][:2] == (host, 80)
    assert resolver.asked == 0


@pytest.mark.parametrize(
    ("host", "answer"), [("a.test", [("127.0.0.1", 80)]), ("no.test", str(NOT_FOUND))]
)
async def test_name_is_looked_up_once_for_all_who_wait(
    resolver: Resolver, host: str, answer: object
) -> None:
    """A hundred concurrent connections cause one or two look-ups; an error is shared, too."""
    answers: list[object] = []
    name = Name(host, 80)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask, name, answers)
    assert len(answers) == 100
    assert answers[0] == answer
    assert resolver.asked <= 2


async def test_name_is_looked_up_again_for_who_asks_later(resolver: Resolver) -> None:
    """Answers are not cached: addresses may change."""
    name = Name("a.test", 80)
    answers: list[object] = []
    for _ in range(2):
        await ask(name, answers)
    assert answers == [[("127.0.0.1", 80)], [("127.0.0.2", 80)]]


async def test_name_is_not_answered_from_before_the_question(resolver: Resolver) -> None:
    """A caller that comes during a look-up gets the answer to the next one."""
    name = Name("a.test", 80)
    first: list[object] = []
    second: list[object] = []
    resolver.gate.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, name, first)
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, name, second)
        await wait_all_tasks_blocked()
        resolver.gate.set()
    assert (first, second) == ([[("127.0.0.1", 80)]], [[("127.0.0.2", 80)]])


async def test_name_that_is_not_answered_holds_few_threads(resolver: Resolver) -> None:
    """At most four threads are stuck, however many callers give up; then it works again."""
    name = Name("a.test", 80)
    resolver.gate.clear()
    for _ in range(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(name.addresses)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert all(resolver.entered.acquire(timeout=PATIENCE) for _ in range(4))
    assert resolver.asked == 4
    resolver.gate.set()
    assert (await name.addresses())[0][4][1] == 80
