"""Responses that violate RFC 9112 but are unambiguous, and that curl and Go accept."""

from __future__ import annotations

import pytest
from support.client import OpenClient, TransportKind, classify
from support.responses import CHUNKED, ODD, ODD_INTERIMS, OK, ok
from support.server import StartServer, answering, response, sending

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.native.head_cache import ResponseHeadCache
from tmux_fanout.transports.native.parser import ResponseParser
from tmux_fanout.transports.native.relaxed import ChunkReader, HeadReader, Malformed

REFUSED_BY_H11 = {
    "a folded coding",
    "a blank before the colon",
    "blanks after a chunk size",
    "blanks before an extension",
    "many zeros",
    "blanks after the version",
    "many blanks after the version",
    "blanks after an old version",
    "interim: 100 with blanks after the version",
    "interim: 100 with an empty line after it",
    "interim: 110 with a coding",
}


@pytest.mark.parametrize("case", ODD)
async def test_send_takes_what_other_clients_take(
    start: StartServer, client: OpenClient, kind: TransportKind, case: str
) -> None:
    """An odd response has its status and body, and the connection is kept if allowed."""
    data, status, body, kept, method = ODD[case]
    server = await start(answering(data) if kept else sending(data))
    caller = client(server.url)
    if kind != "native" and case in REFUSED_BY_H11:
        assert classify(await caller.failure(method)) == ("protocol", "final")
        return
    for _ in range(3):
        answer = await caller.send(method)
        assert (answer.status, answer.body) == (status, body)
        assert caller.idle == kept
    assert server.connections == (1 if kept else 3)


def fields_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields of a response without its length."""
    parser = ResponseParser(1000)
    parser.start("GET")
    assert parser.feed(data)
    return [field for field in parser.message.headers if field[0] != b"content-length"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["X: a", " b"], [(b"x", b"a b")]),
        (["X: a \t ", "\t \tb  ", " ", "Y: c"], [(b"x", b"a b"), (b"y", b"c")]),
        (["X:", "  ", "\ta"], [(b"x", b"a")]),
        (['ETag: "a8fd"', "    viewport_width=;x"], [(b"etag", b'"a8fd" viewport_width=;x')]),
        (["X: 1", " X: 2", "X: 3"], [(b"x", b"1 X: 2"), (b"x", b"3")]),
        (["X: 1", " ", "Y: 2"], [(b"x", b"1"), (b"y", b"2")]),
    ],
)
def test_a_folded_header_is_one_value(
    lines: list[str], expected: list[tuple[bytes, bytes]]
) -> None:
    """Each fold is one blank; see erlang/otp#798, seanmonstar/httparse#68, ruby/net-http#348
    and urllib3/urllib3#1362.
    """
    assert fields_of(response(b"ok", *lines)) == expected


@pytest.mark.parametrize("value", ["a\x01b", "\x1b]0;x\x07", "\x02=\x08\x0b\x0c", "\x7f"])
def test_a_control_character_stays_in_its_value(value: str) -> None:
    """curl and browsers accept it; see aio-libs/aiohttp#5269, #5355 and #5730."""
    assert fields_of(response(b"ok", f"X: {value}", "Y: b")) == [
        (b"x", value.encode()),
        (b"y", b"b"),
    ]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\nContent-Length: 2\n\r\n",
        b"HTTP/1.1 200\nX: a\r\nContent-Length: 2\r\n\n",
    ],
)
def test_a_bare_line_feed_ends_a_line_of_a_head(head: bytes) -> None:
    """Devices send such heads; see nodejs/node#43798, nodejs/llhttp#236 and
    http-rs/async-h1#85.
    """
    assert fields_of(head + b"ok") == [(b"x", b"a")]


