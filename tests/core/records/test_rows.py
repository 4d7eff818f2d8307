"""Rows of tables with quoted fields: where they end, however reads cut them, and stray quotes."""

from __future__ import annotations

import csv
import io
import tracemalloc
from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.records.dialect import Dialect
from tmux_fanout.core.records.framing import Line, Overlong
from tmux_fanout.core.records.rows import RowFramer

BOM = b"\xef\xbb\xbf"
NASTY = [b"a", b"bc", b",", b"\t", b'"', b'""', b'","', b"\n", b"\r\n", b" ", "é".encode(), b"\0"]


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def frame(pieces: list[bytes], max_line: int = 1000, delimiter: str = ",") -> list[Line]:
    framer = RowFramer(max_line, Dialect(delimiter, has_quotes=True))
    rows = [row for piece in pieces for row in framer.feed(piece)]
    return rows + framer.finish()


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"a,b\nc,d", [b"a,b", b"c,d"], id="no-final-newline"),
        pytest.param(b"a,b\r\nc,d\r\n", [b"a,b", b"c,d"], id="crlf"),
        pytest.param(b"\n\r\n\na\n", [b"", b"", b"", b"a"], id="blank-lines-for-counting"),
        pytest.param(b'"a\nb",c\nd\n', [b'"a\nb",c', b"d"], id="quoted-newline"),
        pytest.param(b'a,"b\r\nc"\r\nd\n', [b'a,"b\r\nc"', b"d"], id="quoted-crlf-stays"),
        pytest.param(b'"a""\nb"\nc\n', [b'"a""\nb"', b"c"], id="doubled-quote"),
        pytest.param(b'"""",\n""\nc\n', [b'"""",', b'""', b"c"], id="only-quotes"),
        pytest.param(b'"a","\n","b\n"\nc\n', [b'"a","\n","b\n"', b"c"], id="quoted-fields"),
        pytest.param(b'"a"",""b\n"\nc\n', [b'"a"",""b\n"', b"c"], id="doubled-around-a-comma"),
        pytest.param(b'5" disk\n6" disk\n', [b'5" disk', b'6" disk'], id="quote-inside-is-text"),
        pytest.param(b'a "b\n', [b'a "b'], id="quote-after-a-blank-is-text"),
        pytest.param(b'"a"b"\nc\n', [b'"a"b"', b"c"], id="text-after-a-closing-quote"),
        pytest.param(b'"a"b,"\n"\nc\n', [b'"a"b,"', b'"', b"c"], id="and-then-a-quoted-field"),
        pytest.param(b'a\n"b\nc\n', [b"a", b'"b', b"c"], id="quote-that-does-not-end"),
        pytest.param(b'1,"a\n2,"b"\n3,c\n', [b'1,"a', b'2,"b"', b"3,c"], id="stray-quote"),
        pytest.param(b'1,"a\n2,""\n3,"b"', [b'1,"a', b'2,""', b'3,"b"'], id="then-an-empty-field"),
        pytest.param(b'"a\n"b\n"c\n', [b'"a', b'"b', b'"c'], id="stray-quotes-in-a-row"),
        pytest.param(b'"a\n"b","c\nd"\n', [b'"a', b'"b","c\nd"'], id="then-two-lines"),
        pytest.param(b'"a\nb\r\n5" c\n', [b'"a', b"b", b'5" c'], id="then-text"),
        pytest.param(BOM + b'"a\nb"\nc', [b'"a\nb"', b"c"], id="byte-order-mark-and-quote"),
        pytest.param(b'\xef"a\nb"', [b'\xef"a', b'b"'], id="part-of-a-byte-order-mark"),
        pytest.param(b'a\n' + BOM + b'"b\nc', [b"a", BOM + b'"b', b"c"], id="mark-on-line-two"),
        pytest.param(b'sep=;\na,"b;"c\nd"', [b"sep=;", b'a,"b;"c\nd"'], id="delimiter"),
        pytest.param(BOM + b'"SEP=;"\r\n;"\n"', [b'"SEP=;"', b';"\n"'], id="after-a-mark"),
        pytest.param(b'a\nsep=;\n;"\n', [b"a", b"sep=;", b';"'], id="on-line-one-only"),
    ],
)  # fmt: skip
def test_row_framer_ends_rows_outside_quotes(data: bytes, rows: list[Line]) -> None:
    """A line break ends a row unless a quote is open, wherever the reads end."""
    for cuts in combinations_with_replacement(range(len(data) + 1), 2):
        assert frame(split_at(data, list(cuts))) == rows, cuts
    assert frame(bytewise(data)) == rows


