"""Mutated responses: whatever a server sends, a request gets its own whole response or an error.

`TMUX_FANOUT_MUTATIONS` sets how many to try; a few by default.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import NamedTuple

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.client import Client, TransportKind
from support.responses import BROKEN_OFF, MALFORMED, ODD, OK, SOUND
from support.server import Peer, Server, echo, response, serve
from support.thoroughness import share_of
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.transports.native.head_cache import ResponseHeadCache
from tmux_fanout.transports.native.parser import ResponseParser

MUTATIONS = int(os.environ.get("TMUX_FANOUT_MUTATIONS", share_of(500)))
CAP = 1000
PLAIN = settings(
    max_examples=MUTATIONS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
BASES = [*(case.data for case in (SOUND | ODD).values()), *BROKEN_OFF.values(), *MALFORMED.values()]
PIECES = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b":",
        b",",
        b"0",
        b"2",
        b";",
        b"\r\n\r\n",
        b"\n\n",
    ),
    *(b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"\r\n ", b"\n\t", b"0\r\n\r\n", b"2\r\nok\r\n", b"chunked", b"HTTP/1.1 100 X\r\n\r\n", OK),
]


class Mutation(NamedTuple):
    """A change of some bytes; `at` counts from the beginning, modulo the length."""

    what: str
    at: int
    size: int
    piece: bytes


mutations = st.lists(
    st.builds(
        Mutation,
        st.sampled_from(["flip", "delete", "insert", "replace", "duplicate", "truncate", "splice"]),
        st.integers(0, 300),
        st.integers(1, 12),
        st.sampled_from(PIECES) | st.binary(min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=4,
)
bases = st.sampled_from(BASES)


def mutated(data: bytes, changes: list[Mutation], other: bytes) -> bytes:
    for what, index, size, piece in changes:
        at = index % (len(data) + 1)
        before, part, after = data[:at], data[at : at + size], data[at + size :]
        data = {
            "flip": before + bytes(byte ^ 1 << size % 8 for byte in part[:1]) + part[1:] + after,
            "delete": before + after,
            "insert": before + piece + part + after,
            "replace": before + piece + after,
            "duplicate": before + part * 2 + after,
            "truncate": before or b"H",
            "splice": before + other[at:],
        }[what] or b"H"
    return data


class Read(NamedTuple):
    """A response that was accepted."""

    status: int
    body: bytes
    kept: bool


def read(parser: ResponseParser, method: str, pieces: list[bytes]) -> Read | None:
    """Return the result of a response and a close after it; None if it is refused."""
    parser.start(method)
    try:
        for piece in pieces:
            if head := parser.recognise(piece):
                return Read(head.status, piece[head.size :], True)
            parser.feed(piece)
        parser.message.complete or parser.feed_eof()
    except TransportError:
        return None
    return Read(parser.message.status, parser.take_body(), parser.message.keep_alive)


def check(found: Read, data: bytes, method: str) -> None:
    """Check an accepted response by a second parser, which is as simple as possible."""
    status = 100
    while 100 <= status < 200:
        head, empty_line, data = re.split(rb"(\n\r?\n)", data.lstrip(b"\r\n"), maxsplit=1)
        assert empty_line
        status_line, *lines = re.sub(rb"\r?\n[ \t]+", b" ", head).split(b"\n")
        matched = re.fullmatch(rb"HTTP/1\.[01] +([1-9]\d\d)(?: [^\r]*)?\r?", status_line)
        assert matched, status_line
        status = int(matched[1])
        assert status != 101
    assert status == found.status
    fields = [line.split(b":", 1) for line in lines]
    values = [(name.lower(), value.strip(b" \t\r")) for name, value in fields]
    said = [value for name, value in values if name == b"content-length"]
    numbers = b",".join(said).split(b",") if said else []
    lengths = {number.strip(b" \t").lstrip(b"0") or b"0" for number in numbers}
    codings = [value.lower() for name, value in values if name == b"transfer-encoding" and value]
    assert len(lengths) + len(codings) <= 1
    body, rest = data, b""
    if method == "HEAD" or status in (204, 304):
        body, rest = b"", data
    elif codings:
        assert codings == [b"chunked"]
        body, rest = chunks(data)
    elif lengths:
        length = lengths.pop()
        assert length.isdigit()
        body, rest = data[: int(length)], data[int(length) :]
        assert len(body) == int(length)
    else:
        assert not found.kept
    assert body == found.body
    assert not (rest if method == "HEAD" else rest.strip(b"\r\n"))


def chunks(data: bytes) -> tuple[bytes, bytes]:
    body, size = b"", -1
    while size:
        line, data = data.split(b"\r\n", 1)
        digits = re.match(rb"[0-9a-fA-F]+(?=[ \t]*(?:;|$))", line)
        assert digits, line
        size = int(digits[0], 16)
        body, data = body + data[:size], data[size:]
        if size:
            assert data.startswith(b"\r\n")
            data = data[2:]
    while not data.startswith(b"\r\n"):
        trailer, data = data.split(b"\r\n", 1)
        assert trailer
    return body, data[2:]


@PLAIN
@given(bases, mutations, bases, st.sampled_from(["GET", "GET", "HEAD"]), st.integers(1, 300))
def test_parser_takes_a_mutated_response_only_if_it_is_framed_for_certain(
    base: bytes, changes: list[Mutation], other: bytes, method: str, cut: int
) -> None:
    """The result does not depend on how it is split, and the next response is unaffected."""
    data = mutated(base, changes, other)
    parser = ResponseParser(CAP, ResponseHeadCache())
    found = read(parser, method, [data])
    pieces = (
        [data[:cut], data[cut:]]
        if cut < len(data)
        else [data[at : at + 1] for at in range(len(data))]
    )
    assert read(ResponseParser(CAP), method, pieces) == found
    if found:
        check(found, data, method)
    if found and found.kept:
        assert read(parser, "GET", [response(b"nonce")]) == Read(200, b"nonce", True)


async def exchange(kind: TransportKind, data: bytes, nonce: bytes) -> None:
    is_answered = False

    async def script(peer: Peer) -> None:
        if not peer.number:
            await peer.request()
            await peer.send(data)
            await wait_all_tasks_blocked()
            if not is_answered:
                return
        await echo(peer)

    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, script)
        client = Client(kind, server.url, max_response=CAP)
        answer: Response | TransportError
        try:
            answer = await client.send()
        except TransportError as error:
            answer = error
        is_answered = True
        if isinstance(answer, Response):
            found = Read(answer.status, answer.body, bool(client.idle))
            check(found, data, "GET")
        for body in (nonce, b"next " + nonce):
            assert (await client.send("POST", body)).body == body
        await client.transport.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["native", "httpx"])
@settings(PLAIN, max_examples=max(50, MUTATIONS // 50))
@given(bases, mutations, bases, st.integers(0, 1 << 30))
def test_send_never_takes_bytes_of_a_mutated_response_for_the_next(
    kind: TransportKind, base: bytes, changes: list[Mutation], other: bytes, nonce: int
) -> None:
    """It is accepted or fails, nothing hangs, and later requests get their own responses."""
    trio.run(partial(exchange, kind, mutated(base, changes, other), b"%d" % nonce))
