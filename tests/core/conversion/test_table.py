"""Results as rows: what cells hold, what is quoted, and what is reported."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.conversion.columns import parse_columns
from tmux_fanout.core.conversion.table import ResultTable, TableFormat


def table(columns: str, form: TableFormat = "csv") -> ResultTable:
    return ResultTable(form, parse_columns(columns))


def envelope(record: str) -> bytes:
    return b'{"index":0,"record":%b,"ok":true,"results":{}}\n' % record.encode()


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ('"text"', "text"),
        ('""', ""),
        ("null", ""),
        ("true", "true"),
        ("false", "false"),
        ("1.10", "1.10"),
        ("1E400", "1E400"),
        ("-0", "-0"),
        ("9" * 5000, "9" * 5000),
        ('[1.50, "x"]', '"[1.50,""x""]"'),
        ("{}", "{}"),
        ('"a,b"', '"a,b"'),
        (r'"5\" disk"', '"5"" disk"'),
        (r'"two\nlines"', '"two\nlines"'),
        (r'"a\rb"', '"a\rb"'),
        (r'"\ud800"', r"\ud800"),
    ],
    ids=lambda value: value[:20],
)
def test_cells_are_as_csv_has_them(value: str, cell: str) -> None:
    """Texts are bare, numbers as they are spelled, and other values JSON."""
    rows = table("x=record.v, y=index")
    assert rows.row(envelope(f'{{"v": {value}}}')).decode() == f"{cell},0\n"


@pytest.mark.parametrize(
    ("value", "cell"),
    [(r'"a\tb"', r"a\tb"), (r'"a\n\r\\b"', r"a\n\r\\b"), (r'"\""', '"'), ("[1]", "[1]")],
)
def test_cells_of_tsv_are_escaped(value: str, cell: str) -> None:
    """A quote is text, and what separates cells or rows is an escape."""
    rows = table("x=record.v, y=index", "tsv")
    assert rows.row(envelope(f'{{"v": {value}}}')).decode() == f"{cell}\t0\n"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_rows_are_read_back_by_the_csv_module(texts: list[str]) -> None:
    """Any texts come back, even a single one that is empty."""
    columns = ", ".join(f"c{n}=record[{n}]" for n in range(len(texts)))
    rows = table(columns)
    data = (rows.header + rows.row(envelope(json.dumps(texts)))).decode()
    header, row = csv.reader(io.StringIO(data, newline=""), strict=True)
    assert header == [f"c{n}" for n in range(len(texts))]
    assert row == texts


def test_header_is_quoted_like_any_row() -> None:
    """Names may hold whatever texts do."""
    assert table('"a,b"=ok, say "hi"=ok').header == b'"a,b","say ""hi"""\n'


def test_column_with_errors_is_reported_once() -> None:
    """Its cells are empty, and other columns are there."""
    rows = table("id=record.id, x=join(',', record.tags)")
    records: list[Any] = [{"id": 1, "tags": ["a", "b"]}, {"id": 2}, {"id": 3, "tags": 4}]
    written = [rows.row(envelope(json.dumps(record))) for record in records]
    assert written == [b'1,"a,b"\n', b"2,\n", b"3,\n"]
    (note,) = rows.notes
    assert note.startswith("--columns: column 'x' is empty for 2 records, where it has an error: ")


def test_column_that_never_has_a_value_is_reported() -> None:
    """Only if it looks at records or bodies: an error is missing for good."""
    rows = table("id=record.id, x=record.nix, y=results.a.body.nix, e=results.a.error.kind")
    assert rows.notes == []
    rows.row(envelope('{"id": 1}'))
    assert rows.notes == [
        "--columns: column 'x' is empty in all rows: there is never a value at record.nix",
        "--columns: column 'y' is empty in all rows: there is never a value at results.a.body.nix",
    ]


def test_record_that_is_nested_too_deeply_has_a_row() -> None:
    """No record is without its row."""
    rows = table("id=record.id")
    assert rows.row(envelope("[" * 20_000 + "]" * 20_000)) == b'""\n'
    assert "nested too deeply" in rows.notes[0]


def test_repr_tells_the_state() -> None:
    """The repr shows no data."""
    assert repr(table("id=record.id")) == "<ResultTable: 1 columns, 0 rows>"