@given(
    st.lists(st.sampled_from(NASTY), max_size=30).map(b"".join),
    st.sampled_from([",", "\t"]),
    st.data(),
    st.integers(0, 25),
)
def test_row_framer_gives_the_same_rows_for_any_split(
    data: bytes, delimiter: str, draw: st.DataObject, cap: int
) -> None:
    """Any split of any bytes gives the same rows, overlong and broken ones included."""
    whole = frame([data], cap, delimiter)
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=8))
    assert frame(split_at(data, cuts), cap, delimiter) == whole
    assert frame(bytewise(data), cap, delimiter) == whole


@given(st.lists(st.sampled_from(NASTY), max_size=30).map(b"".join), st.sampled_from([",", "\t"]))
def test_row_framer_agrees_with_the_csv_module(data: bytes, delimiter: str) -> None:
    """The rows of a well-formed file are those that the csv module finds; no other loses a byte."""
    rows = frame([data], delimiter=delimiter)
    assert b"\n".join(row for row in rows if isinstance(row, bytes)).replace(b"\r", b"") in (
        data.replace(b"\r", b"").removesuffix(b"\n"),
        data.replace(b"\r", b""),
    )
    try:
        together = list(
            csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter, strict=True)
        )
    except csv.Error:
        return
    apart = [
        fields
        for row in rows
        if isinstance(row, bytes)
        for fields in csv.reader([row.decode()], delimiter=delimiter, strict=True)
    ]
    assert [row for row in apart if row] == [row for row in together if row]


TEXTS = st.text("abc ", min_size=1, max_size=5)
WHOLE = st.lists(
    st.tuples(
        TEXTS, TEXTS | TEXTS.map('"{}"'.format) | st.sampled_from(['"a\nb"', '""', '"a""b"'])
    ),
    min_size=1,
    max_size=8,
)


@given(WHOLE, st.data(), st.sampled_from(['{},"{}', '"{},{}', '{},"{}"x', '{},"{}" {}"']))
def test_stray_quote_costs_its_own_row_only(
    rows: list[tuple[str, str]], draw: st.DataObject, broken: str
) -> None:
    """All other rows come out as they are, those over several lines among them."""
    lines = [f"{a},{b}" for a, b in rows]
    place = draw.draw(st.integers(0, len(rows)))
    lines.insert(place, broken.format("7", "x y", "z"))
    data = "".join(f"{line}\n" for line in lines).encode()
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=3))
    assert frame(split_at(data, cuts)) == [line.encode() for line in lines]


@pytest.mark.parametrize(
    "row", [b'1,"a\n', b'"""\n', b'5",x,"y\n', b'"x\n""\n', b'a,"b"c,"\n', b'"a",\n"'], ids=repr
)
@pytest.mark.parametrize("max_line", [1000, 100_000])
def test_broken_rows_are_read_in_linear_time(row: bytes, max_line: int) -> None:
    """A scan examines no byte more than a few times, however the quotes stand."""
    scanned = 0

    class Counting(RowFramer):
        def _scan_row(self, data: bytes, at: int, *args: object) -> tuple[int, object]:  # type: ignore[override]
            nonlocal scanned
            end, state = super()._scan_row(data, at, *args)  # type: ignore[arg-type]
            scanned += end - at
            return end, state

    framer = Counting(max_line, Dialect(",", has_quotes=True))
    data = row * ((512 << 10) // len(row))
    for start in range(0, len(data), 64 << 10):
        framer.feed(data[start : start + (64 << 10)])
    framer.finish()
    assert scanned <= 4 * len(data)


def test_quote_that_never_ends_takes_bounded_memory() -> None:
    """The rows after it are kept up to the maximum, and then read."""
    framer = RowFramer(1 << 20, Dialect(",", has_quotes=True))
    assert framer.feed(b'a,b\n1,"\n') == [b"a,b"]
    found = 0
    tracemalloc.start()
    try:
        for _ in range(64):
            rows = framer.feed(b"12345,7\n" * (8 << 10))
            found += len(rows)
            del rows
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == 1 + (512 << 10)
    assert framer.finish() == []
    assert peak < 24 << 20


def test_row_past_the_maximum_ends_with_its_line() -> None:
    """A line that is too long is dropped, even within quotes; one over several lines is cut."""
    assert frame([b'a,"' + b"x" * 100 + b'\nb"\nc\n'], 20) == [Overlong(103), b'b"', b"c"]
    assert frame([b'a,"' + b"x\n" * 30 + b'"\nc\n'], 20) == [b'a,"x', *[b"x"] * 29, b'"', b"c"]


def test_repr_tells_the_state() -> None:
    """The repr shows progress, and no data."""
    framer = RowFramer(100, Dialect(",", has_quotes=True))
    framer.feed(b'"secret that is long')
    assert repr(framer) == "<RowFramer: 20 bytes of an unfinished line>"
