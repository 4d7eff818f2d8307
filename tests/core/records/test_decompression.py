"""Compressed streams are decompressed at every split, across members, and up to any damage."""

import bz2
import functools
import gzip
import lzma
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.records import decompression
from tmux_fanout.core.records.decompression import PIECE, CannotDecompress, Decompressor

TEXT = b"".join(b'{"id": %d, "text": "caf\xc3\xa9 %d"}\n' % (n, n * n) for n in range(12))
MORE = b'{"id": "more"}\n'


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    made: bytes = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return made


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": functools.partial(gzip.compress, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
every_format = pytest.mark.parametrize("name", COMPRESS)


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def feed(decompressor: Decompressor, data: bytes) -> bytes:
    """Return what comes out once `data` is fed."""
    decompressor.feed(data)
    out = b""
    while not decompressor.needs_input:
        out += decompressor.take()
    return out


def undo(pieces: list[bytes]) -> tuple[bytes, str]:
    """Return all that comes out of a stream, and its error or an empty string."""
    decompressor, out = Decompressor(), b""
    try:
        for piece in pieces:
            decompressor.feed(piece)
            while not decompressor.needs_input:
                out += decompressor.take()
        return out + decompressor.finish(), ""
    except CannotDecompress as exc:
        return out, str(exc)


@every_format
def test_decompressor_gives_the_same_for_every_two_cuts(name: str) -> None:
    """Two members in a row, cut at any two bytes, are one text."""
    data = COMPRESS[name](b"1\n2\n") + COMPRESS[name](b"3\n")
    for cuts in combinations_with_replacement(range(len(data) + 1), 2):
        assert undo(split_at(data, list(cuts))) == (b"1\n2\n3\n", ""), cuts


@every_format
def test_decompressor_takes_members_in_a_row(name: str) -> None:
    """Many small members, empty ones among them, and zero bytes after them as padding."""
    members = [TEXT, b"", *[MORE] * 300, b""]
    data = b"".join(map(COMPRESS[name], members)) + bytes(8)
    for pieces in ([data], bytewise(data)):
        assert undo(pieces) == (b"".join(members), "")


@every_format
def test_decompressor_tells_a_stream_that_is_cut_short(name: str) -> None:
    """A stream cut at any byte gives all data before the cut, and then one error."""
    first, second = COMPRESS[name](TEXT), COMPRESS[name](MORE)
    data = first + second
    known = min(n for n in range(len(data)) if undo([data[:n]])[1])
    seen = b""
    for length in range(known, len(data)):
        out, error = undo([data[:length]])
        assert out.startswith(seen), length
        assert (TEXT + MORE).startswith(out), length
        assert error == ("" if length == len(first) else f"the {name} data is cut short")
        assert undo(bytewise(data[:length])) == (out, error)
        seen = out
    assert seen == TEXT + MORE  # only a checksum was missing


def test_decompressor_leaves_nothing_behind_in_zlib() -> None:
    """A cut stream of long repeats gives all its data, wherever a piece fills up."""
    data = gzip.compress(bytes(3 * PIECE))
    for length in range(2, len(data)):
        held = zlib.decompressobj(wbits=31).decompress(data[:length])
        assert undo([data[:length]])[0] == held


@every_format
def test_decompressor_gives_all_that_stands_before_damage(name: str) -> None:
    """Whichever byte is damaged, all data before it comes out, however it is read."""
    data = COMPRESS[name](TEXT) + COMPRESS[name](MORE)
    for at in range(10, len(data)):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        before, _ = undo([data[:at]])
        for pieces in ([damaged], bytewise(damaged)):
            out, error = undo(pieces)
            assert out.startswith(before), at
            assert out == TEXT + MORE or error, at


@every_format
@pytest.mark.parametrize("garbage", [b"garbage", b"\n", b"\0\0x", b"\x1f\x8b\x07 of no kind" * 9])
def test_decompressor_refuses_garbage_after_a_member(name: str, garbage: bytes) -> None:
    """Bytes that are neither a member nor padding are an error, after all data before them."""
    for pieces in ([COMPRESS[name](TEXT) + garbage], bytewise(COMPRESS[name](TEXT) + garbage)):
        out, error = undo(pieces)
        assert out == TEXT
        assert f"{name} data" in error


@every_format
def test_decompressor_refuses_a_wrong_checksum_after_the_data(name: str) -> None:
    """All of the data comes out before the checksum is found wrong."""
    data = bytearray(COMPRESS[name](TEXT))
    data[{"gzip": -8, "bzip2": -2, "xz": -14, "zstd": -4}[name]] ^= 0x40
    for pieces in ([bytes(data)], bytewise(bytes(data))):
        out, error = undo(pieces)
        assert out == TEXT
        assert error.startswith(f"damaged {name} data (")
        assert error.isprintable()


