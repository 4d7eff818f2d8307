"""Responses as bytes, valid and invalid, and the expected results."""

from __future__ import annotations

from typing import NamedTuple

from support.server import Peer, Script, answering, response, sending

OK = response(b"ok")
CHUNKED = "Transfer-Encoding: chunked"


def ok(*headers: str, body: bytes = b"") -> bytes:
    """Return a response with just these headers."""
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode("latin-1") + body


class Sound(NamedTuple):
    """A response and the expected result.

    `kept` tells whether the connection can carry another request; otherwise the server closes it.
    """

    data: bytes
    status: int = 200
    body: bytes = b"ok"
    kept: bool = True
    method: str = "GET"


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nContent-Length: 3\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
KEPT_ALIVE = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
UPGRADES = ["Connection: Upgrade", "Upgrade: h2,h2c"]

SOUND = {
    "length": Sound(OK),
    "post": Sound(OK, method="POST"),
    "no reason": Sound(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    "no content": Sound(NO_CONTENT, 204, b""),
    "not modified": Sound(NOT_MODIFIED, 304, b""),
    "head": Sound(ok("Content-Length: 9"), 200, b"", method="HEAD"),
    "head of chunks": Sound(ok(CHUNKED), 200, b"", method="HEAD"),
    "head without length": Sound(ok(), 200, b"", kept=False, method="HEAD"),
    "interim": Sound(CONTINUE + HINTS + CONTINUE + OK),
    "offer to upgrade": Sound(response(b"ok", *UPGRADES)),
    "chunks": Sound(ok(CHUNKED, body=b"1;x=y\r\no\r\n01\r\nk\r\n0\r\n\r\n")),
    "chunks in capitals": Sound(ok(CHUNKED.upper(), body=b"2\r\nok\r\n0\r\n\r\n")),
    "trailers": Sound(ok(CHUNKED, body=b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")),
    "close": Sound(response(b"ok", "Connection: close"), kept=False),
    "close among others": Sound(response(b"ok", "Connection: x, Close"), kept=False),
    "old version": Sound(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", kept=False),
    "old version kept alive": Sound(KEPT_ALIVE),
    "up to the close": Sound(ok(body=b"ok"), kept=False),
    "nothing up to the close": Sound(ok(), 200, b"", kept=False),
    "old version up to the close": Sound(b"HTTP/1.0 200 OK\r\n\r\nok", kept=False),
}

FOLDED_COOKIE = ["Set-Cookie: a=1;", "   Path=/;", "\tHttpOnly"]
PADDED_CHUNKS = b"1  \r\no\r\n1 ;x=y\r\nk\r\n0\t\r\n\r\n"
BARE_LINE_FEEDS = b"HTTP/1.1 200 OK\nContent-Length: 2\nX: a\n\nok"

# Non-standard but unambiguous, and accepted by others: see docs/reference/http-differences.md.
ODD = {
    "a folded header": Sound(response(b"ok", "X: a", " b")),
    "folds of blanks": Sound(response(b"ok", "X: a  ", "\t b\t", "  ", "Y: c")),
    "a fold right after the colon": Sound(response(b"ok", "X:", " a")),
    "a folded cookie": Sound(response(b"ok", *FOLDED_COOKIE)),
    "the same length twice": Sound(ok("Content-Length: 2", "Content-Length: 2", body=b"ok")),
    "the same length in a list": Sound(ok("Content-Length: 2, 2,2", body=b"ok")),
    "a folded length": Sound(ok("Content-Length:", " 2", " ", body=b"ok")),
    "a folded coding": Sound(ok("Transfer-Encoding:", "\tchunked", body=PADDED_CHUNKS)),
    "a folded close": Sound(response(b"ok", "Connection: x", " , close"), kept=False),
    "a folded trailer": Sound(ok(CHUNKED, body=b"2\r\nok\r\n0\r\nX: a\r\n b\r\n\r\n")),
    "folded, to HEAD": Sound(ok("X: a", " b", "Content-Length: 9"), 200, b"", method="HEAD"),
    "folded, no content": Sound(b"HTTP/1.1 204 No\r\nX: a\r\n b\r\n\r\n", 204, b""),
    "folded, up to the close": Sound(ok("X: a", " b", body=b"ok"), kept=False),
    "bare line feeds": Sound(BARE_LINE_FEEDS),
    "bare line feeds, in chunks": Sound(
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\r\nok\r\n0\r\n\r\n"
    ),
    "bare line feeds here and there": Sound(
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\nY: b\n\r\nok"
    ),
    "bare line feeds, nothing else": Sound(b"HTTP/1.1 204 No Content\n\n", 204, b""),
    "bare line feeds, up to the close": Sound(
        b"HTTP/1.0 200 OK\nX: a\n\nok\n", 200, b"ok\n", False
    ),
    "control characters": Sound(response(b"ok", "X: a\x01b\x1b[31m\x7f", "Set-Cookie: \x02=\x08")),
    "blanks after the version": Sound(b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok"),
    "many blanks after the version": Sound(
        b"HTTP/1.1    201  OK\r\nContent-Length: 2\r\n\r\nok", 201
    ),
    "blanks after an old version": Sound(b"HTTP/1.0  200 OK\r\n\r\nok", kept=False),
    "a control character in a reason": Sound(response(b"ok", "X: \x01", status="200 O\x01K")),
    "a blank before the colon": Sound(response(b"ok", "X : a")),
    "blanks after a chunk size": Sound(ok(CHUNKED, body=PADDED_CHUNKS)),
    "blanks before an extension": Sound(ok(CHUNKED, body=b"2 \t;x\r\nok\r\n0 ;y=\r\n\r\n")),
    "blanks in an extension": Sound(ok(CHUNKED, body=b'2; x = "y z" ;u\r\nok\r\n0;\r\n\r\n')),
    "blanks after the last chunk only": Sound(ok(CHUNKED, body=b"2\r\nok\r\n0   \r\n\r\n")),
    "many zeros": Sound(ok(CHUNKED, body=b"%b2\r\nok\r\n0\r\n\r\n" % (b"0" * 99))),
}

NO_LENGTH_HERE = b"Content-Length: 5\r\n\r\n"
# Interim responses that are invalid, or unknown to llhttp, each before OK.
ODD_INTERIMS = {
    "100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
    "100 that closes": b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n",
    "100 of an old version": b"HTTP/1.0 100 Continue\r\n\r\n",
    "100 folded": b"HTTP/1.1 100 Continue\r\nX: a\r\n b\r\n\r\n",
    "100 with bare line feeds": b"HTTP/1.1 100 Continue\n\n",
    "100 without a reason": b"HTTP/1.1 100\r\n\r\n",
    "100 with an empty line after it": b"HTTP/1.1 100 Continue\r\n\r\n\r\n",
    "100 with blanks after the version": b"HTTP/1.1  100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103 in a row": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3,
    "103 with chunks announced": b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
    "104 with a length": b"HTTP/1.1 104 Upload Resumption Supported\r\n" + NO_LENGTH_HERE,
    "110 with chunks announced": b"HTTP/1.1 110 Stale\r\nTransfer-Encoding: chunked\r\n\r\n",
    "110 with a coding": b"HTTP/1.1 110 Stale\r\nTransfer-Encoding: gzip\r\n\r\n",
    "199 with an offer": b"HTTP/1.1 199 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "different ones": b"HTTP/1.1 100 Continue\n\nHTTP/1.1 102 X\r\n\r\nHTTP/1.1 110 X\r\n"
    + NO_LENGTH_HERE,
}
ODD |= {f"interim: {name}": Sound(data + OK) for name, data in ODD_INTERIMS.items()}
ODD |= {
    "interim: 100 folded, then chunks": Sound(
        ODD_INTERIMS["100 folded"] + ok(CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n")
    )
}

# What the server sends before it closes too early.
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

# Invalid, whatever follows.
MALFORMED = {
    "garbage": b"\x00\x01\x02 what is this\r\n\r\n",
    "garbage without a line break": b"\xff" * 100,
    "another protocol": b"220 mail.example.com ESMTP\r\n",
    "tls": b"\x15\x03\x01\x00\x02\x02\x46",
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "an early version": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "a version that is not spoken so": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "a protocol like it": b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "a status below 100": b"HTTP/1.1 042 What\r\nContent-Length: 2\r\n\r\nab",
    "an interim response with a body": b"HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\n12345"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "an interim response in chunks": b"HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "a version to come": b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "a header without colon": ok("Content-Length 2", body=b"ab"),
    "a header with a blank in its name": ok("X Y: 1", "Content-Length: 2", body=b"ab"),
    "NUL in a header": ok("X: a\0b", "Content-Length: 2", body=b"ab"),
    "a carriage return in a header": ok("X: a\rContent-Length: 2", body=b"ab"),
    "a bare carriage return": b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nab",
    "a fold of nothing": ok(" X: a", "Content-Length: 2", body=b"ab"),
    "a fold of nothing, a carriage return in it": ok(" a\rb", "Content-Length: 2", body=b"ab"),
    "NUL in a fold": ok("X: a", " b\0", "Content-Length: 2", body=b"ab"),
    "a length in two lines": ok("Content-Length: 1", " 2", body=b"123456789012"),
    "a length with a blank before its colon": ok("Content-Length : 2", body=b"ab"),
    "a length in a line with a control character": ok("Content-Length: 2\x01", body=b"ab"),
    "a length after a bare line feed, and another": ok(
        "X: a\nContent-Length: 1", "Content-Length: 2"
    )
    + b"ab",
    "codings in a fold": ok("Transfer-Encoding: chunked", " , gzip", body=b"0\r\n\r\n"),
    "a folded coding beside a length": ok(
        "Transfer-Encoding:", " chunked", "Content-Length: 2", body=b"2\r\nab\r\n0\r\n\r\n"
    ),
    "two lengths": ok("Content-Length: 2", "Content-Length: 3", body=b"abc"),
    "two lengths in one": ok("Content-Length: 2, 3", body=b"abc"),
    "equal lengths and another": ok("Content-Length: 2, 2", "Content-Length: 3", body=b"abc"),
    "equal lengths that are none": ok("Content-Length: 0x2", "Content-Length: 0x2", body=b"ab"),
    "an empty length among others": ok("Content-Length: 2,", body=b"ab"),
    "equal lengths beside chunks": ok(
        "Content-Length: 2", "Content-Length: 2", CHUNKED, body=b"2\r\nab\r\n0\r\n\r\n"
    ),
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
    "a bare line feed after a chunk size": ok(CHUNKED, body=b"2\nab\r\n0\r\n\r\n"),
    "a bare line feed after a chunk": ok(CHUNKED, body=b"2\r\nab\n0\r\n\r\n"),
    "a bare line feed in the trailers": ok(CHUNKED, body=b"2\r\nab\r\n0\r\nX: a\n\r\n"),
    "a bare line feed at the end": ok(CHUNKED, body=b"2\r\nab\r\n0\r\n\n"),
    "a carriage return in an extension": ok(CHUNKED, body=b"2;a\rb\r\nab\r\n0\r\n\r\n"),
    "NUL in an extension": ok(CHUNKED, body=b"2;a\0\r\nab\r\n0\r\n\r\n"),
    "a blank before a chunk size": ok(CHUNKED, body=b" 2\r\nab\r\n0\r\n\r\n"),
    "a blank inside a chunk size": ok(CHUNKED, body=b"0 2\r\nab\r\n0\r\n\r\n"),
    "an extension without semicolon": ok(CHUNKED, body=b"2 x\r\nab\r\n0\r\n\r\n"),
    "a trailer without colon": ok(CHUNKED, body=b"2\r\nab\r\n0\r\nX\r\n\r\n"),
    "a folded length in the trailers": ok(
        CHUNKED, body=b"2\r\nab\r\n0\r\nContent-Length:\r\n 2\r\n\r\n"
    ),
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


def once(data: bytes, *, then_close: bool) -> Script:
    """Return a script: these bytes on the first connection, a good response on all others."""

    async def script(peer: Peer) -> None:
        await (answering(OK) if peer.number else sending(data, then_close=then_close))(peer)

    return script
