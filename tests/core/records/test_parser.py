"""Lines become records: one for each line that is not blank, valid or not."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.records.framing import Line, LineFramer, Overlong
from tmux_fanout.core.records.parser import (
    InputFormat,
    Record,
    RecordParser,
    format_by_name,
    remark_on,
)

BOM = b"\xef\xbb\xbf"
LINES = [b'{"id":1}', b' {"a": 1.00, "a":2 } ', b"9" * 400, b"NaN", b"[1,2", b"\xff", b'"\xff"']
LINES += [b"", b"  \t", b"\0", b'"\0"', b'"\\ud800"', '"\u2028\x85ü"'.encode(), b"x" * 50, BOM]
LINES += [b"[" * 60 + b"]" * 60, b"[" * 100_000]


def parse(*lines: Line, form: InputFormat = "jsonl", max_line: int = 1 << 20) -> list[Record]:
    return RecordParser(form, max_line).parse(lines)


@pytest.mark.parametrize(
    "line",
    [
        *(b'{"id":1}', b'{ "b":1.00 ,"a":-0, "a":1e999 }', b"9" * 400, b"null", b'"text"', b"[]"),
        *(b'\t{"a":1} ', b'{"a":1}\r', '"\u2028\x85\U0001f600"'.encode(), b'"\\u0000"'),
    ],
    ids=lambda line: repr(line[:24]),
)
def test_parser_jsonl_passes_the_line_untouched(line: bytes) -> None:
    """Numbers, keys, escapes and white space are kept, and no copy is made."""
    [record] = parse(line)
    assert record == Record(0, line, line)
    assert record.json is record.raw is line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"x", "line 1: not JSON: "),
        (b'{"id": 3', "line 1: not JSON: "),
        (b"NaN", "line 1: not JSON: "),
        (b'{"a":1}\0', "line 1: not JSON: "),
        (BOM + b"{}", "line 1: not JSON: "),
        (b'"\xff"', "line 1: not JSON: it is not UTF-8: invalid start byte at byte 1"),
        (
            b"[" * 100_000,
            "line 1: not JSON: it is nested too deeply; if the input is one JSON list",
        ),
        (b"[", "line 1: not JSON: "),
    ],
    ids=lambda value: repr(value[:16]),
)
def test_parser_jsonl_makes_an_invalid_record_of_what_is_not_json(
    line: bytes, message: str
) -> None:
    """An invalid record keeps its index and bytes, and the message names the line."""
    [record] = parse(line)
    assert (record.index, record.raw, record.json) == (0, line, b"")
    assert record.error
    assert record.error.kind == "invalid_record"
    assert record.error.message.startswith(message)


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        ([b"["], "; if the input is one JSON list, its items become records with jq -c '.[]'"),
        ([b'[{"a":'], "; if the input is one JSON list, its items become records with jq -c '.[]'"),
        ([b" {"], "; to have each JSON value on one line, use jq -c ."),
        ([b'{"a"'], ""),
        ([b"1", b"["], ""),
    ],
)
def test_json_over_many_lines_is_recognised_by_the_first(lines: list[bytes], hint: str) -> None:
    """The first record says how to put each value on a line of its own."""
    error = parse(*lines)[-1].error
    assert error is not None
    assert (";" in error.message) == bool(hint)
    assert error.message.endswith(hint)


@pytest.mark.parametrize(
    ("line", "form", "is_odd"),
    [
        (b'[{"a": 1}, {"a": 2}]', "jsonl", True),
        (b' [ {"a": 1}]', "jsonl", True),
        (b"[1, 2]", "jsonl", False),
        (b'{"a": [{}]}', "jsonl", False),
        (b'[{"a"', "jsonl", False),
        (b'[{"a": 1}]', "lines", False),
    ],
)
def test_list_of_objects_is_an_odd_record(line: bytes, form: InputFormat, is_odd: bool) -> None:
    """It is probably the whole input, whose items are meant as records."""
    [record] = parse(line, form=form)
    assert remark_on(record) == (
        "the first record is a JSON list: to have its items as records, use jq -c '.[]'"
        if is_odd
        else ""
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"GET / 200", "GET / 200"),
        (b'say "hi"\\', 'say "hi"\\'),
        (b"\tcolumn ", "\tcolumn "),
        (b"\x1b[31mred\0", "\x1b[31mred\0"),
        ("ü\u2028\U0001f600".encode(), "ü\u2028\U0001f600"),
    ],
)
def test_parser_lines_makes_a_string_of_each_line(line: bytes, text: str) -> None:
    """The line is kept as it was beside the JSON string that is sent."""
    [record] = parse(line, form="lines")
    assert (record.raw, json.loads(record.json), record.error) == (line, text, None)
    assert b"\n" not in record.json


def test_parser_lines_refuses_what_is_not_utf8() -> None:
    """Bytes that are not UTF-8 are an invalid record, and the message says where."""
    error = ErrorInfo("invalid_record", "line 1: not UTF-8: invalid start byte at byte 2")
    assert parse(b"ab\xff", form="lines") == [Record(0, b"ab\xff", b"", error)]


def test_parser_counts_lines_with_blank_ones_and_records_without() -> None:
    """Blank lines are no records but count as lines; the index has no gap, over many calls."""
    parser = RecordParser("jsonl", 100)
    first = parser.parse([b"", b"1", b" \t\r", b"x"])
    second = parser.parse([b"\x0b\x0c", b"2", b"y"])
    assert [record.index for record in first + second] == [0, 1, 2, 3]
    messages = [record.error.message[:7] for record in first + second if record.error]
    assert messages == ["line 4:", "line 7:"]


def test_parser_start_source_counts_lines_again_but_not_records() -> None:
    """Messages name the file and the line in it; records are counted through all files."""
    parser = RecordParser("jsonl", 100)
    parser.start_source("a.jsonl")
    [good, bad] = parser.parse([b"1", b"x"])
    parser.start_source("b.jsonl")
    [worse] = parser.parse([b"x"])
    parser.start_source("")
    [worst] = parser.parse([b"", b"x"])
    assert [record.index for record in (good, bad, worse, worst)] == [0, 1, 2, 3]
    starts = [record.error.message[:15] for record in (bad, worse, worst) if record.error]
    assert starts == ["a.jsonl line 2:", "b.jsonl line 1:", "line 2: not JSO"]


@pytest.mark.parametrize("form", ["jsonl", "lines"])
def test_parser_makes_one_too_large_record_of_an_overlong_line(form: InputFormat) -> None:
    """An overlong line has an index but no bytes, and leaves the next line intact."""
    huge, fine = parse(Overlong((1 << 20) + 1), b"1", form=form)
    message = "line 1: 1048577 bytes, more than the --max-line of 1 MiB"
    assert huge == Record(0, b"", b"", ErrorInfo("too_large", message))
    assert (fine.index, fine.error) == (1, None)


@given(
    st.lists(st.sampled_from(LINES), max_size=12),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.data(),
    st.sampled_from(["jsonl", "lines"]),
)
def test_records_are_the_same_for_any_split_of_the_input(
    lines: list[bytes], ending: bytes, ends: bool, draw: st.DataObject, form: InputFormat
) -> None:
    """Framing and parsing give the same records, errors included, whatever the reads were."""
    data = ending.join(lines) + (ending if ends else b"")

    def records(pieces: list[bytes]) -> list[Record]:
        framer, parser = LineFramer(120), RecordParser(form, 120)
        found = [record for piece in pieces for record in parser.parse(framer.feed(piece))]
        return found + parser.parse(framer.finish())

    whole = records([data])
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    assert records([data[a:b] for a, b in pairwise([0, *cuts, len(data)])]) == whole
    assert [record.index for record in whole] == list(range(len(whole)))
    first = lines[0].removeprefix(BOM) if lines else b""
    kept = [line for line in [first, *lines[1:]] if line.strip(b" \t\r\n\x0b\x0c")]
    assert [record.raw or None for record in whole] == [
        line if len(line) <= 120 else None for line in kept
    ]


@given(st.binary(max_size=60))
def test_parser_never_raises(line: bytes) -> None:
    """Any bytes are a record or an invalid record with a printable message, or blank."""
    forms: tuple[InputFormat, ...] = ("jsonl", "lines")
    for form in forms:
        for record in parse(line, form=form):
            assert record.raw == line
            if record.error:
                assert record.error.message.isprintable()
            else:
                json.loads(record.json, parse_int=str)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(("data.csv", "csv"), ("a.b/data.CSV.GZ", "csv"), ("x.csv.bz2", "csv")),
        *(("é.csv.xz", "csv"), ("data.tsv", "tsv"), ("data.tsv.zst", "tsv")),
        *(("data.jsonl", "jsonl"), ("x.ndjson", "jsonl"), ("app.log", "jsonl"), ("x.txt", "jsonl")),
        *(("x.gz", "jsonl"), ("x.csv.gz.gz", "jsonl"), ("-", "jsonl"), ("", "jsonl")),
        *(("csv", "jsonl"), ("data.csv/x", "jsonl"), ("data.csv.1", "jsonl")),
    ],
)  # fmt: skip
def test_format_by_name_looks_through_compression(name: str, form: InputFormat) -> None:
    """Only a table's extension selects its format; everything else is JSON lines."""
    assert format_by_name(name) == form


def test_record_repr_is_short() -> None:
    """The repr shows the start of the line, with nothing that could steer a terminal."""
    good, bad, binary = parse(b'{"id": 1}', b"x" * 999, b"\xff\x1b")
    assert repr(good) == '<Record 0: {"id": 1}>'
    assert repr(bad) == f"<Record 1: invalid_record: {'x' * 60}…>"
    assert repr(binary) == "<Record 2: invalid_record: \\xff\\x1b>"
