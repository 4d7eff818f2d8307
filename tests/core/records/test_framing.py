"""Bytes become lines: the same for any reads, capped, and with flat memory."""

import tracemalloc
from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.records.framing import Line, LineFramer, Overlong

BOM = b"\xef\xbb\xbf"
NASTY = [b"a", b"bc", b"\n", b"\r", b"\r\n", BOM, *(BOM[i : i + 1] for i in range(3)), b"\0"]
NASTY += ["\u2028".encode(), "\x85".encode(), b"\x0b", b"\x0c", b" ", b"x" * 7]


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in pieces that begin at `cuts`, some of them empty."""
    return [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]


def frame(pieces: list[bytes], max_line: int = 1000) -> list[Line]:
    framer = LineFramer(max_line)
    lines = [line for piece in pieces for line in framer.feed(piece)]
    return lines + framer.finish()


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def lines_of(data: bytes, max_line: int) -> list[Line]:
    """Split a whole input by the specification, regardless of memory and speed."""
    parts = data.split(b"\n")
    if not parts[-1]:
        parts.pop()
    lines: list[Line] = []
    for number, part in enumerate(parts):
        text = part.removeprefix(BOM) if number == 0 else part
        text = text.removesuffix(b"\r")
        lines.append(text if len(text) <= max_line else Overlong(len(part)))
    return lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"a", [b"a"], id="no-final-newline"),
        pytest.param(b"a\n", [b"a"], id="final-newline"),
        pytest.param(b"\n\na\n\n", [b"", b"", b"a", b""], id="blank-lines-are-kept-for-counting"),
        pytest.param(b"a\r\nb\r\n", [b"a", b"b"], id="crlf"),
        pytest.param(b"a\r\r\n", [b"a\r"], id="one-cr-only"),
        pytest.param(b"a\rb\n", [b"a\rb"], id="cr-inside-is-text"),
        pytest.param(b"a\r", [b"a"], id="cr-at-the-end-of-input"),
        pytest.param(BOM + b"a\n" + BOM + b"b\n", [b"a", BOM + b"b"], id="one-byte-order-mark"),
        pytest.param(BOM + BOM + b"a", [BOM + b"a"], id="one-byte-order-mark-of-two"),
        pytest.param(BOM, [b""], id="only-a-byte-order-mark"),
        pytest.param(BOM + b"\r\n", [b""], id="byte-order-mark-and-crlf"),
        pytest.param(BOM[:2] + b"\n", [BOM[:2]], id="part-of-a-byte-order-mark"),
        pytest.param(b"\n" + BOM + b"a", [b"", BOM + b"a"], id="byte-order-mark-on-line-two"),
        pytest.param(b"a\0b\n", [b"a\0b"], id="nul"),
        pytest.param("a\u2028b\x85c\n".encode(), ["a\u2028b\x85c".encode()], id="unicode-breaks"),
        pytest.param(b"a\x0bb\x0cc\x1cd\n", [b"a\x0bb\x0cc\x1cd"], id="ascii-breaks-of-str"),
    ],
)
def test_framer_ends_lines_at_newlines_only(data: bytes, lines: list[Line]) -> None:
    """Only a newline ends a line; CR before it and one byte order mark go, all else stays."""
    assert frame([data]) == lines == lines_of(data, 1000)


DATA = BOM + b'{"a":"\xe2\x80\xa8"}\r\n\r\n12345678\r\n123456789\n' + BOM + b"\r\rz\r"


def test_framer_gives_the_same_lines_for_every_two_cuts() -> None:
    """Each delimiter, the byte order mark and the cap may be split at any byte."""
    expected = lines_of(DATA, 8)
    assert Overlong(9) in expected
    for cuts in combinations_with_replacement(range(len(DATA) + 1), 2):
        assert frame(split_at(DATA, list(cuts)), 8) == expected, cuts


@given(st.lists(st.sampled_from(NASTY), max_size=30).map(b"".join), st.data(), st.integers(0, 9))
def test_framer_gives_the_same_lines_for_any_split(
    data: bytes, draw: st.DataObject, cap: int
) -> None:
    """Any split of any bytes into reads gives what the whole input gives."""
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=8))
    assert frame(split_at(data, cuts), cap) == lines_of(data, cap)
    assert frame(bytewise(data), cap) == lines_of(data, cap)


@pytest.mark.parametrize("before", [b"", BOM], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n"], ids=["end", "lf", "crlf"])
def test_framer_cap_is_exact_whatever_surrounds_the_line(before: bytes, after: bytes) -> None:
    """A line of `max_line` bytes is kept, one more is not; mark and line break do not count."""
    ending = after.removesuffix(b"\n")
    for pieces in (whole, bytewise):
        assert frame(pieces(before + b"x" * 8 + after), 8) == [b"x" * 8]
        size = len(before) + 9 + len(ending)
        assert frame(pieces(before + b"x" * 9 + after), 8) == [Overlong(size)]


@pytest.mark.parametrize("data", [b"x" * 99 + b"\nok\n", b"ok\n" + b"x" * 99 + b"\nok"])
def test_framer_goes_on_after_an_overlong_line(data: bytes) -> None:
    """Lines after an overlong one are framed as usual."""
    for at in range(len(data) + 1):
        lines = frame([data[:at], data[at:]], 8)
        assert lines == lines_of(data, 8)
        assert lines[-1] == b"ok"
        assert lines.count(Overlong(99)) == 1


def test_framer_overlong_line_costs_no_memory() -> None:
    """A 64 MiB line under a cap of 1 MiB never takes more than about the cap."""
    framer = LineFramer(1 << 20)
    tracemalloc.start()
    try:
        for _ in range(1024):
            assert framer.feed(bytes(64 << 10)) == []  # each with memory of its own
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert framer.feed(b"\nnext\n") == [Overlong(64 << 20), b"next"]
    assert peak < 3 << 20


def test_framer_hands_a_line_out_with_its_newline() -> None:
    """A line comes out of the read that ends it, not of the next one."""
    framer = LineFramer(100)
    assert framer.feed(b"a") == []
    assert framer.feed(b"b\r") == []
    assert framer.feed(b"\nc") == [b"ab"]
    assert framer.finish() == [b"c"]
    assert framer.finish() == []


def test_framer_repr_tells_the_bytes_it_holds() -> None:
    """The repr shows the size of the unfinished line, and none of its text."""
    framer = LineFramer(100)
    framer.feed(b"secret")
    assert repr(framer) == "<LineFramer: 6 bytes of an unfinished line>"
