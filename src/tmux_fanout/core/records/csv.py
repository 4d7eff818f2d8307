"""Convert the rows of CSV and TSV, with a header row, to JSON objects.

Where fields may be quoted, the csv module splits a row into them (RFC 4180).
"""

from __future__ import annotations

import csv

import msgspec

from tmux_fanout.core.records.dialect import Dialect
from tmux_fanout.core.text import printable

_encode = msgspec.json.Encoder().encode

# Messages of the csv module, and what they mean to the author of the file.
_MEANING = {
    "unexpected end of data": "a quoted field does not end",
    "expected after": "a closing quote is followed by text",
    "new-line character": "a carriage return stands outside quotes",
}
_TO_UTF_8 = "; convert the file, as in iconv -f WINDOWS-1252 -t UTF-8"
_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}


class NotARow(ValueError):
    """The bytes are not one row, or the row does not fit the header."""


class BadHeader(ValueError):
    """The header row cannot name the values of the rows below it."""


class Table:
    """Convert the rows of one file to JSON objects, with the keys of its header row.

    Args:
        dialect: How the rows are written, unless the first line says otherwise.

    Attributes:
        names: The keys, in the order of the header; empty before the header was read.
        preamble: The line before the header that says what separates fields, or empty.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.names: list[str] = []
        self.preamble = b""

    def __repr__(self) -> str:
        return f"<Table: {len(self.names)} columns>"

    def is_blank(self, row: bytes) -> bool:
        """Return whether a row is only white space; the tab of TSV does not count as such."""
        return not row or (row.isspace() and self.dialect.delimiter.encode() not in row)

    def read_preamble(self, first_line: bytes) -> bool:
        """Return whether the first line is no header but says what separates fields."""
        dialect = self.dialect.after(first_line)
        if dialect is None:
            return False
        self.dialect = dialect
        self.preamble = first_line
        return True

    def read_header(self, row: bytes) -> None:
        """Read the keys of the values.

        Raises:
            BadHeader: Two are equal, one is empty, or the row cannot be read, or only by another
                dialect.
        """
        try:
            names = self._fields(row)
        except NotARow as exc:
            is_encoding = isinstance(exc.__cause__, UnicodeDecodeError)
            raise BadHeader(f"the header row is {exc}{_TO_UTF_8 if is_encoding else ''}") from exc
        self._check_dialect(names)
        columns: dict[str, int] = {}
        for column, name in enumerate(names, 1):
            if not name.strip():
                raise BadHeader(f"column {column} has no name; the first row must name each column")
            first = columns.setdefault(name, column)
            if first != column:
                both = f"columns {first} and {column} are both called {_shown(name)}"
                raise BadHeader(f"{both}; rename one")
        self.names = names

    def _check_dialect(self, names: list[str]) -> None:
        """Refuse names that are several in one, or in quotes, unless the user wants them so."""
        may_miss_quotes = not (self.dialect.has_quotes or self.dialect.is_quote_known)
        if may_miss_quotes and all(len(n) > 1 and n[0] == n[-1] == '"' for n in names):
            advice = "use --quote minimal if fields are quoted, --quote none if not"
            raise BadHeader(f"the names are in quotes, such as {_shown(names[0])}; {advice}")
        if self.dialect.is_delimiter_known or len(names) > 1:
            return
        for separator, what in _SEPARATORS.items():
            if separator in names[0]:
                own = _spell(self.dialect.delimiter)
                advice = f"use --delimiter {_spell(separator)} if {what} separate columns, "
                advice += f"--delimiter {own} if not"
                raise BadHeader(f"there is only one column, {_shown(names[0])}; {advice}")

    def convert(self, row: bytes) -> bytes:
        """Return a row as a JSON object, with its keys in the order of the header.

        Raises:
            NotARow: It cannot be read, or has more or fewer fields than the header.
        """
        fields = self._fields(row)
        if len(fields) != len(self.names):
            raise NotARow(f"{_count(fields)}, but the header names {len(self.names)}")
        return _encode(dict(zip(self.names, fields)))

    def _fields(self, row: bytes) -> list[str]:
        try:
            text = row.decode()
        except UnicodeDecodeError as exc:
            raise NotARow(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
        if not self.dialect.has_quotes:
            return text.split(self.dialect.delimiter)
        limit = csv.field_size_limit()  # of the whole process
        if len(text) > limit:
            csv.field_size_limit(len(text))
        try:
            return next(csv.reader((text,), delimiter=self.dialect.delimiter, strict=True))
        except csv.Error as exc:
            form = "TSV" if self.dialect.delimiter == "\t" else "CSV"
            raise NotARow(f"not {form}: {_meaning(str(exc))}") from exc
        finally:
            if len(text) > limit:
                csv.field_size_limit(limit)


def _count(fields: list[str]) -> str:
    return "1 field" if len(fields) == 1 else f"{len(fields)} fields"


def _meaning(message: str) -> str:
    meanings = [meaning for part, meaning in _MEANING.items() if part in message]
    return meanings[0] if meanings else printable(message)


def _shown(name: str) -> str:
    return printable(repr(name), 100)


def _spell(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else f"'{delimiter}'"