@pytest.mark.parametrize(
    "size",
    [b"2 ", b"2   ", b"2\t", b"02 ", b"2 ;x", b"2; x", b"2;x ", b"2 ; x = y ; z", b'2;x="a b"; '],
)
def test_blanks_around_a_chunk_size_or_its_extension_mean_nothing(size: bytes) -> None:
    """Servers pad sizes; see nodejs/undici#2678, python-hyper/h11#133, akka/akka-http#1812
    and valyala/fasthttp#372.
    """
    body = b"%b\r\nok\r\n0%b\r\n\r\n" % (size, size.lstrip(b"02"))
    data = ok(CHUNKED, body=body)
    for at in range(1, len(data)):
        parser = ResponseParser(1000)
        parser.start("GET")
        assert not parser.feed(data[:at])
        assert parser.feed(data[at:])
        assert (parser.take_body(), parser.message.keep_alive) == (b"ok", True)


@pytest.mark.parametrize("case", ODD_INTERIMS)
def test_an_interim_response_is_passed_over_in_any_shape(case: str) -> None:
    """Its fields, lengths and hints are ignored; see nodejs/node#9282, openjdk/jdk#10169,
    aio-libs/aiohttp#2926, nginx/nginx#1241 and nghttp2/nghttp2#1347.
    """
    assert fields_of(ODD_INTERIMS[case] + response(b"ok", "X: a")) == [(b"x", b"a")]


@pytest.mark.parametrize("kept", [True, False])
def test_an_interim_response_says_nothing_about_the_connection(kept: bool) -> None:
    """Only the final response tells whether it is kept (RFC 9112, section 9.6)."""
    hints = [] if kept else ["Connection: close"]
    for interim in ODD_INTERIMS.values():
        parser = ResponseParser(1000)
        parser.start("GET")
        assert parser.feed(interim + response(b"ok", *hints))
        assert parser.message.keep_alive == kept


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 X\nUpgrade: websocket\n\n",
        b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\nHTTP/1.1 101 X\r\n\r\n",
    ],
)
def test_a_switch_of_protocols_that_nobody_asked_for_is_refused(head: bytes) -> None:
    """What follows is not HTTP/1.1, however it is announced."""
    with pytest.raises(TransportError, match="switches protocols without being asked"):
        fields_of(head + OK)


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 X\n\n", b"HTTP/1.1 100 X\r\nA: b\r\n c\r\n\r\n"]
)
def test_interim_responses_without_end_are_cut(interim: bytes) -> None:
    """They count as part of the head, in one piece or many."""
    for pieces in ([interim] * 10_000, [interim * 10_000]):
        parser = ResponseParser(1000)
        parser.start("GET")
        with pytest.raises(TransportError) as caught:
            list(map(parser.feed, pieces))
        assert classify(caught.value) == ("too_large", "final")


def test_a_head_without_end_is_cut() -> None:
    """An odd head has the same limit as any other."""
    parser = ResponseParser(1000)
    parser.start("GET")
    parser.feed(b"HTTP/1.1 200 OK\nX: a\n")
    with pytest.raises(TransportError) as caught:
        list(map(parser.feed, [b" " + b"x" * 1000 + b"\n"] * 100))
    assert classify(caught.value) == ("too_large", "final")


def test_an_odd_head_is_not_remembered() -> None:
    """It does not end where a plain one would."""
    heads = ResponseHeadCache()
    for data in (case.data for case in ODD.values()):
        parser = ResponseParser(1000, heads)
        parser.start("GET")
        parser.feed(data)
    known = repr(heads)
    assert heads.find(b"HTTP/1.1 200 OK\nContent-Length: 6\n\n\r\n\r\nok") is None
    assert known == "<ResponseHeadCache: 0 heads>"