@pytest.mark.parametrize(
    ("reads", "given"),
    [
        ([b"{", b'"a":1}\n'], [b"{", b'"a":1}\n']),
        ([b"", b"x"], [b"", b"x"]),
        ([b"B", b"Z", b"h9", b"\n"], [b"", b"", b"", b"BZh9\n"]),
        ([b"BZh91AY&S", b"X"], [b"", b"BZh91AY&SX"]),
        ([b"(", b"\xb5\n"], [b"", b"(\xb5\n"]),
        ([b"\xfd7z", b"\n"], [b"", b"\xfd7z\n"]),
        ([b"P*M", b"\n"], [b"", b"P*M\n"]),
        ([b"\x1f", b"\n"], [b"", b"\x1f\n"]),
    ],
)
def test_decompressor_passes_plain_bytes_on_at_once(reads: list[bytes], given: list[bytes]) -> None:
    """Only what may still begin a compressed stream is held back; it never has a line break."""
    decompressor = Decompressor()
    assert [feed(decompressor, data) for data in reads] == given
    assert decompressor.finish() == b""


@pytest.mark.parametrize("data", [b"", b"B", b"BZh9", b"\x1f", b"(\xb5", b"\xfd7zXZ"])
def test_decompressor_gives_what_was_too_short_to_tell(data: bytes) -> None:
    """A stream that ends before it can be recognised is plain."""
    assert undo([data]) == undo(bytewise(data)) == (data, "")


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_decompressor_passes_text_untouched(data: bytes, cuts: list[int]) -> None:
    """Data that begins with a character that begins no format is plain."""
    data = b"{" + data
    assert undo(split_at(data, [min(cut, len(data)) for cut in cuts])) == (data, "")


def test_decompressor_gives_a_flushed_line_at_once() -> None:
    """A compressed trickle is no later than a plain one (gzip, flushed after each line)."""
    maker, decompressor = zlib.compressobj(wbits=31), Decompressor()
    for n in range(5):
        line = b"line %d\n" % n
        read = maker.compress(line) + maker.flush(zlib.Z_SYNC_FLUSH)
        assert feed(decompressor, read) == line
    assert feed(decompressor, maker.flush()) == decompressor.finish() == b""


def test_decompressor_gives_a_flushed_block_of_zstd_at_once() -> None:
    """A flushed block of zstd comes out at once, even after a skippable frame."""
    zstandard = pytest.importorskip("zstandard")
    maker, decompressor = zstandard.ZstdCompressor().compressobj(), Decompressor()
    assert feed(decompressor, b"\x5a*M\x18\x03\0\0\0abc") == b""
    for n in range(5):
        line = b"line %d\n" % n
        read = maker.compress(line) + maker.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        assert feed(decompressor, read) == line
    assert feed(decompressor, maker.flush()) == decompressor.finish() == b""


@every_format
def test_decompressor_expands_by_bounded_pieces(name: str) -> None:
    """However much a read expands to, pieces are bounded and memory is flat."""
    bomb = COMPRESS[name](bytes(32 << 20))
    decompressor, size = Decompressor(), 0
    tracemalloc.start()
    try:
        for at in range(0, len(bomb), PIECE):
            decompressor.feed(bomb[at : at + PIECE])
            while not decompressor.needs_input:
                piece = decompressor.take()
                assert len(piece) <= 6 * PIECE
                size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decompressor.finish() == b""
    assert size == 32 << 20
    assert peak < 12 << 20  # xz has a dictionary of 8 MiB


def test_decompressor_says_how_to_get_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without zstandard, zstd data is recognised, and the error says what to install."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    why = "it is compressed with zstd; pip install 'tmux-fanout[zstd]'"
    assert undo([b"\x28\xb5\x2f\xfd\x20"]) == undo([b"\x50*M\x18"]) == (b"", why)


def test_decompressor_bounds_the_memory_that_a_stream_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dictionary that is too large is refused, not allocated."""
    monkeypatch.setattr(decompression, "MAX_MEMORY", 1 << 20)
    assert undo([lzma.compress(TEXT)]) == (b"", "damaged xz data (memory usage limit exceeded)")


def test_decompressor_repr_tells_the_format() -> None:
    """The repr names the format."""
    decompressor = Decompressor()
    assert repr(decompressor) == "<Decompressor: undecided>"
    decompressor.feed(b"{")
    assert repr(decompressor) == "<Decompressor: plain>"
    other = Decompressor()
    other.feed(gzip.compress(b""))
    assert repr(other) == "<Decompressor: gzip>"
