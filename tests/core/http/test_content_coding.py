"""Content codings: decoded exactly, within a limit, and never by halves."""

import gzip
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.content_coding import TooLarge, Undecodable, decode_content

TEXT = b'{"score": 0.9, "text": "' + b"overloaded " * 50 + b'"}'
CAP = 1 << 20


def raw_deflate(data: bytes, level: int = 6) -> bytes:
    encoder = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return encoder.compress(data) + encoder.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (TEXT, " , ,"),
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), "GZip"),
        (gzip.compress(TEXT), "x-gzip"),
        (gzip.compress(TEXT[:100]) + gzip.compress(b"") + gzip.compress(TEXT[100:]), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (zlib.compress(TEXT, 0), "deflate"),
        (raw_deflate(TEXT), "deflate"),
        (raw_deflate(TEXT, 0), "deflate"),
        (gzip.compress(zlib.compress(TEXT)), "deflate, gzip"),
        (gzip.compress(gzip.compress(TEXT)), "gzip,identity,\tx-gzip "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decode_content_undoes_the_codings_last_one_first(body: bytes, codings: str) -> None:
    """Each coding in each of its forms, several members, and stacks give the body."""
    assert decode_content(body, codings, CAP) == TEXT


def test_decode_content_takes_no_bare_deflate_stream_for_zlib() -> None:
    """A bare stream is recognised even if half of it resembles a zlib header."""
    stored = struct.pack("<BHH", 0x08, 4, 0xFFFF - 4) + b"data" + b"\x01\0\0\xff\xff"
    assert (stored[0] << 8 | stored[1]) % 31 != 0
    assert decode_content(stored, "deflate", CAP) == b"data"
    texts = (b"%d" % number for number in range(1000))
    streams = ((text, raw_deflate(text)) for text in texts)
    text, stream = next((t, s) for t, s in streams if (s[0] << 8 | s[1]) % 31 == 0)
    assert stream[0] & 15 != 8
    assert decode_content(stream, "deflate", CAP) == text


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (gzip.compress(TEXT) + b"\0", "gzip"),
        (gzip.compress(TEXT) + bytes(100_000), "x-gzip"),
        (gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]) + bytes(3), "gzip"),
        (gzip.compress(gzip.compress(TEXT) + bytes(9)) + bytes(9), "gzip, gzip"),
        (raw_deflate(TEXT) + zlib.adler32(TEXT).to_bytes(4, "big"), "deflate"),
        (gzip.compress(TEXT) + b"junk", "gzip"),
        (gzip.compress(TEXT) + b"\r\n", "gzip"),
        (gzip.compress(TEXT) + b"\x1f junk", "gzip"),
        (gzip.compress(TEXT) + bytes(9) + b"junk", "gzip"),
        (gzip.compress(TEXT) + b"junk" * 20_000, "gzip"),
        (gzip.compress(TEXT[:9]) + bytes(9) + gzip.compress(TEXT[9:]) + b"junk", "gzip"),
        (gzip.compress(gzip.compress(TEXT) + b"junk") + b"junk", "gzip, gzip"),
        (raw_deflate(TEXT) + bytes(1), "deflate"),
        (raw_deflate(TEXT) + b"junk" * 9, "deflate"),
        (zlib.compress(TEXT) + b"\0", "deflate"),
        (zlib.compress(TEXT) + b"junk" * 9, "deflate"),
        (TEXT, "none"),
        (TEXT, "utf-8"),
        (TEXT, "UTF-8, binary"),
        (gzip.compress(TEXT), "None, gzip"),
        (gzip.compress(TEXT), "iso-8859-1, gzip"),
        (gzip.compress(TEXT), " ,gzip,"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decode_content_takes_odd_ends_and_names(body: bytes, codings: str) -> None:
    """What follows the checksum is no part of the body (nodejs/node#7502), and what is not the name
    of a coding is none; browsers see both alike.
    """
    assert decode_content(body, codings, CAP) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, deflate", "none", "x-gzip"])
def test_decode_content_of_nothing_is_nothing(coding: str) -> None:
    """An empty body is empty whatever the header says; see rest-assured/rest-assured#814,
    http4k/http4k#338 and grafana/k6#3438.
    """
    assert decode_content(b"", coding, CAP) == b""


GZIPPED = gzip.compress(TEXT, mtime=0)
ZLIBBED = zlib.compress(TEXT)


@pytest.mark.parametrize(
    ("body", "codings", "why"),
    [
        (b"x", "br", "content coding 'br', which was not asked for"),
        (b"x", "gzip, sdch", "content coding 'sdch', which was not asked for"),
        (b"x", "ZSTD;q=1", "content coding 'zstd;q=1', which"),
        (GZIPPED, "gzip," * 5, "5 content codings on top of each other"),
        (b"not compressed", "gzip", "damaged gzip data"),
        (GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:], "gzip", "damaged gzip data"),
        (GZIPPED[:-4] + b"\0\0\0\0", "gzip", "damaged gzip data"),
        (bytes(9), "gzip", "damaged gzip data"),
        (GZIPPED + GZIPPED[:10], "gzip", "gzip data cut short"),
        (GZIPPED + GZIPPED[:1], "gzip", "gzip data cut short"),
        (GZIPPED + bytes(3) + GZIPPED[:-1], "gzip", "gzip data cut short"),
        (GZIPPED + GZIPPED[:9] + b"\xff" * 9, "gzip", "damaged gzip data"),
        (ZLIBBED[:-4] + b"\0\0\0\0", "deflate", "damaged deflate data"),
        (ZLIBBED, "gzip, deflate", "damaged gzip data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decode_content_refuses_what_is_damaged(body: bytes, codings: str, why: str) -> None:
    """Damaged or cut data, or that of another coding, is never returned as a body."""
    with pytest.raises(Undecodable, match=why):
        decode_content(body, codings, CAP)


@pytest.mark.parametrize(
    ("body", "codings"),
    [(GZIPPED, "gzip"), (ZLIBBED, "deflate"), (raw_deflate(TEXT), "deflate")],
    ids=["gzip", "zlib", "raw-deflate"],
)
def test_decode_content_refuses_a_stream_cut_at_any_byte(body: bytes, codings: str) -> None:
    """Wherever it is cut, the part before the cut is not the body."""
    for size in range(1, len(body)):
        with pytest.raises(Undecodable):
            decode_content(body[:size], codings, CAP)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [0, 1, 1000, 16 << 10, 100_000])
def test_decode_content_cap_is_exact(coding: str, size: int) -> None:
    """A body of exactly the limit passes, one more byte is too large."""
    encode = ENCODERS[coding]
    assert decode_content(encode(bytes(size)), coding, size) == bytes(size)
    with pytest.raises(TooLarge):
        decode_content(encode(bytes(size + 1)), coding, size)


def test_decode_content_cap_counts_all_members() -> None:
    """The limit applies to all members together."""
    half = gzip.compress(bytes(500))
    assert len(decode_content(half * 2, "gzip", 1000)) == 1000
    with pytest.raises(TooLarge):
        decode_content(half * 2, "gzip", 999)


def test_decode_content_cap_holds_between_codings() -> None:
    """A bomb in the inner coding is stopped at the limit, long before its end."""
    bomb = gzip.compress(gzip.compress(bytes(50 << 20)))
    with pytest.raises(TooLarge):
        decode_content(bomb, "gzip, gzip", 10_000)


def test_decode_content_does_not_copy_the_rest_for_each_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """zlib copies what follows a member, so members are fed in small steps."""
    fed = []

    class Watched:
        def __init__(self, wbits: int) -> None:
            self._decoder = decompressobj(wbits)

        def __getattr__(self, name: str) -> object:
            return getattr(self._decoder, name)

        def decompress(self, data: bytes, max_length: int) -> bytes:
            fed.append(len(data))
            piece: bytes = self._decoder.decompress(data, max_length)
            return piece

    decompressobj = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Watched)
    assert decode_content(gzip.compress(b"", mtime=0) * 9_000, "gzip", 1) == b""
    assert max(fed) <= 64 << 10


def test_decode_content_refuses_a_flood_of_members() -> None:
    """A body of empty members is refused before it takes noticeable time."""
    flood = gzip.compress(b"", mtime=0) * 10_001
    assert decode_content(flood[:-20], "gzip", 1) == b""
    with pytest.raises(Undecodable, match="more than 10000 members of gzip data"):
        decode_content(flood, "gzip", 1)


@given(
    st.binary(max_size=300) | st.binary(max_size=30).map(lambda data: data * 2000),
    st.lists(st.sampled_from(sorted(ENCODERS)), max_size=4),
)
def test_decode_content_undoes_what_was_done(data: bytes, codings: list[str]) -> None:
    """Any data survives any stack of codings."""
    body = data
    for coding in codings:
        body = ENCODERS[coding](body)
    assert decode_content(body, ", ".join(codings), CAP) == data


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "deflate, gzip"]))
def test_decode_content_of_junk_raises_its_own_errors_only(body: bytes, codings: str) -> None:
    """Arbitrary bytes give a body within the limit, or one of the two errors."""
    with suppress(Undecodable, TooLarge):
        assert len(decode_content(body, codings, 50)) <= 50
