"""Servers that are down, cannot be resolved, fail authentication, or do not respond."""

from __future__ import annotations

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
    """Replace the resolver by one with scripted answers."""
    with scripted_names() as names:
        yield names


def test_a_closed_port_is_retried_and_then_reported(against: Against, closed_port: int) -> None:
    """A refused connection is retried even for a POST, as nothing was sent, and then reported."""
    ledger = against({}, *POST, at={"a": f"http://127.0.0.1:{closed_port}"}, config=NO_BREAKER)
    assert ledger.verdicts() == ["connect in 3"] * 3
    expected = f"cannot connect to 127.0.0.1:{closed_port}: connection refused after 3 attempts"
    assert ledger.messages() == [expected] * 3


def test_a_full_backlog_costs_the_connect_timeout(against: Against) -> None:
    """A connection that hangs is given up after the connect timeout and leaves nothing open."""
    with full_backlog("127.0.0.1") as port:
        ledger = against({}, *POST, *SOON, at={"a": f"http://127.0.0.1:{port}"})
    assert ledger.verdicts() == ["connect in 1"] * 3
    assert ledger.messages() == [f"no connection to 127.0.0.1:{port} within 300ms"] * 3
    assert 0.3 <= ledger.slowest() < 0.3 + SLACK


def test_a_name_that_does_not_resolve_fails_its_own_api(against: Against, names: Names) -> None:
    """A resolver's error is reported for its API only; calls to the other API succeed."""
    names({"no.test": socket.gaierror(socket.EAI_NONAME, "Name or service not known")})
    ledger = against({"a": OK}, *POST, "-r", "1", at={"none": "http://no.test"}, config=NO_BREAKER)
    assert ledger.verdicts() == ["ok in 1"] * 3
    assert ledger.verdicts("none") == ["connect in 2"] * 3
    expected = "cannot connect to no.test: Name or service not known after 2 attempts"
    assert ledger.messages("none") == [expected] * 3


def test_a_silent_resolver_delays_its_own_api_only(against: Against, names: Names) -> None:
    """More calls than look-up threads wait for a silent resolver until the connect timeout."""
    names({"alive.test": ["127.0.0.1"]})
    at = {"a": "http://alive.test:{port}", "silent": "http://silent.test"}
    args = ("--connect-timeout", "1s", "-r", "0")
    ledger = against({"a": OK}, *POST, *args, at=at, records=100, config=NO_BREAKER)
    assert ledger.verdicts() == ["ok in 1"] * 100
    assert ledger.verdicts("silent") == ["connect in 1"] * 100
    assert 1 <= ledger.slowest("silent") < 1 + SLACK


@pytest.mark.parametrize("dead", ["::1", "127.0.0.2"])
def test_a_dead_address_is_skipped(against: Against, names: Names, dead: str) -> None:
    """If the first address refuses, every call reaches the second in its first attempt."""
    names({"two.test": [dead, "127.0.0.1"]})
    ledger = against(OK, at={"a": "http://two.test:{port}"}, records=20)
    assert ledger.verdicts() == ["ok in 1"] * 20


def test_a_hanging_address_is_raced(against: Against, names: Names) -> None:
    """If the first address hangs, the second is tried after a head start, and no socket leaks."""
    names({"two.test": ["127.0.0.2", "127.0.0.1"]})
    at = {"a": "http://two.test:{port}"}
    with full_backlog("127.0.0.2") as port:
        ledger = against(OK, at=at, ports={"a": port}, records=20)
    assert ledger.verdicts() == ["ok in 1"] * 20
    assert ledger.slowest() >= 0.25


@pytest.mark.parametrize(
    ("settings", "reason"),
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
    reason: str,
) -> None:
    """A bad certificate is reported with its reason; no request is sent and none is retried."""
    tls = {"a": certificates.server(**settings)}
    ledger = against(OK, *POST, tls=tls, trust=certificates)
    assert ledger.verdicts() == ["tls in 1"] * 3
    assert all(reason in message for message in ledger.messages())
    assert (ledger.server.connections, ledger.server.requests) == (3, [])


