"""Content codings: undone where they are known and sound, and bounded."""

from __future__ import annotations

import gzip
import zlib

import pytest
from support.client import OpenClient, verdict
from support.server import StartServer, answering, response

TEXT = b'{"text": "' + b"abc " * 500 + b'"}'
CAP = 100_000
BOMB = bytes(CAP + 1)

DECODE, TOO_LARGE = ("decode", "final"), ("too_large", "final")


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


def with_byte_flipped(data: bytes, at: int) -> bytes:
    return bytes([*data[:at], data[at] ^ 0xFF, *data[at:][1:]])


GZIPPED = gzip.compress(TEXT, mtime=0)

# Content-Encoding, and the body as sent.
DECODED = {
    "gzip": ("gzip", GZIPPED),
    "gzip in capitals": ("GZip", GZIPPED),
    "x-gzip": ("x-gzip", GZIPPED),
    "members of gzip": ("gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "deflate without its frame": ("deflate", raw_deflate(TEXT)),
    "identity": ("identity", TEXT),
    "two": ("deflate, gzip", gzip.compress(zlib.compress(TEXT))),
    "two headers": ("deflate\r\nContent-Encoding: gzip", gzip.compress(zlib.compress(TEXT))),
    "nothing named": ("", TEXT),
}

REFUSED = {
    "unknown": ("br", TEXT, DECODE),
    "unknown under a known one": ("br, gzip", GZIPPED, DECODE),
    "not what it says": ("gzip", TEXT, DECODE),
    "cut short": ("gzip", GZIPPED[:-9], DECODE),
    "cut in its checksum": ("gzip", GZIPPED[:-1], DECODE),
    "bad checksum": ("gzip", with_byte_flipped(GZIPPED, -8), DECODE),
    "bad size": ("gzip", with_byte_flipped(GZIPPED, -1), DECODE),
    "bad checksum of deflate": ("deflate", with_byte_flipped(zlib.compress(TEXT), -1), DECODE),
    "deflate cut short": ("deflate", raw_deflate(TEXT)[:-2], DECODE),
    "garbage after the end": ("gzip", GZIPPED + b"garbage", DECODE),
    "many": (", ".join(["gzip"] * 5), TEXT, DECODE),
    "gzip bomb": ("gzip", gzip.compress(BOMB), TOO_LARGE),
    "deflate bomb": ("deflate", raw_deflate(BOMB), TOO_LARGE),
    "bomb of members": ("gzip", gzip.compress(BOMB[:50_001]) * 2, TOO_LARGE),
    "bomb under a coding": ("deflate, gzip", gzip.compress(zlib.compress(BOMB)), TOO_LARGE),
}


@pytest.mark.parametrize("case", DECODED)
async def test_send_undoes_content_codings(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """What comes out is the content; the header stays as evidence."""
    codings, body = DECODED[case]
    server = await start(answering(response(body, f"Content-Encoding: {codings}")))
    answer = await client(server.url).send()
    assert answer.body == TEXT
    assert answer.header(b"content-encoding") is not None
    assert answer.wire_size < len(TEXT) + 200


@pytest.mark.parametrize("case", REFUSED)
async def test_send_fails_where_a_coding_cannot_be_undone(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """It is an error of its own kind; the exchange itself was sound, and its connection is kept."""
    codings, body, expected = REFUSED[case]
    server = await start(answering(response(body, f"Content-Encoding: {codings}"), response(b"ok")))
    caller = client(server.url, max_response=CAP)
    failure = await caller.failure()
    assert verdict(failure) == expected
    assert failure.sent
    assert (await caller.send()).body == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content")])
async def test_send_has_nothing_to_undo_where_there_is_no_body(
    start: StartServer, client: OpenClient, method: str, status: str
) -> None:
    """A response without a body may name the coding that one would have."""
    server = await start(answering(f"HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\n\r\n".encode()))
    assert (await client(server.url).send(method)).body == b""


async def test_send_accepts_what_decodes_to_the_cap(start: StartServer, client: OpenClient) -> None:
    """The cap on decoded content is as exact as that on the body."""
    server = await start(answering(response(gzip.compress(bytes(CAP)), "Content-Encoding: gzip")))
    assert (await client(server.url, max_response=CAP).send()).body == bytes(CAP)
