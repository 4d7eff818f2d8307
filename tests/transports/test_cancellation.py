"""A request can be cancelled wherever it waits: no socket is left, and the next one works."""

from __future__ import annotations

from functools import partial

import pytest
from support.cancelling import cancelled_after
from support.certificates import Certificates
from support.client import OpenClient, descriptors_settle_at, open_descriptors
from support.server import Peer, StartServer, response
from trio.testing import wait_all_tasks_blocked

LARGE = bytes(1 << 20)
MAX_STEPS = 400


async def echo_in_pieces(peer: Peer) -> None:
    """Echo each request's body in several packets, as chunks for a PUT."""
    while (received := await peer.request()) is not None:
        body = received.body[:100]
        data = b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(body)
        if received.method == "PUT":
            chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        for at in range(0, len(data), 30):
            await peer.send(data[at : at + 30])
            await wait_all_tasks_blocked()


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("used_before", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize(("method", "body"), [("POST", b"{}"), ("PUT", b"{}"), ("POST", LARGE)])
async def test_send_cancelled_at_every_checkpoint_in_turn(
    start: StartServer,
    client: OpenClient,
    secure: bool,
    used_before: bool,
    method: str,
    body: bytes,
) -> None:
    """Only kept connections are open, `sent` is right, and the next request works."""
    certificates = Certificates() if secure else None
    server = await start(echo_in_pieces, tls=certificates.server() if certificates else None)
    tls = certificates.client() if certificates else None
    before = open_descriptors()
    for steps in range(MAX_STEPS):
        caller = client(server.url, tls=tls)
        if used_before:
            await caller.send("POST", b"before")
        seen = len(server.requests)
        cancelled = await cancelled_after(steps, partial(caller.send, method, body))
        assert await descriptors_settle_at(before + 2 * caller.idle)
        assert caller.attempt.sent or len(server.requests) == seen
        nonce = b"%d" % steps
        assert (await caller.send("POST", nonce)).body == nonce
        await caller.transport.aclose()
        assert await descriptors_settle_at(before)
        if not cancelled:
            break
    assert not cancelled
    assert steps > 2
