"""Servers that are unreachable, unresolvable, impostors or silent."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from support.certificates import Certificates
from support.faults import NO_BREAKER, SLACK, Against
from support.names import Names, full_backlog, scripted_names
from support.server import Peer, Script, answering, echo, response
from trio.testing import wait_all_tasks_blocked

OK = answering(response(b"ok"))
POST = ("-X", "POST")
SOON = ("--connect-timeout", "300ms", "-r", "0")


@pytest.fixture
def names() -> Iterator[Names]:
    with scripted_names() as names:
        yield names


def test_a_closed_port_is_tried_again_and_then_told(against: Against, closed_port: int) -> None:
    """Nothing was sent, so even a POST is retried, and the last error is reported."""
    ledger = against({}, *POST, at={"a": f"http://127.0.0.1:{closed_port}"}, records=1)
    assert ledger.endings() == ["connect in 3"]
    expected = f"cannot connect to 127.0.0.1:{closed_port}: connection refused after 3 attempts"
    assert ledger.messages() == [expected]


def test_a_closed_port_ends_the_run_in_time(against: Against, closed_port: int) -> None:
    """No record is at fault where all are refused, so none fails, and none is called sent."""
    config = '[defaults]\nbreaker = { open = "100ms", wait = "1500ms" }\n'
    at = {"a": f"http://127.0.0.1:{closed_port}"}
    ledger = against({}, *POST, at=at, records=50, config=config)
    assert ledger.status == 4
    assert ledger.summary["errors"] == {"cancelled": 50}
    assert 1.5 <= ledger.summary["seconds"] < 1.5 + SLACK
    refused = f"cannot connect to 127.0.0.1:{closed_port}: connection refused"
    why = rf"the run was given up: a was not available for [\d.]+s \({refused}\) before attempt \d"
    assert all(re.fullmatch(why, message) for message in ledger.messages())
    assert "ambiguous" not in str(ledger.endings())


def test_a_full_backlog_costs_the_connect_timeout(against: Against) -> None:
    """Connections that hang are given up, and leave nothing open."""
    with full_backlog("127.0.0.1") as port:
        ledger = against({}, *POST, *SOON, at={"a": f"http://127.0.0.1:{port}"})
    assert ledger.endings() == ["connect in 1"] * 3
    assert ledger.messages() == [f"no connection to 127.0.0.1:{port} within 300ms"] * 3
    assert 0.3 <= ledger.slowest() < 0.3 + SLACK


def test_a_name_that_does_not_resolve_costs_its_own_api(against: Against, names: Names) -> None:
    """The resolver's message is passed on; the other API is called as usual."""
    names({"no.test": socket.gaierror(socket.EAI_NONAME, "Name or service not known")})
    ledger = against({"a": OK}, *POST, "-r", "1", at={"none": "http://no.test"}, config=NO_BREAKER)
    assert ledger.endings() == ["ok in 1"] * 3
    assert ledger.endings("none") == ["connect in 2"] * 3
    expected = "cannot connect to no.test: Name or service not known after 2 attempts"
    assert ledger.messages("none") == [expected] * 3


def test_a_silent_resolver_holds_up_its_own_api_only(against: Against, names: Names) -> None:
    """Only calls to that API wait, up to the connect timeout, even if they outnumber threads."""
    names({"alive.test": ["127.0.0.1"]})
    at = {"a": "http://alive.test:{port}", "silent": "http://silent.test"}
    args = ("--connect-timeout", "2s", "-r", "0")
    ledger = against({"a": OK}, *POST, *args, at=at, records=100, config=NO_BREAKER)
    assert ledger.endings() == ["ok in 1"] * 100
    assert ledger.endings("silent") == ["connect in 1"] * 100
    assert 2 <= ledger.slowest("silent") < 2 + SLACK


@pytest.mark.parametrize("dead", ["::1", "127.0.0.2"])
def test_a_dead_address_is_passed_over(against: Against, names: Names, dead: str) -> None:
    """IPv6 is refused first, IPv4 is alive: every call succeeds at its first attempt."""
    names({"two.test": [dead, "127.0.0.1"]})
    ledger = against(OK, at={"a": "http://two.test:{port}"}, records=20)
    assert ledger.endings() == ["ok in 1"] * 20


def test_a_hanging_address_is_raced(against: Against, names: Names, closed_port: int) -> None:
    """The next address is tried after a head start, and the sockets that hang are closed."""
    names({"two.test": ["127.0.0.2", "127.0.0.1"]})
    at = {"a": "http://two.test:{port}"}
    with full_backlog("127.0.0.2", closed_port) as port:
        ledger = against(OK, at=at, ports={"a": port}, records=20)
    assert ledger.endings() == ["ok in 1"] * 20
    assert ledger.slowest() >= 0.25


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"expired": True}, "certificate has expired"),
        ({"name": "other.test"}, "IP address mismatch"),
        ({"trusted": False}, "unable to get local issuer certificate"),
    ],
)
def test_a_bad_certificate_is_refused_at_once(
    against: Against,
    certificates: Certificates,
    settings: dict[str, Any],
    words: str,
) -> None:
    """There is no second attempt, no byte of a request is sent, and the reason is reported."""
    tls = {"a": certificates.server(**settings)}
    ledger = against(OK, *POST, tls=tls, trust=certificates)
    assert ledger.endings() == ["tls in 1"] * 3
    assert all(words in message for message in ledger.messages())
    assert (ledger.server.connections, ledger.server.requests) == (3, [])


