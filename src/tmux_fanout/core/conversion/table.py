"""Results as rows of CSV (RFC 4180) or TSV.

Cells hold text bare, true and false, numbers as they are spelled, nothing for null, and any other
value as JSON.  In TSV, where no quotes enclose a cell, tabs, line breaks and backslashes are
escaped, as `jq`'s @tsv has it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from tmux_fanout.core.conversion.columns import Column
from tmux_fanout.core.json_text import decode_spelled, encode_json
from tmux_fanout.core.requests.expressions import ExpressionError
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.text import counted, printable

TableFormat = Literal["csv", "tsv"]

_NEEDS_QUOTES = re.compile('[",\r\n]')
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SPELLED = {None: "", True: "true", False: "false"}


class ResultTable:
    """Writes the envelopes of results as rows.

    Args:
        form: `csv` or `tsv`.
        columns: The columns, in order.

    Attributes:
        header: The header row.
    """

    def __init__(self, form: TableFormat, columns: Sequence[Column]) -> None:
        self._join = _csv_row if form == "csv" else _tsv_row
        self._columns = columns
        self._rows = 0
        self._filled: set[str] = set()
        self._failed: Counter[str] = Counter()
        self._first_failures: dict[str, str] = {}
        self.header = self._row([column.name for column in columns])

    def __repr__(self) -> str:
        return f"<ResultTable: {len(self._columns)} columns, {self._rows} rows>"

    def row(self, envelope: bytes) -> bytes:
        """Return the row of a record's line of --emit envelope."""
        self._rows += 1
        try:
            value = decode_spelled(envelope)
        except RecursionError:
            value = None
        return self._row([self._cell(column, value) for column in self._columns])

    def after(self, encode: Callable[[Result], bytes]) -> Callable[[Result], bytes]:
        """Return a function that encodes a result as a row, given one that writes its envelope."""
        return lambda result: self.row(encode(result))

    @property
    def notes(self) -> Sequence[str]:
        """Messages for the end: on columns that could not be computed, or never had a value."""
        notes = []
        for column in self._columns:
            name = printable(repr(column.name), 100)
            if count := self._failed[column.name]:
                why = self._first_failures[column.name]
                records = counted(count, "record")
                notes.append(f"column {name} is empty for {records}, where it has an error: {why}")
            elif self._rows and column.is_always_expected and column.name not in self._filled:
                text = printable(column.expression.text, 100)
                notes.append(
                    f"column {name} is empty in all rows: there is never a value at {text}"
                )
        return [f"--columns: {note}" for note in notes]

    def _cell(self, column: Column, value: Any) -> str:
        try:
            if value is None:
                raise ExpressionError("the record or a body is nested too deeply")
            found = column.expression.search(value)
            text = _text(found)
        except (ExpressionError, RecursionError) as exc:
            self._failed[column.name] += 1
            self._first_failures.setdefault(column.name, str(exc).removeprefix(": "))
            return ""
        if found is not None:
            self._filled.add(column.name)
        return text

    def _row(self, cells: Sequence[str]) -> bytes:
        return f"{self._join(cells)}\n".encode(errors="backslashreplace")  # for lone surrogates


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return _SPELLED[value]
    return encode_json(value).decode()


def _csv_row(cells: Sequence[str]) -> str:
    if len(cells) == 1 and not cells[0].strip():
        return f'"{cells[0]}"'  # or the row would be blank
    return ",".join(map(_csv_cell, cells))


def _csv_cell(text: str) -> str:
    if not _NEEDS_QUOTES.search(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _tsv_row(cells: Sequence[str]) -> str:
    return "\t".join(cell.translate(_ESCAPED) for cell in cells)
