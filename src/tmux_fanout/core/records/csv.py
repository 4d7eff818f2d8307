"""Read CSV and TSV with a header row (RFC 4180): find where rows end, and convert them to JSON.

A quote opens a field only at the field's beginning, as in the csv module; elsewhere it is text.  So
whether a line break ends the row depends on all bytes before it.  Four states decide this while the
bytes arrive, each examined once:

    FIELD_START --quote--> IN_QUOTES --quote--> AFTER_QUOTE --quote, so doubled--> IN_QUOTES
         |                                           |
         +------------ anything else ----------------+--> PLAIN
    FIELD_START, AFTER_QUOTE, PLAIN --delimiter or line break--> FIELD_START

The csv module then splits a whole row into fields.
"""

from __future__ import annotations

import csv
import enum
import re

import msgspec

from tmux_fanout.core.records.framing import BOM, LineFramer
from tmux_fanout.core.text import printable

_QUOTE = 0x22

_encode = msgspec.json.Encoder().encode

# Messages of the csv module, and what they mean to the author of the file.
_MEANING = {
    "unexpected end of data": "a quoted field does not end",
    "expected after": "a closing quote is followed by text",
    "new-line character": "a carriage return stands outside quotes",
}


class NotARow(ValueError):
    """The bytes are not one row, or the row does not fit the header."""


class BadHeader(ValueError):
    """The header row cannot name the values of the rows below it."""


class _State(enum.Enum):
    FIELD_START = enum.auto()
    PLAIN = enum.auto()
    IN_QUOTES = enum.auto()
    AFTER_QUOTE = enum.auto()


class RowFramer(LineFramer):
    """Split bytes into rows: a `LineFramer` that treats quoted line breaks as text.

    Args:
        max_line: Maximum bytes of a row without its line break; longer ones become `Overlong`.
        delimiter: The character between fields.
    """

    def __init__(self, max_line: int, delimiter: str) -> None:
        super().__init__(max_line)
        self._delimiter = delimiter.encode()
        escaped = re.escape(self._delimiter)
        # Only delimiters before a quote, or before the next feed, matter: there a field may open.
        self._event = re.compile(rb'\n|%b(?="|\Z)' % escaped)
        # Passes over doubled quotes, and over those that close one quoted field and open the next.
        self._inside = re.compile(rb'[^"]*+(?:"%b?"[^"]*+)*+' % escaped)
        self._state = _State.FIELD_START
        self._mark = BOM  # bytes of it that may still come; the first field begins after them

    def _split(self, data: bytes) -> list[bytes]:
        start = self._skip_mark(data)
        if start == len(data):
            return [data]
        if b'"' in data or self._state is _State.IN_QUOTES:
            return _cut(data, self._row_ends(data, start))
        at_start = data.endswith((b"\n", self._delimiter))
        self._state = _State.FIELD_START if at_start else _State.PLAIN
        return data.split(b"\n")

    def _skip_mark(self, data: bytes) -> int:
        """Return how many bytes of `data` belong to a byte order mark at the start of the input."""
        at = 0
        while self._mark and at < len(data):
            if data[at] != self._mark[0]:
                self._mark = b""
                break
            self._mark = self._mark[1:]
            at += 1
        return at

    def _row_ends(self, data: bytes, at: int) -> list[int]:
        ends = []
        state = self._state
        while at < len(data):
            if state is _State.IN_QUOTES:
                inside = self._inside.match(data, at)
                at = inside.end() if inside else len(data)
                if at < len(data):
                    state, at = _State.AFTER_QUOTE, at + 1
            elif state is not _State.PLAIN and data[at] == _QUOTE:
                state, at = _State.IN_QUOTES, at + 1
            elif event := self._event.search(data, at):
                if event[0] == b"\n":
                    ends.append(event.start())
                state, at = _State.FIELD_START, event.end()
            else:
                state, at = _State.PLAIN, len(data)
        self._state = state
        return ends


def _cut(data: bytes, ends: list[int]) -> list[bytes]:
    starts = [0, *(end + 1 for end in ends)]
    return [data[start:end] for start, end in zip(starts, [*ends, len(data)])]


class Table:
    """Convert the rows of one file to JSON objects, with the keys of its header row.

    Args:
        delimiter: The character between fields.

    Attributes:
        names: The keys, in the order of the header; empty before the header was read.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self.names: list[str] = []

    def __repr__(self) -> str:
        return f"<Table: {len(self.names)} columns>"

    def is_blank(self, row: bytes) -> bool:
        """Return whether a row is only white space; the tab of TSV does not count as such."""
        return not row or (row.isspace() and self._delimiter.encode() not in row)

    def read_header(self, row: bytes) -> None:
        """Read the keys of the values.

        Raises:
            BadHeader: Two are equal, one is empty, or the row cannot be read.
        """
        try:
            names = self._fields(row)
        except NotARow as exc:
            raise BadHeader(f"the header row is {exc}") from exc
        seen = set()
        for column, name in enumerate(names, 1):
            if not name.strip():
                raise BadHeader(f"column {column} has no name; the first row must name each column")
            if name in seen:
                raise BadHeader(f"two columns are called {printable(repr(name))}; rename one")
            seen.add(name)
        self.names = names

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
        limit = csv.field_size_limit()  # of the whole process
        if len(text) > limit:
            csv.field_size_limit(len(text))
        try:
            return next(csv.reader((text,), delimiter=self._delimiter, strict=True))
        except csv.Error as exc:
            form = "TSV" if self._delimiter == "\t" else "CSV"
            raise NotARow(f"not {form}: {_meaning(str(exc))}") from exc
        finally:
            if len(text) > limit:
                csv.field_size_limit(limit)


def _count(fields: list[str]) -> str:
    return "1 field" if len(fields) == 1 else f"{len(fields)} fields"


def _meaning(message: str) -> str:
    meanings = [meaning for part, meaning in _MEANING.items() if part in message]
    return meanings[0] if meanings else printable(message)
