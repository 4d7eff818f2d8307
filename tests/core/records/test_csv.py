"""CSV and TSV: bytes become rows, however reads cut them, and rows become objects."""

import csv
import io
import json
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.records.csv import BadHeader, Table
from tmux_fanout.core.records.dialect import Dialect, DialectOptions, parse_delimiter
from tmux_fanout.core.records.parser import InputFormat, Record, RecordParser, framer_for

DELIMITER: dict[InputFormat, str] = {"csv": ",", "tsv": "\t"}
AS_WRITTEN = DialectOptions()
QUOTED, LITERAL = DialectOptions(quote="minimal"), DialectOptions(quote="none")
COMMAS, SEMICOLONS = DialectOptions(","), DialectOptions(";")


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def read(
    pieces: list[bytes],
    form: InputFormat = "csv",
    max_line: int = 1000,
    dialect: DialectOptions = AS_WRITTEN,
) -> list[Record]:
    framer = framer_for(form, max_line, dialect)
    parser = RecordParser(form, max_line, dialect)
    records = [record for piece in pieces for record in parser.parse(framer.feed(piece))]
    return records + parser.parse(framer.finish())


def values(
    data: bytes, form: InputFormat = "csv", dialect: DialectOptions = AS_WRITTEN
) -> list[object]:
    records = read([data], form, dialect=dialect)
    assert all(record.error is None for record in records)
    return [json.loads(record.json) for record in records]


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
        records = read(pieces, form, dialect=QUOTED)
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
    """Line breaks inside quotes, and those of rows that were dropped or cut, count as lines."""
    big = b"5," + b"x" * 30
    data = b'a,b\n"1\n2",3\n4\n' + big + b'\n6\n7,"8\n9\n10,"11"\n12'
    wanted = [
        "line 4: 1 field, but the header names 2",
        "line 5: 32 bytes, more than the --max-line of 20 B",
        "line 6: 1 field, but the header names 2",
        "line 7: not CSV: a quoted field does not end",
        "line 8: 1 field, but the header names 2",
        "line 10: 1 field, but the header names 2",
    ]
    for pieces in ([data], bytewise(data)):
        records = read(pieces, max_line=20)
        assert [r.error.message for r in records if r.error] == wanted
        assert [json.loads(r.json) for r in records if not r.error] == [
            {"a": "1\n2", "b": "3"},
            {"a": "10", "b": "11"},
        ]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"id,name,id", "line 1: columns 1 and 3 are both called 'id'; rename one"),
        (b"id,,name", "line 1: column 2 has no name; the first row must name each column"),
        (b"\n\nid, ", "line 3: column 2 has no name; the first row must name each column"),
        (
            b"id,\xff",
            "line 1: the header row is not UTF-8: invalid start byte at byte 3; "
            "convert the file, as in iconv -f WINDOWS-1252 -t UTF-8",
        ),
        (b'id,"x', "line 1: the header row is not CSV: a quoted field does not end"),
        (b"a\rb\rc", "line 1: the header row is not CSV: a carriage return stands outside quotes"),
        (b"x" * 2000, "line 1: the header row is 2000 bytes, more than the --max-line of 1000 B"),
        (b"\x1b[2J,\x1b[2J", r"line 1: columns 1 and 2 are both called '\x1b[2J'; rename one"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_header_that_names_nothing_is_one_error(header: bytes, why: str) -> None:
    """After an unusable header no row is read."""
    for pieces in ([header + b"\n1,2,3\n"], bytewise(header + b"\n1,2,3\n"), [header]):
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


def test_repr_tells_the_state() -> None:
    """The repr shows progress, and no data."""
    table = Table(Dialect(",", has_quotes=True))
    table.read_header(b"secret,x")
    assert repr(table) == "<Table: 2 columns>"


@pytest.mark.parametrize(
    ("data", "form", "dialect", "expected"),
    [
        pytest.param(b'a;b\n"1;";2,0\n', "csv", SEMICOLONS, ["1;", "2,0"], id="semicolons"),
        pytest.param(b'sep=;\r\na;b\n"1;";2', "csv", AS_WRITTEN, ["1;", "2"], id="sep"),
        pytest.param(b'"sep=|"\na|b\n1|2', "csv", AS_WRITTEN, ["1", "2"], id="sep-in-quotes"),
        pytest.param(b"sep=\t\na\tb\n1\t2", "csv", AS_WRITTEN, ["1", "2"], id="sep-of-a-tab"),
        pytest.param(b"sep=;\na,b\n1,2", "csv", COMMAS, ["1", "2"], id="sep-overruled"),
        pytest.param(b"sep=;\na;b\n1;2", "tsv", AS_WRITTEN, ["1", "2"], id="sep-in-tsv"),
        pytest.param(b'a\tb\n"1\t2"\n', "tsv", AS_WRITTEN, ['"1', '2"'], id="tsv-is-literal"),
        pytest.param(b'a\tb\n"1\t"\t2', "tsv", QUOTED, ["1\t", "2"], id="quoted-tsv"),
        pytest.param(b'a,b\n"1,2"', "csv", LITERAL, ['"1', '2"'], id="literal"),
        pytest.param(b'a b\n1 2', "csv", DialectOptions(" "), ["1", "2"], id="blanks"),
    ],
)  # fmt: skip
def test_dialects(
    data: bytes, form: InputFormat, dialect: DialectOptions, expected: list[str]
) -> None:
    """A delimiter is taken from the option, a `sep=` line or the format, in this order."""
    for pieces in ([data], bytewise(data)):
        (record,) = read(pieces, form, dialect=dialect)
        assert json.loads(record.json) == dict(zip("ab", expected))


@pytest.mark.parametrize(
    ("header", "form", "dialect", "why"),
    [
        (b"id;name", "csv", AS_WRITTEN, "use --delimiter ';' if semicolons separate columns, "),
        (b"id\tname", "csv", AS_WRITTEN, "use --delimiter tab if tabs separate columns, "),
        (b"id|name", "csv", AS_WRITTEN, "use --delimiter '|' if bars separate columns, "),
        (b"id,name", "tsv", AS_WRITTEN, "use --delimiter ',' if commas separate columns, "),
        (b"id;name", "csv", QUOTED, "only one column, 'id;name'; use --delimiter ';' if"),
        (
            b'"id"\t"name"',
            "tsv",
            AS_WRITTEN,
            "use --quote minimal if fields are quoted",
        ),
    ],
)
def test_header_of_another_dialect_is_an_error(
    header: bytes, form: InputFormat, dialect: DialectOptions, why: str
) -> None:
    """One column that looks like several is refused, unless the user says that it is one."""
    with pytest.raises(BadHeader) as caught:
        read([header + b"\n1"], form, dialect=dialect)
    assert why in str(caught.value)
    said = DialectOptions(DELIMITER[form], "none")
    assert read([header], form, dialect=said) == []


@pytest.mark.parametrize("text", ["", ";;", '"', "\n", "\r", "\0", "ä", "\\n"])
def test_delimiter_that_separates_nothing_is_an_error(text: str) -> None:
    """It is one character that is neither a quote nor a line break."""
    with pytest.raises(ConfigError, match=r"^invalid delimiter .*: use one ASCII character"):
        parse_delimiter(text)


def test_delimiter_may_be_spelled() -> None:
    """A tab is hard to type."""
    assert [parse_delimiter(text) for text in (";", "\t", r"\t", "TAB")] == [";", "\t", "\t", "\t"]
