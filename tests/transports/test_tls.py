"""TLS: certificates, handshakes that fail or stall, and closes without close_notify."""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import suppress
from typing import Any

import pytest
import trio
from support.certificates import Certificates
from support.client import (
    OpenClient,
    TransportKind,
    classify,
    descriptors_settle_at,
    open_descriptors,
)
from support.server import Peer, Server, StartServer, answering, echo, response
from trio.testing import wait_all_tasks_blocked

OK = response(b"ok")
TIMEOUT = 0.3


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


def https(server: Server) -> str:
    """Return the URL of a plain server with the scheme https."""
    return f"https://{server.host}:{server.port}/"


async def test_send_over_tls(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """One handshake serves several requests of any size."""
    server = await start(echo, tls=certificates.server())
    caller = client(server.url, tls=certificates.client(), max_response=8 << 20)
    for body in (b"{}", bytes(range(256)) * (8 << 12), b"[]"):
        assert (await caller.send("POST", body)).body == body
    assert server.connections == 1


async def test_server_that_wants_a_certificate_of_ours(
    client: OpenClient, certificates: Certificates
) -> None:
    """With TLS 1.3 it refuses after the handshake: nothing was or will be processed."""
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        with suppress(ssl.SSLError):  # the client gets an alert
            context.wrap_socket(connection, server_side=True)
        connection.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, refuse)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        error = await client(url, tls=certificates.client()).failure("POST", b"{}")
    listener.close()
    assert classify(error) == ("tls", "final")
    assert not error.sent
    assert "refused by the server" in error.message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"expired": True}, "certificate has expired"),
        ({"name": "other.test"}, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ({"trusted": False}, "unable to get local issuer certificate"),
    ],
)
async def test_connect_refuses_a_bad_certificate(
    start: StartServer,
    client: OpenClient,
    certificates: Certificates,
    settings: dict[str, Any],
    words: str,
) -> None:
    """Nothing is sent, the error is final, and the message names the reason."""
    server = await start(answering(OK), tls=certificates.server(**settings))
    before = open_descriptors()
    error = await client(server.url, tls=certificates.client()).failure("POST", b"{}")
    assert classify(error) == ("tls", "final")
    assert not error.sent
    assert f"certificate of 127.0.0.1:{server.port} not accepted: {words}" in error.message
    assert server.requests == []
    assert await descriptors_settle_at(before)


