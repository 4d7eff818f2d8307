"""Compressed requests, and what an answer says of them."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.requests.compression.gzip import (
    compress,
    compressed_head,
    is_compressed,
    is_verdict,
    may_be_refused_coding,
    plain,
)

ORIGIN = Origin("http", "a.test", 80)


def head(*headers: tuple[str, str]) -> RequestHead:
    return RequestHead("POST", ORIGIN, "/", headers, is_shared=True)


@given(st.binary(max_size=3000))
def test_compress_is_gzip_and_deterministic(body: bytes) -> None:
    """No time is in it (RFC 1952, section 2.3), and what was compressed can be had back."""
    coded = compress(body)
    assert coded[:3] == b"\x1f\x8b\x08"
    assert coded[4:8] == bytes(4)
    assert coded == compress(bytes(bytearray(body)))
    assert zlib.decompress(coded, 31) == body
    coded_head = compressed_head(head(("A", "b")))
    assert coded_head is not None
    request = Request(coded_head, coded)
    assert is_compressed(request)
    restored = plain(request)
    assert (restored.body, restored.head.headers) == (body, (("A", "b"),))
    assert not is_compressed(restored)


@pytest.mark.parametrize(
    ("headers", "is_coded"),
    [
        ([("Content-Type", "application/json")], True),
        ([("content-encoding", "identity")], False),
        ([("CONTENT-ENCODING", "gzip")], False),
        ([("content-type", "Multipart/Form-Data; boundary=x")], False),
    ],
)
def test_compressed_head(headers: list[tuple[str, str]], is_coded: bool) -> None:
    """The header stands last, after those of the endpoint, and the head stays shared."""
    found = compressed_head(head(*headers))
    assert (found is not None) == is_coded
    if found:
        assert found.headers == (*headers, ("Content-Encoding", "gzip"))
        assert found.is_shared
    given = Request(head(*headers), b"")
    assert not is_compressed(given)


@pytest.mark.parametrize(
    ("status", "accepted", "expected"),
    [
        (415, [], True),
        (415, [b"identity"], True),
        (415, [b""], True),
        (415, [b"br, deflate"], True),
        (415, [b"br, GZIP"], False),
        (415, [b"br", b"gzip;q=0.5"], False),
        (415, [b"*"], False),
        (415, [b"gzip; q=0"], True),
        (415, [b"gzip;q=0.000"], True),
        (400, [], False),
        (200, [], False),
    ],
)
def test_may_be_refused_coding(status: int, accepted: list[bytes], expected: bool) -> None:
    """RFC 7694, section 3: Accept-Encoding in a 415 is about requests."""
    answer = Response(status, [(b"accept-encoding", each) for each in accepted], b"", 0)
    assert may_be_refused_coding(answer) is expected


def test_may_be_refused_coding_not_after_a_redirect() -> None:
    """The request before was processed, and this answer is not to it."""
    assert not may_be_refused_coding(Response(415, (), b"", 0, answered=True))


@pytest.mark.parametrize(
    ("status", "expected"), [(200, True), (404, True), (422, True), (429, False), (503, False)]
)
def test_is_verdict(status: int, expected: bool) -> None:
    """A server that is busy has not read the request."""
    assert is_verdict(Response(status, (), b"", 0)) is expected
