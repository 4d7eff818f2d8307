"""CSV and TSV: bytes become rows, however reads cut them, and rows become objects."""

import csv
import io
import json
import tracemalloc
from itertools import combinations_with_replacement, pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.records.csv import BadHeader, RowFramer, Table
from tmux_fanout.core.records.framing import Line, Overlong
from tmux_fanout.core.records.parser import InputFormat, Record, RecordParser, framer_for

BOM = b"\xef\xbb\xbf"
NASTY = [b"a", b"bc", b",", b"\t", b'"', b'""', b'","', b"\n", b"\r\n", b" ", "é".encode(), b"\0"]
DELIMITER: dict[InputFormat, str] = {"csv": ",", "tsv": "\t"}


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def frame(pieces: list[bytes], max_line: int = 1000, delimiter: str = ",") -> list[Line]:
    framer = RowFramer(max_line, delimiter)
    rows = [row for piece in pieces for row in framer.feed(piece)]
    return rows + framer.finish()


def read(pieces: list[bytes], form: InputFormat = "csv", max_line: int = 1000) -> list[Record]:
    framer, parser = framer_for(form, max_line), RecordParser(form, max_line)
    records = [record for piece in pieces for record in parser.parse(framer.feed(piece))]
    return records + parser.parse(framer.finish())


def values(data: bytes, form: InputFormat = "csv") -> list[object]:
    records = read([data], form)
    assert all(record.error is None for record in records)
    return [json.loads(record.json) for record in records]


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
        pytest.param(b'"a"b,"\n"\nc\n', [b'"a"b,"\n"', b"c"], id="and-then-a-quoted-field"),
        pytest.param(b'a\n"b\nc\n', [b"a", b'"b\nc\n'], id="quote-that-does-not-end"),
        pytest.param(BOM + b'"a\nb"\nc', [b'"a\nb"', b"c"], id="byte-order-mark-and-quote"),
        pytest.param(b'\xef"a\nb"', [b'\xef"a\nb"'], id="part-of-a-byte-order-mark"),
        pytest.param(b'a\n' + BOM + b'"b\nc', [b"a", BOM + b'"b', b"c"], id="mark-on-line-two"),
    ],
)  # fmt: skip
def test_row_framer_ends_rows_outside_quotes(data: bytes, rows: list[Line]) -> None:
    """A line break ends a row unless a quote is open, wherever the reads end."""
    for cuts in combinations_with_replacement(range(len(data) + 1), 2):
        assert frame(split_at(data, list(cuts))) == rows, cuts
    assert frame(bytewise(data)) == rows


@given(
    st.lists(st.sampled_from(NASTY), max_size=30).map(b"".join),
    st.sampled_from(sorted(DELIMITER)),
    st.data(),
    st.integers(0, 20),
)
def test_row_framer_gives_the_same_rows_for_any_split(
    data: bytes, form: InputFormat, draw: st.DataObject, cap: int
) -> None:
    """Any split of any bytes gives the same rows, overlong ones included."""
    whole = frame([data], cap, DELIMITER[form])
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=8))
    assert frame(split_at(data, cuts), cap, DELIMITER[form]) == whole
    assert frame(bytewise(data), cap, DELIMITER[form]) == whole


@given(st.lists(st.sampled_from(NASTY), max_size=30).map(b"".join), st.sampled_from([",", "\t"]))
def test_row_framer_agrees_with_the_csv_module(data: bytes, delimiter: str) -> None:
    """Read row by row or all at once, the csv module finds the same fields."""
    rows = frame([data], delimiter=delimiter)
    apart = [
        fields
        for row in rows
        if isinstance(row, bytes)
        for fields in csv.reader([row.decode()], delimiter=delimiter)
    ]
    together = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)
    assert [row for row in apart if row] == [row for row in together if row]


CELLS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", " ", '"', '""', "a,b", "a\tb", "a\nb", "a\r\nb", "\r", "\n", "5\" disk", "é", "\0", "0.10"]
)  # fmt: skip
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), max_size=6)


@given(st.data(), st.sampled_from(["csv", "tsv"]), st.integers(2, 4), st.booleans())
def test_rows_of_the_csv_module_come_back(
    draw: st.DataObject, form: InputFormat, width: int, quoted: bool
) -> None:
    """What Python's csv module writes is read as it was, from any split."""
    usable = NAMES.filter(lambda name: bool(name.strip()))
    names = draw.draw(st.lists(usable, min_size=width, max_size=width, unique=True))
    rows = draw.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6))
    file = io.StringIO(newline="")
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=DELIMITER[form], quoting=quoting).writerows([names, *rows])
    data = file.getvalue().encode()
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=6))
    for pieces in ([data], split_at(data, cuts), bytewise(data)):
        records = read(pieces, form)
        assert [record.error for record in records] == [None] * len(rows)
        assert [json.loads(record.json) for record in records] == [
            dict(zip(names, row)) for row in rows
        ]
        assert [list(json.loads(record.json)) for record in records] == [names] * len(rows)


def test_rows_are_objects_of_strings_in_the_order_of_the_header() -> None:
    """Values stay strings, whatever they look like; raw is the row as it was read."""
    data = b'\xef\xbb\xbf"z",a,"m n"\r\n1,"x ""y"", z",\r\n007,"two\r\nlines",null\r\n'
    assert read([data]) == [
        Record(0, b'1,"x ""y"", z",', b'{"z":"1","a":"x \\"y\\", z","m n":""}'),
        Record(1, b'007,"two\r\nlines",null', b'{"z":"007","a":"two\\r\\nlines","m n":"null"}'),
    ]