def test_a_self_signed_certificate_is_refused_at_once(
    against: Against, certificates: Certificates
) -> None:
    """A self-signed certificate is refused without a retry."""
    ledger = against(OK, *POST, tls={"a": certificates.self_signed()}, trust=certificates)
    assert ledger.verdicts() == ["tls in 1"] * 3
    assert ledger.server.requests == []


async def _answer_in_plain_text(peer: Peer) -> None:
    await peer.some()
    await peer.send(response(b"speak HTTP", status="400 Bad Request"))


async def _alert(peer: Peer) -> None:
    await peer.some()
    await peer.send(b"\x15\x03\x03\x00\x02\x02\x46")


async def _close(peer: Peer) -> None:
    await peer.some()


async def _reset(peer: Peer) -> None:
    await peer.some()
    peer.reset()


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        (_answer_in_plain_text, "tls in 1"),
        (_alert, "tls in 1"),
        (_close, "tls in 2"),
        (_reset, "connect in 2"),
    ],
)
def test_a_failed_handshake_sends_no_request(
    against: Against, script: Script, verdict: str
) -> None:
    """Only handshake failures that may be transient are retried, and no request is sent."""
    at = {"a": "https://127.0.0.1:{port}"}
    ledger = against(script, *POST, "-r", "1", at=at, config=NO_BREAKER)
    assert ledger.verdicts() == [verdict] * 3
    assert ledger.server.connections == ledger.summary["requests"]


def test_a_handshake_that_never_ends_costs_the_connect_timeout(against: Against) -> None:
    """A server that accepts and then stalls or drips bytes costs the connect timeout."""

    async def drip(peer: Peer) -> None:
        await peer.some()
        for byte in b"\x16\x03\x03\x40\x00" + bytes(10_000):
            await peer.send(bytes([byte]))
            await trio.sleep(0.005)

    at = dict.fromkeys(("a", "b"), "https://127.0.0.1:{port}")
    ledger = against({"a": Peer.closed, "b": drip}, *POST, *SOON, at=at, config=NO_BREAKER)
    for name in "ab":
        assert ledger.verdicts(name) == ["connect in 1"] * 3
        assert 0.3 <= ledger.slowest(name) < 0.3 + SLACK


@pytest.mark.parametrize("where", ["handshake", "response"])
def test_a_stalled_api_delays_no_other(against: Against, where: str) -> None:
    """While one API stalls, the others make all calls that the window has room for."""
    window = 40
    window_served = trio.Event()

    async def stall(peer: Peer) -> None:
        await (peer.request() if where == "response" else peer.some())
        await window_served.wait()
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
                window_served.set()
            await peer.send(response(b"ok"))

    at = {"a": "https://127.0.0.1:{port}"} if where == "handshake" else {}
    scripts = {"a": stall, "b": serve, "c": OK}
    args = ("--window", str(window), "-l", "4", "-r", "0")
    ledger = against(scripts, *args, at=at, records=100, config=NO_BREAKER)
    assert ledger.verdicts() == ["tls in 1" if where == "handshake" else "ok in 1"] * 100
    assert ledger.verdicts("b") == ledger.verdicts("c") == ["ok in 1"] * 100
    assert seen == [window] * 4  # and no more, as the window bounds memory


@pytest.mark.parametrize("transport", ["httpx"])
def test_other_transports_give_the_same_outcomes(
    against: Against, closed_port: int, transport: str
) -> None:
    """httpx gives the same outcomes for a closed port, a stalled server and a working one."""
    scripts = {"echo": echo, "stalled": Peer.closed}
    at = {"closed": f"http://127.0.0.1:{closed_port}"}
    args = ("--transport", transport, "--attempt-timeout", "1s", "-r", "0")
    ledger = against(scripts, *args, *POST, at=at, records=10, config=NO_BREAKER)
    assert ledger.verdicts("echo") == ["ok in 1"] * 10
    assert ledger.verdicts("closed") == ["connect in 1"] * 10
    assert ledger.verdicts("stalled") == ["timeout in 1, ambiguous"] * 10
    assert 1 <= ledger.slowest("stalled") < 1 + SLACK
