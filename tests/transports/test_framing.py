"""Responses that are malformed, ambiguous or cut short: never ok, and their connection is dropped.

A response that the server has broken off may come out better next time (`transient`); one that is
wrong in itself will not (`final`).
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.client import Client, OpenClient, descriptors_settle_at, open_descriptors, verdict
from support.server import Peer, Script, StartServer, answering, response, sending
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import Failure

OK = response(b"ok")
TRANSIENT, FINAL = ("protocol", "transient"), ("protocol", "final")


def ok(*headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode("latin-1") + body


CHUNKED = "Transfer-Encoding: chunked"

# What the server sends before it closes, and the verdict.
BROKEN_OFF = {
    "in the status line": b"HTTP/1.",
    "in the head": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
    "after an interim response": b"HTTP/1.1 100 Continue\r\n\r\n",
    "short of its length": ok("Content-Length: 3", body=b"ab"),
    "before the body": ok("Content-Length: 3"),
    "in a chunk's size": ok(CHUNKED, body=b"1"),
    "in a chunk": ok(CHUNKED, body=b"5\r\nabc"),
    "after a chunk": ok(CHUNKED, body=b"2\r\nab\r\n"),
    "in the last chunk": ok(CHUNKED, body=b"2\r\nab\r\n0\r\n"),
    "in the trailers": ok(CHUNKED, body=b"2\r\nab\r\n0\r\nX-Sum: 1\r\n"),
}

MALFORMED = {
    "garbage": b"\x00\x01\x02 what is this\r\n\r\n",
    "garbage without a line break": b"\xff" * 100,
    "another protocol": b"220 mail.example.com ESMTP\r\n",
    "tls": b"\x15\x03\x01\x00\x02\x02\x46",
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a version to come": b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "a header without colon": ok("Content-Length 2", body=b"ab"),
    "a header with a blank in its name": ok("X Y: 1", "Content-Length: 2", body=b"ab"),
    "NUL in a header": ok("X: a\0b", "Content-Length: 2", body=b"ab"),
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab",
    "a folded header": ok("X: a", " b", "Content-Length: 2", body=b"ab"),
    "two lengths": ok("Content-Length: 2", "Content-Length: 3", body=b"abc"),
    "two lengths in one": ok("Content-Length: 2, 3", body=b"abc"),
    "the same length twice": ok("Content-Length: 2", "Content-Length: 2", body=b"ab"),
    "a negative length": ok("Content-Length: -1", body=b"ab"),
    "a signed length": ok("Content-Length: +2", body=b"ab"),
    "a hexadecimal length": ok("Content-Length: 0x2", body=b"ab"),
    "no length in its header": ok("Content-Length:", body=b"ab"),
    "a huge length": ok("Content-Length: 99999999999999999999", body=b"ab"),
    "length, then chunks": ok("Content-Length: 2", CHUNKED, body=b"2\r\nab\r\n0\r\n\r\n"),
    "chunks, then length": ok(CHUNKED, "Content-Length: 2", body=b"2\r\nab\r\n0\r\n\r\n"),
    "length in the trailers": ok(CHUNKED, body=b"2\r\nab\r\n0\r\nContent-Length: 2\r\n\r\n"),
    "an unknown transfer coding": ok("Transfer-Encoding: gzip", body=b"ab"),
    "chunks inside a coding": ok("Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "a coding inside chunks": ok("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "codings in two headers": ok("Transfer-Encoding: gzip", CHUNKED, body=b"0\r\n\r\n"),
    "chunked twice": ok(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "a chunk size of letters": ok(CHUNKED, body=b"xy\r\nab\r\n0\r\n\r\n"),
    "a negative chunk size": ok(CHUNKED, body=b"-2\r\nab\r\n0\r\n\r\n"),
    "no chunk size": ok(CHUNKED, body=b"\r\nab\r\n0\r\n\r\n"),
    "a huge chunk size": ok(CHUNKED, body=b"fffffffffffffffff\r\nab\r\n0\r\n\r\n"),
    "a chunk that is too long": ok(CHUNKED, body=b"2\r\nabc\r\n0\r\n\r\n"),
    "a chunk that is too short": ok(CHUNKED, body=b"3\r\nab\r\n0\r\n\r\n"),
    "bare line feeds around chunks": ok(CHUNKED, body=b"2\nab\n0\n\n"),
    "bytes past its length": ok("Content-Length: 2", body=b"abc"),
    "bytes past its length and a close": ok("Content-Length: 2", "Connection: close", body=b"abc"),
    "bytes past the last chunk": ok(CHUNKED, body=b"0\r\n\r\nabc"),
    "two responses": OK + OK,
    "a response and an interim one": OK + b"HTTP/1.1 100 Continue\r\n\r\n",
    "a body where there is none": b"HTTP/1.1 204 No Content\r\n\r\nabc",
    "a protocol that nobody asked for": (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    ),
}


async def fails_and_goes_on(caller: Client, expected: tuple[str, str], method: str = "GET") -> None:
    """The first request fails, nothing stays open, and the second is answered."""
    before = open_descriptors()
    failure = await caller.failure(method)
    assert verdict(failure) == expected
    assert failure.sent
    assert await descriptors_settle_at(before)
    assert (await caller.send()).body == b"ok"


def once(data: bytes, *, then_close: bool) -> Script:
    """A script: these bytes on the first connection, and a good response on every other."""

    async def script(peer: Peer) -> None:
        await (answering(OK) if peer.number else sending(data, then_close=then_close))(peer)

    return script


@pytest.mark.parametrize("case", BROKEN_OFF)
async def test_send_fails_where_a_response_is_cut_short(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """Closed before its end, what there is of it is not a response."""
    server = await start(once(BROKEN_OFF[case], then_close=True))
    await fails_and_goes_on(client(server.url), TRANSIENT)


@pytest.mark.parametrize("case", MALFORMED)
async def test_send_fails_where_a_response_is_malformed(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """It is seen at once, without waiting for the server to close."""
    server = await start(once(MALFORMED[case], then_close=False))
    await fails_and_goes_on(client(server.url), FINAL)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_send_fails_where_there_is_a_body_and_none_can_be(
    start: StartServer, client: OpenClient, method: str
) -> None:
    """A body after a response to HEAD, or to what allows none, would be the next response."""
    data = ok("Content-Length: 2", body=b"ab" if method == "HEAD" else b"ab" + OK)
    server = await start(once(data, then_close=False))
    await fails_and_goes_on(client(server.url), FINAL, method)


async def test_send_never_takes_a_response_for_that_to_another_request(
    start: StartServer, client: OpenClient
) -> None:
    """Bytes past the end of one response, in the same packet or later, answer no request."""
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
        with suppress(Failure):
            answers.append((nonce, (await caller.send("POST", nonce)).body))
        await wait_all_tasks_blocked(0.001)  # What comes after the next request is past telling.
    assert answers
    assert all(nonce == body for nonce, body in answers)


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
