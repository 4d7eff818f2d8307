"""Responses that are too large, too many, or too slow."""

from __future__ import annotations

from itertools import chain, repeat

import pytest
import trio
from support.client import (
    OpenClient,
    TransportKind,
    classify,
    descriptors_settle_at,
    open_descriptors,
)
from support.floods import CHUNKED, FLOODS, HEAD, LARGE_HEADS, OK, flooding
from support.server import Peer, StartServer, answering, response
from trio.testing import wait_all_tasks_blocked

CAP = 100_000

TOO_LARGE = ("too_large", "final")
# h11 allows no empty line before a response, although RFC 9112, section 2.2, does.
INSTEAD = {(kind, "empty lines"): ("protocol", "final") for kind in ("httpx", "http2", "asks")}


@pytest.mark.parametrize("case", FLOODS)
async def test_send_ends_a_response_that_does_not_end(
    start: StartServer, client: OpenClient, kind: TransportKind, case: str
) -> None:
    """The limits apply while receiving: the error comes before the end of the response."""
    server = await start(flooding(*FLOODS[case]))
    caller = client(server.url, max_response=CAP)
    before = open_descriptors()
    with trio.fail_after(60):
        error = await caller.failure()
    assert classify(error) == INSTEAD.get((kind, case), TOO_LARGE)
    assert error.sent
    assert await descriptors_settle_at(before)
    assert (await caller.send()).body == b"ok"


@pytest.mark.parametrize("case", LARGE_HEADS)
async def test_send_refuses_a_head_without_measure(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """A head that is too large is refused even if it is complete."""
    server = await start(answering(LARGE_HEADS[case]))
    error = await client(server.url).failure()
    assert classify(error) == TOO_LARGE


async def test_send_accepts_a_head_of_some_size(start: StartServer, client: OpenClient) -> None:
    """Heads of 60 KB are in use, and arrive complete."""
    data = response(b"ok", *(f"X-{number}: {'x' * 1000}" for number in range(58)))
    server = await start(answering(data))
    answer = await client(server.url).send()
    assert (answer.body, len(answer.headers)) == (b"ok", 59)


FRAMINGS = {
    "length": response(bytes(CAP)),
    "chunks": CHUNKED + (b"2710\r\n" + bytes(10_000) + b"\r\n") * 10 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(("cap", "fits"), [(CAP, True), (CAP - 1, False)])
async def test_send_counts_the_body_to_the_byte(
    start: StartServer, client: OpenClient, framing: str, cap: int, fits: bool
) -> None:
    """A body of exactly the limit is accepted, one more byte is not."""
    server = await start(answering(FRAMINGS[framing]))
    caller = client(server.url, max_response=cap)
    if fits:
        assert (await caller.send()).body == bytes(CAP)
    else:
        assert classify(await caller.failure()) == TOO_LARGE


async def test_send_says_how_large_is_too_large(start: StartServer, client: OpenClient) -> None:
    """The message names the limit."""
    server = await start(answering(response(bytes(11))))
    error = await client(server.url, max_response=10).failure()
    assert error.message == "the response body is larger than 10 bytes"


@pytest.mark.parametrize("data", [HEAD + b"X: ", CHUNKED + b"1;", HEAD + b"\r\n"])
async def test_send_is_stopped_by_a_scope_however_the_server_drips(
    start: StartServer, client: OpenClient, data: bytes
) -> None:
    """A byte now and then does not delay cancellation, and nothing stays open."""
    dripped = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number:
            await peer.send(OK)
            return
        for byte in chain(data, repeat(ord("x"))):
            await peer.send(bytes([byte]))
            await wait_all_tasks_blocked()
            if byte == ord("x"):
                dripped.set()

    server = await start(script)
    caller = client(server.url)
    before = open_descriptors()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.send)
            await dripped.wait()
            scope.cancel()
    assert caller.attempt.sent
    assert await descriptors_settle_at(before)
    assert (await caller.send()).body == b"ok"