def test_a_self_signed_certificate_is_refused_at_once(
    against: Against, certificates: Certificates
) -> None:
    """A certificate does not vouch for itself."""
    ledger = against(OK, *POST, tls={"a": certificates.self_signed()}, trust=certificates)
    assert ledger.endings() == ["tls in 1"] * 3
    assert ledger.server.requests == []


async def _speak_plainly(peer: Peer) -> None:
    await peer.some()
    await peer.send(response(b"speak HTTP", status="400 Bad Request"))


async def _alert(peer: Peer) -> None:
    await peer.some()
    await peer.send(b"\x15\x03\x03\x00\x02\x02\x46")


async def _break_off(peer: Peer) -> None:
    await peer.some()


async def _reset(peer: Peer) -> None:
    await peer.some()
    peer.reset()


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        (_speak_plainly, "tls in 1"),
        (_alert, "tls in 1"),
        (_break_off, "tls in 2"),
        (_reset, "connect in 2"),
    ],
)
def test_a_handshake_that_fails_has_sent_nothing(
    against: Against, script: Script, verdict: str
) -> None:
    """Of plain bytes, refusals and broken handshakes, only the last are retried."""
    at = {"a": "https://127.0.0.1:{port}"}
    ledger = against(script, *POST, "-r", "1", at=at, config=NO_BREAKER)
    assert ledger.endings() == [verdict] * 3
    assert ledger.server.connections == ledger.summary["requests"]


def test_a_handshake_that_never_ends_costs_the_connect_timeout(against: Against) -> None:
    """The server accepts, and then sends nothing, or a byte now and then."""

    async def drip(peer: Peer) -> None:
        await peer.some()
        for byte in b"\x16\x03\x03\x40\x00" + bytes(10_000):
            await peer.send(bytes([byte]))
            await trio.sleep(0.005)

    at = dict.fromkeys(("a", "b"), "https://127.0.0.1:{port}")
    ledger = against({"a": Peer.closed, "b": drip}, *POST, *SOON, at=at, config=NO_BREAKER)
    for name in "ab":
        assert ledger.endings(name) == ["connect in 1"] * 3
        assert 0.3 <= ledger.slowest(name) < 0.3 + SLACK


@pytest.mark.parametrize("where", ["handshake", "response"])
def test_an_api_that_stalls_holds_up_no_other(against: Against, where: str) -> None:
    """The others make all the calls that the window has room for while it hangs."""
    window = 40
    all_there = trio.Event()

    async def stall(peer: Peer) -> None:
        await (peer.request() if where == "response" else peer.some())
        await all_there.wait()
        if peer.number < 4:
            await wait_all_tasks_blocked(0.05)
            seen.append(len(served))
        if where == "response":
            await peer.send(response(b"late"))
            await answering(response(b"in time"))(peer)

    served: list[bytes] = []
    seen: list[int] = []

    async def serve(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            served.append(received.head)
            if len(served) == window:
                all_there.set()
            await peer.send(response(b"ok"))

    at = {"a": "https://127.0.0.1:{port}"} if where == "handshake" else {}
    scripts = {"a": stall, "b": serve, "c": OK}
    args = ("--window", str(window), "-l", "4", "-r", "0")
    ledger = against(scripts, *args, at=at, records=60, config=NO_BREAKER)
    assert ledger.endings() == ["tls in 1" if where == "handshake" else "ok in 1"] * 60
    assert ledger.endings("b") == ledger.endings("c") == ["ok in 1"] * 60
    assert seen == [window] * 4  # and no more than that: memory is bounded


@pytest.mark.parametrize("transport", ["httpx"])
def test_the_other_transports_come_to_the_same(
    against: Against, closed_port: int, transport: str
) -> None:
    """Closed port, stalled server, sound server: each record is reported, nothing stays open."""
    scripts = {"echo": echo, "stalled": Peer.closed}
    at = {"closed": f"http://127.0.0.1:{closed_port}"}
    args = ("--transport", transport, "--attempt-timeout", "3s", "-r", "0")
    ledger = against(scripts, *args, *POST, at=at, records=10, config=NO_BREAKER)
    assert ledger.endings("echo") == ["ok in 1"] * 10
    assert ledger.endings("closed") == ["connect in 1"] * 10
    assert ledger.endings("stalled") == ["timeout in 1, ambiguous"] * 10
    assert 3 <= ledger.slowest("stalled") < 3 + SLACK
