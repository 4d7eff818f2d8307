"""Native's parser without a socket: results depend on the bytes, not on how they arrive."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.client import classify
from support.responses import BROKEN_OFF, MALFORMED, ODD, OK, SOUND
from support.thoroughness import share_of

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.native.head_cache import ResponseHeadCache
from tmux_fanout.transports.native.parser import MAX_HEAD, ResponseParser

Result = tuple[int, list[tuple[bytes, bytes]], bytes, bool]
CAP = 1000
TAKEN = {**SOUND, **ODD}


def parse(parser: ResponseParser, method: str, chunks: Iterable[bytes]) -> Result:
    """Return the result of a response, and of a close after it if it is not complete."""
    parser.start(method)
    for chunk in chunks:
        if head := parser.recognise(chunk):
            return head.status, list(head.headers), chunk[head.size :], True
        parser.feed(chunk)
    message = parser.message
    if not message.complete:
        parser.feed_eof()
    assert message.complete
    return message.status, list(message.headers), parser.take_body(), message.keep_alive


def splits(data: bytes) -> list[list[bytes]]:
    """Return `data` in one piece, byte by byte, and in two pieces split at every byte."""
    in_two = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], [data[at : at + 1] for at in range(len(data))], *in_two]


@pytest.mark.parametrize("case", TAKEN)
def test_parser_gives_one_result_however_a_response_is_split(case: str) -> None:
    """Each split of a response gives the same status, headers, body and keep-alive."""
    data, status, body, kept, method = TAKEN[case]
    whole = parse(ResponseParser(CAP), method, [data])
    assert (whole[0], *whole[2:]) == (status, body, kept)
    for chunks in splits(data):
        parser = ResponseParser(CAP)
        assert parse(parser, method, chunks) == whole
        assert parser.received == len(data)


@pytest.mark.parametrize("case", MALFORMED)
def test_parser_refuses_what_is_malformed_however_it_is_split(case: str) -> None:
    """Each split fails in the same way, at its end at the latest."""
    for chunks in splits(MALFORMED[case]):
        with pytest.raises(TransportError) as caught:
            parse(ResponseParser(CAP), "GET", chunks)
        assert classify(caught.value) == ("protocol", "final")
        assert caught.value.sent


@pytest.mark.parametrize("case", BROKEN_OFF)
def test_parser_tells_a_loss_from_an_end_however_it_is_split(case: str) -> None:
    """A close before the end is a loss at every byte."""
    for chunks in splits(BROKEN_OFF[case]):
        with pytest.raises(TransportError) as caught:
            parse(ResponseParser(CAP), "GET", chunks)
        assert classify(caught.value) == ("protocol", "transient")


@pytest.mark.parametrize("first", [case for case in TAKEN if TAKEN[case].kept])
@pytest.mark.parametrize("second", TAKEN)
def test_parser_remembers_nothing_of_the_response_before(first: str, second: str) -> None:
    """One parser for all responses is as good as a new one for each."""
    parser = ResponseParser(CAP)
    parse(parser, TAKEN[first].method, [TAKEN[first].data])
    data, *_, method = TAKEN[second]
    assert parse(parser, method, [data]) == parse(ResponseParser(CAP), method, [data])


def test_parser_knows_no_response_before_its_first_byte() -> None:
    """A close before the first byte differs from one within a response."""
    parser = ResponseParser(CAP)
    for chunks, where in ([], "before"), ([OK[:9]], "in the middle of"):
        with pytest.raises(
            TransportError, match=f"the server closed the connection {where} the response"
        ):
            parse(parser, "GET", chunks)
    assert repr(parser) == "<ResponseParser: unfinished, 9 bytes received>"


def test_parser_looks_at_the_first_byte_though_nothing_came_before_it() -> None:
    """An empty piece is not a beginning."""
    parser = ResponseParser(1000)
    parser.start("GET")
    assert not parser.feed(b"")
    with pytest.raises(TransportError):
        parser.feed(b"RTSP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_parser_lets_go_of_a_body_that_was_taken() -> None:
    """An idle connection does not keep the last body."""
    parser = ResponseParser(CAP)
    assert parse(parser, "GET", [OK])[2] == b"ok"
    assert parser.take_body() == b""


def test_parser_ends_a_flood_within_its_caps() -> None:
    """However a response floods, the limits on head and body bound what is read."""
    floods = {
        b"HTTP/1.1 100 Continue\r\n\r\n": b"",
        b"X-Header: x\r\n": b"HTTP/1.1 200 OK\r\n",
        b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n": (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ),
    }
    for more, start in floods.items():
        parser = ResponseParser(CAP)
        parser.start("GET")
        parser.feed(start)
        with pytest.raises(TransportError) as caught:
            list(map(parser.feed, repeat(more)))
        assert classify(caught.value) == ("too_large", "final")
        assert parser.received <= MAX_HEAD + 10 * CAP


FRAGMENTS = [
    *(
        line + b"\r\n"
        for data in (*BROKEN_OFF.values(), *MALFORMED.values())
        for line in data.split(b"\r\n")
    ),
    *(sound.data for sound in TAKEN.values()),
]
received = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), max_size=12)


@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    chunks=received,
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
@settings(max_examples=share_of(1000), deadline=None, derandomize=True)
def test_parser_raises_nothing_but_failures(
    method: str, chunks: list[bytes], cuts: list[int]
) -> None:
    """Any bytes, however cut, give the same response or `TransportError`."""
    data = b"".join(chunks)
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges) if data[a:b]]
    outcomes = []
    for attempt in ([data] if data else [], pieces):
        try:
            outcome: Result | str = parse(ResponseParser(CAP), method, attempt)
        except TransportError as error:
            outcome = error.kind
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1]


def result_or_failure(parser: ResponseParser, method: str, data: bytes) -> object:
    try:
        return parse(parser, method, [data])
    except TransportError as error:
        return error.kind, error.message, error.transient


RESPONSES = [
    *((case.method, case.data) for case in TAKEN.values()),
    *(("GET", data) for data in (*MALFORMED.values(), *BROKEN_OFF.values())),
    *(("GET", OK + extra) for extra in (b"", b"x", b"HTTP/1.1 200 OK\r\n", OK)),
]


@settings(max_examples=share_of(300))
@given(st.lists(st.tuples(st.sampled_from(RESPONSES), st.sampled_from(["", "HEAD"])), max_size=12))
def test_heads_that_are_known_change_nothing(made: list[tuple[tuple[str, bytes], str]]) -> None:
    """The result is that of a new parser, whatever heads are cached."""
    heads = ResponseHeadCache()
    for (method, data), other in made:
        for _ in range(2):
            known, new = ResponseParser(CAP, heads), ResponseParser(CAP)
            assert result_or_failure(known, other or method, data) == result_or_failure(
                new, other or method, data
            )


def test_a_head_that_is_known_is_not_parsed_again() -> None:
    """The body may differ, but not its length."""
    heads = ResponseHeadCache()
    first = ResponseParser(CAP, heads)
    again = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%b"
    parse(first, "GET", [again % b"ab"])
    assert heads.find(again % b"cd") is not None
    assert heads.find(again % b"c") is None
    assert heads.find(again % b"cde") is None
    status, headers, body, kept = parse(ResponseParser(CAP, heads), "GET", [again % b"cd"])
    assert (status, headers, body, kept) == (200, [(b"content-length", b"2")], b"cd", True)
    with pytest.raises(TransportError, match="larger than 1 bytes"):
        parse(ResponseParser(1, heads), "GET", [again % b"cd"])


@pytest.mark.parametrize(
    ("header", "is_plain"),
    [
        (b"X-RateLimit-Remaining: 4999", True),
        (b"X-RateLimit-Remaining: 0", False),
        (b"Anthropic-RateLimit-Requests-Remaining: 0", False),
        (b'RateLimit: "day";r=9;t=9', False),
        (b"Content-Encoding: br", False),
        (b"Retry-After: 1", True),
        (b"Age: 0", True),
    ],
)
def test_a_known_head_tells_whether_it_asks_for_anything(header: bytes, is_plain: bool) -> None:
    """A quota of which something remains is nothing to act on."""
    heads = ResponseHeadCache()
    data = b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\nab" % header
    parse(ResponseParser(CAP, heads), "GET", [data])
    head = heads.find(data)
    assert head is not None
    assert head.is_plain == is_plain


def test_heads_that_never_come_again_are_forgotten() -> None:
    """A number in each of them does not fill the memory."""
    heads = ResponseHeadCache()
    parser = ResponseParser(CAP, heads)
    for number in range(1000):
        parse(parser, "GET", [b"HTTP/1.1 200 OK\r\nX: %d\r\nContent-Length: 0\r\n\r\n" % number])
    assert repr(heads) == f"<ResponseHeadCache: {1000 % 128} heads>"
