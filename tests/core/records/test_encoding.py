"""UTF-16 with a byte order mark is converted as it is read, and nothing else is."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.records.encoding import CutShort, Transcoder


def transcode(pieces: list[bytes]) -> bytes:
    transcoder = Transcoder()
    data = b"".join([transcoder.feed(piece) for piece in pieces])
    return data + transcoder.finish()


@given(st.text(max_size=20), st.sampled_from(["le", "be"]), st.integers(1, 5))
def test_utf_16_becomes_utf_8(text: str, order: str, step: int) -> None:
    """Any text comes back, from reads of any size, with its byte order mark."""
    data = ("\ufeff" + text).encode(f"utf-16-{order}")
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert transcode(pieces) == codecs.BOM_UTF8 + text.encode()


@given(st.binary(max_size=8).filter(lambda data: data[:2] not in (b"\xff\xfe", b"\xfe\xff")))
def test_anything_else_passes(data: bytes) -> None:
    """Bytes without such a mark stay as they are."""
    assert transcode([data]) == transcode([data[i : i + 1] for i in range(len(data))]) == data


def test_half_a_character_costs_its_line_only() -> None:
    """What cannot be UTF-8 becomes bytes that are not, so only the line with them is invalid."""
    data = "\ufeffa\n\ud800\nb\n".encode("utf-16-le", errors="surrogatepass")
    good, bad, rest, _ = transcode([data]).split(b"\n")
    assert (good, rest) == (codecs.BOM_UTF8 + b"a", b"b")
    with pytest.raises(UnicodeDecodeError):
        bad.decode()


def test_text_that_ends_within_a_character_is_an_error() -> None:
    """All that precedes it comes out."""
    transcoder = Transcoder()
    assert transcoder.feed(b"\xff\xfea\0b") == codecs.BOM_UTF8 + b"a"
    with pytest.raises(CutShort, match="the UTF-16 text is cut short"):
        transcoder.finish()


def test_repr_tells_the_encoding() -> None:
    """The repr shows no data."""
    transcoder = Transcoder()
    assert repr(transcoder) == "<Transcoder: as it is>"
    transcoder.feed(b"\xfe\xff")
    assert repr(transcoder) == "<Transcoder: UTF-16>"