def test_rows_of_tabs_are_rows_and_blank_lines_are_not() -> None:
    """In TSV a tab separates fields, so a line of tabs is a row of empty fields."""
    data = b"\n \na\tb\n\n \r\n\t\n1\t2, 3\n"
    assert values(data, "tsv") == [{"a": "", "b": ""}, {"a": "1", "b": "2, 3"}]
    assert values(b'a\n\n  \n\t\n""\n') == [{"a": ""}]
    assert read([b"\n \r\n"]) == read([b"a,b\n"]) == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"1", "1 field, but the header names 2"),
        (b"1,2,3", "3 fields, but the header names 2"),
        (b'1,"2', "not CSV: a quoted field does not end"),
        (b'1,"2\n3,4\n', "not CSV: a quoted field does not end"),
        (b'"1"2,3', "not CSV: a closing quote is followed by text"),
        (b"1\r2,3", "not CSV: a carriage return stands outside quotes"),
        (b"1,\xff", "not UTF-8: invalid start byte at byte 2"),
    ],
)
def test_row_that_does_not_fit_is_one_invalid_record(row: bytes, why: str) -> None:
    """An invalid row keeps its index and bytes, and the message names the line and the fault."""
    good, bad = read([b'a,b\n"x\ny",z\n\n' + row])
    assert good.error is None
    assert bad == Record(1, row, b"", ErrorInfo("invalid_record", f"line 5: {why}"))
    assert why.isprintable()


def test_rows_are_counted_by_the_line_they_begin_on() -> None:
    """Line breaks inside quotes, and inside rows past the cap, count as lines."""
    big = b'"5\n6\n7",' + b"x" * 30
    huge = b'"9",' + b'"\n\n"' * 30
    data = b'a,b\n"1\n2",3\n4\n' + big + b"\n8\n" + huge + b"\n69"
    wanted = [
        "line 4: 1 field, but the header names 2",
        "line 5: 38 bytes, more than the --max-line of 20 B",
        "line 8: 1 field, but the header names 2",
        "line 9: 124 bytes, more than the --max-line of 20 B",
        "line 70: 1 field, but the header names 2",
    ]
    for pieces in ([data], bytewise(data)):
        good, *bad = read(pieces, max_line=20)
        assert good.error is None
        assert [record.error.message for record in bad if record.error] == wanted


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"id,name,id", "line 1: two columns are called 'id'; rename one"),
        (b"id,,name", "line 1: column 2 has no name; the first row must name each column"),
        (b"\n\nid, ", "line 3: column 2 has no name; the first row must name each column"),
        (b"id,\xff", "line 1: the header row is not UTF-8: invalid start byte at byte 3"),
        (b'id,"x', "line 1: the header row is not CSV: a quoted field does not end"),
        (b"a\rb\rc", "line 1: the header row is not CSV: a carriage return stands outside quotes"),
        (b"x" * 2000, "line 1: the header row is 2000 bytes, more than the --max-line of 1000 B"),
        (b"\x1b[2J,\x1b[2J", r"line 1: two columns are called '\x1b[2J'; rename one"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_header_that_names_nothing_is_one_error(header: bytes, why: str) -> None:
    """After an unusable header no row is read."""
    for pieces in ([header + b"\n1,2,3\n"], bytewise(header + b"\n1,2,3\n"), [header]):
        if header.endswith(b'"x') and pieces != [header]:
            continue
        with pytest.raises(BadHeader) as caught:
            read(pieces)
        assert str(caught.value) == why


def test_each_source_has_a_header_and_a_format_of_its_own() -> None:
    """Lines are counted again, records are not; an error names the file."""
    parser = RecordParser("csv", 100)
    first = parser.parse([b"a,b", b"1,2"])
    parser.start_source("x.tsv", "tsv")
    second = parser.parse([b"c\td", b"3\t4", b"5"])
    parser.start_source("y.jsonl", "jsonl")
    third = parser.parse([b'{"e":6}'])
    records = first + second + third
    assert [record.index for record in records] == [0, 1, 2, 3]
    assert [record.json for record in records if not record.error] == [
        b'{"a":"1","b":"2"}',
        b'{"c":"3","d":"4"}',
        b'{"e":6}',
    ]
    assert second[1].error
    assert second[1].error.message == "x.tsv line 3: 1 field, but the header names 2"


def test_field_may_be_as_long_as_a_line() -> None:
    """The csv module's field limit does not apply here, and is left unchanged for others."""
    before = csv.field_size_limit()
    long = b"x" * (before + 1)
    (record,) = read([b"a,b\n" + long + b",2\n"], max_line=1 << 20)
    assert json.loads(record.json) == {"a": long.decode(), "b": "2"}
    assert csv.field_size_limit() == before


def test_row_framer_quote_that_never_ends_costs_no_memory() -> None:
    """A stray quote makes the rest one overlong row, which is counted and dropped."""
    framer = RowFramer(1 << 20, ",")
    assert framer.feed(b'a,"') == []
    tracemalloc.start()
    try:
        for _ in range(512):
            assert framer.feed(b"12345,7\n" * (8 << 10)) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert framer.finish() == [Overlong((32 << 20) + 3, 4 << 20)]
    assert peak < 3 << 20


def test_reprs_tell_the_state() -> None:
    """The reprs show progress, and no data."""
    framer, table = RowFramer(100, ","), Table(",")
    framer.feed(b'"secret')
    table.read_header(b"secret,x")
    assert repr(framer) == "<RowFramer: 7 bytes of an unfinished line>"
    assert repr(table) == "<Table: 2 columns>"
