"""Responses that are malformed, ambiguous or cut short: never ok, and the connection is dropped.

A response that was cut short may succeed next time (`transient`); one that is invalid will not
(`final`).
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.client import (
    Client,
    OpenClient,
    TransportKind,
    classify,
    descriptors_settle_at,
    open_descriptors,
)
from support.responses import BROKEN_OFF, CHUNKED, MALFORMED, OK, ok, once
from support.server import Peer, StartServer, response
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError

TRANSIENT, FINAL = ("protocol", "transient"), ("protocol", "final")


async def fails_and_goes_on(caller: Client, expected: tuple[str, str], method: str = "GET") -> None:
    """Check that the first request fails, nothing stays open, and the second is answered."""
    before = open_descriptors()
    error = await caller.failure(method)
    assert classify(error) == expected
    assert error.sent
    assert await descriptors_settle_at(before)
    assert (await caller.send()).body == b"ok"


@pytest.mark.parametrize("case", BROKEN_OFF)
async def test_send_fails_where_a_response_is_cut_short(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """A partial response is not a response."""
    server = await start(once(BROKEN_OFF[case], then_close=True))
    await fails_and_goes_on(client(server.url), TRANSIENT)


@pytest.mark.parametrize("case", MALFORMED)
async def test_send_fails_where_a_response_is_malformed(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """It fails at once, without waiting for the server to close."""
    server = await start(once(MALFORMED[case], then_close=False))
    await fails_and_goes_on(client(server.url), FINAL)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_send_fails_where_there_is_a_body_and_none_can_be(
    start: StartServer, client: OpenClient, method: str
) -> None:
    """A body after a response that cannot have one would be the next response."""
    data = ok("Content-Length: 2", body=b"ab" if method == "HEAD" else b"ab" + OK)
    server = await start(once(data, then_close=False))
    await fails_and_goes_on(client(server.url), FINAL, method)


async def test_send_never_takes_a_response_for_that_to_another_request(
    start: StartServer, client: OpenClient
) -> None:
    """Bytes after a response, in the same packet or later, answer no request."""
    stray = response(b"stray")

    async def script(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            await peer.send(response(received.body) + (stray if peer.number % 2 else b""))
            if not peer.number % 3:
                await peer.send(stray)

    server = await start(script)
    caller = client(server.url)
    answers = []
    for number in range(20):
        nonce = b"%d" % number
        with suppress(TransportError):
            answers.append((nonce, (await caller.send("POST", nonce)).body))
        await wait_all_tasks_blocked(
            0.001
        )  # Bytes that arrive after the next request cannot be told from its response.
    assert answers
    assert all(nonce == body for nonce, body in answers)


async def test_send_is_not_misled_by_an_empty_line_after_a_response(
    start: StartServer, client: OpenClient, kind: TransportKind
) -> None:
    """Some servers send an extra one; the next response is still the right one."""

    async def script(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            await peer.send(response(received.body) + b"\r\n")

    server = await start(script)
    caller = client(server.url)
    for number in range(3):
        assert (await caller.send("POST", b"%d" % number)).body == b"%d" % number
    # h11 accepts no empty line before a response, so the connection is not kept.
    assert server.connections == {"native": 1, "httpx": 3, "http2": 3, "asks": 3}[kind]


@pytest.mark.parametrize("case", ["length", "chunks", "close"])
async def test_send_puts_a_response_in_pieces_together(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """Byte by byte, each in a packet of its own, it is the same response."""
    data = {
        "length": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        "chunks": ok(CHUNKED, body=b"1\r\no\r\n1;x\r\nk\r\n0\r\nX: 1\r\n\r\n"),
        "close": ok(body=b"ok"),
    }[case]

    async def script(peer: Peer) -> None:
        await peer.request()
        for at in range(len(data)):
            await peer.send(data[at : at + 1])
            await wait_all_tasks_blocked()

    server = await start(script)
    answer = await client(server.url).send()
    assert (answer.status, answer.body, answer.wire_size) == (200, b"ok", len(data))
