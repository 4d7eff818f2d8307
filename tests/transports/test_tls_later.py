"""TLS servers that act after the handshake: they ask for a certificate, or end the session."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from support.certificates import Certificates
from support.client import KEYS, Client, OpenClient, TransportKind, classify
from support.server import Peer, StartServer, echo, response
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.transports.tls import tls_context

OK = response(b"ok")
FORBIDDEN = response(b"", status="403 Forbidden")


class Asking:
    """A server that asks for a certificate after the second request, as Apache does.

    Attributes:
        seen: whether it had a client certificate, after each request.
        waits: whether it waits for one before it answers.
    """

    def __init__(self, certificates: Certificates) -> None:
        self.seen: list[bool] = []
        self.waits = False
        self._context = certificates.server(mutual=True)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.post_handshake_auth = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/"

    def is_optional(self) -> None:
        self._context.verify_mode = ssl.CERT_OPTIONAL

    def serve_one(self) -> None:
        with self._listener, suppress(OSError):
            connection, _ = self._listener.accept()
            with self._context.wrap_socket(connection, server_side=True) as stream:
                while self._read(stream):
                    stream.sendall(self._answer(stream))

    @staticmethod
    def _read(stream: ssl.SSLSocket) -> bool:
        received = b""
        while b"\r\n\r\n" not in received:
            data = stream.recv(65536)
            if not data:
                return False
            received += data
        return True

    def _answer(self, stream: ssl.SSLSocket) -> bytes:
        self.seen.append(bool(stream.getpeercert()))
        if len(self.seen) == 2:
            try:
                stream.verify_client_post_handshake()
                if self.waits:
                    stream.recv(1)
            except ssl.SSLError:  # the client does not offer a certificate, or has the wrong one
                return FORBIDDEN
        return OK


Connect = Callable[[Path | None, Path | None], Client]


@asynccontextmanager
async def asking(
    kind: TransportKind, certificates: Certificates, folder: Path
) -> AsyncIterator[tuple[Asking, Connect]]:
    server, clients = Asking(certificates), list[Client]()
    ca = str(certificates.write_authority(folder))

    def connect(cert: Path | None, key: Path | None) -> Client:
        ours = Tls(ca=ca, cert=str(cert) if cert else None, key=str(key) if key else None)
        tls = tls_context(ours, http2=kind == "http2")
        clients.append(Client(kind, server.url, tls, **KEYS[kind]))
        return clients[-1]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, server.serve_one)
        yield server, connect
        for client in clients:
            await client.transport.aclose()


async def test_server_that_asks_for_our_certificate_later(
    kind: TransportKind, certificates: Certificates, tmp_path: Path
) -> None:
    """It gets it (curl/curl#3026), even if it chose HTTP/1.1 over HTTP/2."""
    cert, key = certificates.write_identity(tmp_path, "me.test")
    async with asking(kind, certificates, tmp_path) as (server, connect):
        client = connect(cert, key)
        statuses = [(await client.send()).status for _ in range(3)]
    assert statuses == [200, 200, 200]
    assert server.seen == [False, False, True]


async def test_server_that_asks_for_a_certificate_later_and_gets_none(
    kind: TransportKind, certificates: Certificates, tmp_path: Path
) -> None:
    """As in curl and urllib3, the server decides how to answer."""
    async with asking(kind, certificates, tmp_path) as (server, connect):
        server.is_optional()
        client = connect(None, None)
        assert [(await client.send()).status for _ in range(3)] == [200, 200, 200]
    assert server.seen == [False, False, False]


async def test_server_that_does_not_take_the_certificate_that_it_asked_for(
    kind: TransportKind, certificates: Certificates, tmp_path: Path
) -> None:
    """The error is final: no other connection or attempt would change it."""
    stranger = Certificates().write_identity(tmp_path, "stranger.test")
    async with asking(kind, certificates, tmp_path) as (server, connect):
        server.waits = True
        client = connect(*stranger)
        assert (await client.send()).status == 200
        with pytest.raises(TransportError) as caught:
            await client.send()
    error = caught.value
    assert classify(error) == ("tls", "final")
    assert error.sent
    assert error.message.startswith("refused by the server: ")


async def alert(peer: Peer) -> None:
    """Send the fatal alert `bad_record_mac`, as if a broken record had been received."""
    tls = peer.stream
    assert isinstance(tls, trio.SSLStream)
    # trio's attributes: its public methods do not send the alert that OpenSSL has prepared.
    tls._incoming.write(b"\x17\x03\x03\x00\x20" + b"z" * 32)
    with suppress(ssl.SSLError):
        tls._ssl_object.read(1)
    await tls.transport_stream.send_all(tls._outgoing.read())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("received", "where"),
    [
        (b"", "before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nab", "in the middle of"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab", "in the middle of"),
    ],
)
async def test_alert_in_the_first_exchange(
    start: StartServer,
    client: OpenClient,
    certificates: Certificates,
    version: ssl.TLSVersion,
    received: bytes,
    where: str,
) -> None:
    """Only some alerts refuse a handshake; otherwise the request may have been processed."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if received:
            await peer.send(received)
        await alert(peer)
        await peer.stream.aclose()

    tls = certificates.server()
    tls.maximum_version = version
    server = await start(script, tls=tls)
    error = await client(server.url, tls=certificates.client()).failure("POST", b"{}")
    assert classify(error) == ("protocol", "transient")
    assert error.sent
    assert error.message.startswith(f"connection lost {where} the response: ")


async def test_server_that_ends_an_idle_session(
    start: StartServer, client: OpenClient, certificates: Certificates
) -> None:
    """A POST is sent on a new one, with or without close_notify."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.number == 0:
            assert isinstance(peer.stream, trio.SSLStream)
            await peer.stream.aclose()
        elif peer.number == 1:
            peer.reset()
        else:
            await echo(peer)

    server = await start(script, tls=certificates.server())
    caller = client(server.url, tls=certificates.client())
    for connections in (1, 2, 3, 3):
        assert (await caller.send("POST", b"ok")).body == b"ok"
        await wait_all_tasks_blocked(0.005)
        assert server.connections == connections