async def test_connect_refuses_a_self_signed_certificate(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """A certificate does not vouch for itself."""
    server = await start(answering(OK), tls=certificates.self_signed())
    error = await client(server.url, tls=certificates.client()).failure()
    assert classify(error) == ("tls", "final")
    assert re.search("self.signed certificate", error.message)


async def test_connect_refuses_what_is_not_tls(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """A plain HTTP server listens on an https port."""

    async def script(peer: Peer) -> None:
        await peer.some()
        await peer.send(response(b"speak HTTP", status="400 Bad Request"))

    server = await start(script)
    error = await client(https(server), tls=certificates.client()).failure()
    assert classify(error) == ("tls", "final")
    assert not error.sent
    assert error.message == (
        f"TLS handshake with 127.0.0.1:{server.port} failed: wrong version number; "
        "if the server speaks no TLS there, use http://"
    )


async def test_connect_refuses_where_the_server_does(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """An alert, here for the lack of a common version, is final."""

    async def script(peer: Peer) -> None:
        await peer.some()
        await peer.send(b"\x15\x03\x03\x00\x02\x02\x46")

    server = await start(script)
    error = await client(https(server), tls=certificates.client()).failure()
    assert classify(error) == ("tls", "final")
    assert not error.sent
    assert "alert protocol version" in error.message


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_connect_fails_where_a_handshake_is_broken_off(
    start: StartServer, client: OpenClient, certificates: Certificates, how: str
) -> None:
    """Nothing was sent, and the error permits a retry."""

    async def script(peer: Peer) -> None:
        await peer.some()
        if how == "reset":
            peer.reset()

    server = await start(script)
    before = open_descriptors()
    error = await client(https(server), tls=certificates.client()).failure()
    assert classify(error) == ("tls" if how == "close" else "connect", "transient")
    assert not error.sent
    assert await descriptors_settle_at(before)


async def test_connect_gives_up_a_handshake_at_its_timeout(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """A server that accepts and stays silent costs the connect timeout and no descriptor."""
    server = await start(Peer.closed)
    before, began = open_descriptors(), trio.current_time()
    error = await client(
        https(server), tls=certificates.client(), connect_timeout=TIMEOUT
    ).failure()
    assert TIMEOUT <= trio.current_time() - began < TIMEOUT + 1
    assert classify(error) == ("connect", "transient")
    assert not error.sent
    assert await descriptors_settle_at(before)


async def test_connect_in_a_handshake_can_be_cancelled(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """The socket is closed, nothing was sent, and the next request works."""

    async def script(peer: Peer) -> None:
        if peer.number:
            secured = trio.SSLStream(peer.stream, context, server_side=True)
            await secured.receive_some()
            await secured.send_all(OK)
        await peer.closed()

    context = certificates.server()
    server = await start(script)
    caller = client(https(server), tls=certificates.client())
    before = open_descriptors()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.send)
            await wait_all_tasks_blocked()
            assert server.open == 1
            scope.cancel()
    assert not caller.attempt.sent
    assert await descriptors_settle_at(before)
    assert (await caller.send()).body == b"ok"


async def test_a_transport_goes_on_while_another_stalls_at_the_handshake(
    start: StartServer, client: OpenClient, kind: TransportKind, certificates: Certificates
) -> None:
    """One API's silent server does not delay calls to another's."""
    stalled = await start(Peer.closed)
    server = await start(echo, tls=certificates.server())
    one = client(https(stalled), tls=certificates.client())
    other = client(server.url, tls=certificates.client())
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one.send)
        await wait_all_tasks_blocked()
        for number in range(20):
            assert (await other.send("POST", b"%d" % number)).body == b"%d" % number
        # They share it if that is possible.
        assert stalled.open == (1 if kind == "http2" else 20)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("notify", [True, False])
async def test_send_takes_a_close_for_the_end_only_if_tls_says_so(
    start: StartServer, client: OpenClient, certificates: Certificates, notify: bool
) -> None:
    """Without close_notify the response may have been cut (RFC 9112, section 9.8)."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        if notify:
            await peer.stream.aclose()

    server = await start(script, tls=certificates.server())
    caller = client(server.url, tls=certificates.client())
    if notify:
        assert (await caller.send()).body == b"ok"
    else:
        error = await caller.failure()
        assert classify(error) == ("protocol", "transient")
        assert error.sent
        assert error.message.startswith("connection lost in the middle of the response: ")


@pytest.mark.parametrize("how", ["close", "reset", "vanish"])
async def test_send_over_tls_sees_that_an_idle_connection_is_gone(
    start: StartServer, client: OpenClient, certificates: Certificates, how: str
) -> None:
    """With or without close_notify, a POST is sent on a new connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if how == "close":
            await peer.stream.aclose()
        elif how == "reset":
            peer.reset()

    server = await start(script, tls=certificates.server())
    caller = client(server.url, tls=certificates.client())
    for _ in range(3):
        assert (await caller.send("POST", b"{}")).body == b"ok"
        await wait_all_tasks_blocked(0.001)
    assert server.connections == 3


async def test_send_over_tls_keeps_the_status_of_a_server_that_does_not_read_on(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """A 413 in the middle of the body is the response with TLS, too."""
    answered = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"", "Connection: close", status="413 Content Too Large"))
        await answered.wait()

    server = await start(script, tls=certificates.server())
    answer = await client(server.url, tls=certificates.client()).send("POST", bytes(8 << 20))
    answered.set()
    assert answer.status == 413