@pytest.mark.parametrize(
    "hints",
    [
        ["Connection: close, keep-alive"],
        ["Connection: keep-alive", "Connection: Close"],
        ["Connection: Close", "Connection: keep-alive"],
        ["connection: x,CLOSE ,y"],
        ["Connection: ,,close"],
        ["Connection:\tclose"],
        ["Connection: x", " ,close"],
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_close_among_hints_is_heeded(hints: list[str], version: str) -> None:
    """It overrides the others; see mtrudel/bandit#639, nodejs/undici#4775 and
    Kludex/uvicorn#3096.
    """
    parser = ResponseParser(1000)
    parser.start("GET")
    assert parser.feed(response(b"ok", *hints).replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
    assert not parser.message.keep_alive


@pytest.mark.parametrize(
    ("hints", "kept"),
    [
        ([], False),
        (["Connection: Keep-Alive"], True),
        (["Connection: x, keep-alive"], True),
        (["Connection: x", "Connection: keep-alive"], True),
        (["Keep-Alive: timeout=5"], False),
        (["Connection: keep-alives"], False),
        (["Connection: keep-alive", CHUNKED], False),
    ],
)
def test_an_old_version_is_kept_alive_where_it_says_so(hints: list[str], kept: bool) -> None:
    """HTTP/1.0 closes by default (oven-sh/bun#37530), and has no chunks."""
    body = b"2\r\nok\r\n0\r\n\r\n" if CHUNKED in hints else b"ok"
    lengths = [] if CHUNKED in hints else ["Content-Length: 2"]
    data = ok(*hints, *lengths, body=body).replace(b"HTTP/1.1", b"HTTP/1.0")
    for pieces in ([data], [data[:-1], data[-1:]]):
        parser = ResponseParser(1000)
        parser.start("GET")
        assert [parser.feed(piece) for piece in pieces][-1]
        assert (parser.take_body(), parser.message.keep_alive) == (b"ok", kept)


def test_chunks_and_heads_tell_how_far_they_are() -> None:
    """Their representations help with debugging."""
    head, chunks = HeadReader(), ChunkReader()
    head.feed(b"HTTP/1.1 200 OK\nX: a\nY")
    assert repr(head) == "<HeadReader: b'HTTP/1.1 200', 1 fields>"
    chunks.feed(b"3\r\na")
    assert repr(chunks) == "<ChunkReader: 2 bytes of a chunk to come>"
    chunks.feed(b"bc\r\n0\r\n\r\n")
    assert repr(chunks) == "<ChunkReader: complete>"


@pytest.mark.parametrize("data", [b"HTTX", b"\x15\x03\x01", b"http/1.1 200 OK", b"\r\nSSH-2.0"])
def test_what_is_no_head_is_refused_before_its_line_ends(data: bytes) -> None:
    """The parser does not wait for more of it."""
    with pytest.raises(Malformed):
        HeadReader().feed(data)


@pytest.mark.parametrize("odd", [b"", b" ", b"; x"])
@pytest.mark.parametrize("size", [1, 1000, 70_000, 500_000])
def test_many_chunks_are_read_whichever_of_them_is_odd(odd: bytes, size: int) -> None:
    """Earlier chunks are not kept for ever, and the body is the same."""
    chunk = b"%x\r\n%b\r\n" % (1000, b"x" * 1000)
    data = ok(CHUNKED, body=chunk * 150 + b"2%b\r\nok\r\n0\r\n\r\n" % odd)
    parser = ResponseParser(1 << 20)
    parser.start("GET")
    assert [parser.feed(data[at : at + size]) for at in range(0, len(data), size)][-1]
    assert parser.take_body() == b"x" * 150_000 + b"ok"
    assert parser.message.keep_alive


@pytest.mark.parametrize(
    "excess", [b"1", b"\r\n", b"1\r\n", b"0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n", b"x"]
)
@pytest.mark.parametrize(
    "headers", [[CHUNKED], ["Content-Length: 1"], [], [CHUNKED, "X: a", " b"], ["X: a", " b"]]
)
def test_a_body_after_a_response_to_head_is_seen_at_its_first_byte(
    headers: list[str], excess: bytes
) -> None:
    """The connection to a server that sends chunks in answer to HEAD is not used again."""
    data = ok(*headers)
    for pieces in [data + excess], [data, excess], [data[:9], data[9:] + excess]:
        parser = ResponseParser(1000)
        parser.start("HEAD")
        with pytest.raises(TransportError, match="data after the end"):
            list(map(parser.feed, pieces))
