"""Turn lines into records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.json_text import NotJSON, check_record, encode_text
from tmux_fanout.core.records.csv import BadHeader, NotARow, Table
from tmux_fanout.core.records.dialect import Dialect, DialectOptions, dialect_of
from tmux_fanout.core.records.framing import Line, LineFramer, Overlong
from tmux_fanout.core.records.rows import RowFramer
from tmux_fanout.core.text import printable
from tmux_fanout.core.units import show_size

InputFormat = Literal["jsonl", "lines", "csv", "tsv"]

_AS_WRITTEN = DialectOptions()
_OTHER_COLUMNS = "the columns differ from those of the first file, and --failed has one header row"
_OTHER_DELIMITER = "the delimiter differs from that of the first file, and --failed has one"
_SHOWN = 60  # characters of a record in its repr
_OBJECTS = re.compile(rb"\s*\[\s*\{")
_COMPRESSED = ("gz", "bz2", "xz", "zst")


def format_by_name(name: str) -> InputFormat:
    """Return the format for a file's extension, below that of a compression; `jsonl` by default.

    A `.txt` or `.log` may well hold JSON, and if it does not, each line fails visibly.
    """
    stem, _, extension = name.rpartition(".")
    if extension.lower() in _COMPRESSED:
        name = stem
    formats: dict[str, InputFormat] = {".csv": "csv", ".tsv": "tsv"}
    return formats.get(name[-4:].lower(), "jsonl")


def dialect_for(input_format: InputFormat, options: DialectOptions) -> Dialect | None:
    """Return how the rows of a format are written, or None if it has no rows."""
    return dialect_of(input_format, options) if input_format in ("csv", "tsv") else None


def framer_for(
    input_format: InputFormat, max_line: int, options: DialectOptions = _AS_WRITTEN
) -> LineFramer:
    """Return a framer that splits one file into its lines or rows."""
    dialect = dialect_for(input_format, options)
    if dialect and dialect.has_quotes:
        return RowFramer(max_line, dialect)
    return LineFramer(max_line)


class Record(msgspec.Struct, frozen=True):
    """One unit of input.

    Attributes:
        index: Index in the input, from 0.
        raw: The input line or row, byte for byte, without its line break.
        json: The record as JSON text; for `jsonl` the same object as `raw`.
        error: Why the record is invalid, or None.
        value: The Python value that was given to `fanout`, if any.
    """

    index: int
    raw: bytes
    json: bytes
    error: ErrorInfo | None = None
    value: Any = None

    def __repr__(self) -> str:
        start = (self.raw or self.json)[: 4 * _SHOWN].decode(errors="backslashreplace")
        text = printable(start, _SHOWN)
        return f"<Record {self.index}: {f'{self.error.kind}: ' if self.error else ''}{text}>"

    @property
    def size(self) -> int:
        """Bytes that the record counts for in the window."""
        return len(self.json or self.raw)


class RecordParser:
    """Turn lines into records, and count both.

    Args:
        input_format: Format of the lines.
        max_line: Maximum bytes of a line, which the framer applied; for messages.
        options: How the rows of tables are written.
        one_header: Whether all tables must have the same columns and delimiter.

    Attributes:
        header: The header row of the first table, and a `sep=` line before it, byte for byte;
            empty if there is none.
        columns: The names in that header row.
    """

    def __init__(
        self,
        input_format: InputFormat,
        max_line: int,
        options: DialectOptions = _AS_WRITTEN,
        *,
        one_header: bool = False,
    ) -> None:
        self._format = input_format
        self._max_line = max_line
        self._options = options
        self._one_header = one_header
        self._index = 0
        self.header = b""
        self.columns: list[str] = []
        self._delimiter = ""  # of the first table
        self.start_source("")

    @property
    def count(self) -> int:
        """The number of records so far."""
        return self._index

    def start_source(self, name: str, input_format: InputFormat | None = None) -> None:
        """Start the next file: count lines from 1 again, and expect a header again.

        Args:
            name: Name of the file, for messages; may be empty.
            input_format: Format of its lines; None keeps the previous one.
        """
        self._source = f"{name} " if name else ""
        self._line = 0
        self._format = input_format or self._format
        dialect = dialect_for(self._format, self._options)
        self._table = Table(dialect) if dialect else None
        self._convert = self._table.convert if self._table else _CONVERTERS[self._format]
        self._is_blank = self._table.is_blank if self._table else _is_blank

    def parse(self, lines: Iterable[Line]) -> list[Record]:
        """Return a record for each line, except for blank lines and header rows.

        Raises:
            BadHeader: A header row cannot be used; the message names the line.
        """
        records = []
        for line in lines:
            self._line += 1
            if not self._is_skipped(line):
                if self._table and not self._table.names:
                    self._read_header(self._table, line)
                else:
                    records.append(self._parse_line(line))
                    self._index += 1
            if self._table:
                self._line += line.breaks if isinstance(line, Overlong) else line.count(b"\n")
        return records

    def _read_header(self, table: Table, line: Line) -> None:
        try:
            if isinstance(line, Overlong):
                raise BadHeader(f"the header row is {self._too_long(line)}")
            if self._line == 1 and table.read_preamble(line):
                return
            table.read_header(line)
            if self._one_header and self.header:
                self._check_same(table)
            if not self.header:
                preamble = table.preamble + b"\n" if table.preamble else b""
                self.header, self.columns = preamble + line, table.names
                self._delimiter = table.dialect.delimiter
        except BadHeader as exc:
            raise BadHeader(f"line {self._line}: {exc}") from exc

    def _check_same(self, table: Table) -> None:
        """Check that rows of a table can follow those of the first one."""
        for is_other, why in (
            (table.names != self.columns, _OTHER_COLUMNS),
            (table.dialect.delimiter != self._delimiter, _OTHER_DELIMITER),
        ):
            if is_other:
                raise BadHeader(f"{why}; give it a run and a --failed of its own")

    def _is_skipped(self, line: Line) -> bool:
        try:
            return not isinstance(line, Overlong) and self._is_blank(line)
        except Exception as exc:
            internal_error(exc)  # which lets MemoryError pass
            return False

    def _parse_line(self, line: Line) -> Record:
        if isinstance(line, Overlong):
            return self._invalid("too_large", b"", self._too_long(line))
        try:
            return Record(self._index, line, self._convert(line))
        except (NotJSON, NotARow) as exc:
            is_first = self._format == "jsonl" and self._index == 0
            hint = _spread_json(line) if is_first else ""
            return self._invalid("invalid_record", line, f"{exc}{hint and f'; {hint}'}")
        except Exception as exc:
            return Record(self._index, line, b"", internal_error(exc))

    def _too_long(self, line: Overlong) -> str:
        return f"{line.size} bytes, more than the --max-line of {show_size(self._max_line)}"

    def _invalid(
        self, kind: Literal["invalid_record", "too_large"], line: bytes, why: str
    ) -> Record:
        where = f"{self._source}line {self._line}"
        return Record(self._index, line, b"", ErrorInfo(kind, f"{where}: {why}"))


def _is_blank(line: bytes) -> bool:
    return not line or line.isspace()


def _json_line(line: bytes) -> bytes:
    try:
        check_record(line)
    except NotJSON as exc:
        raise NotJSON(f"not JSON: {exc}") from exc
    return line


def _spread_json(line: bytes) -> str:
    """Return what to do about a first line with which one JSON value of many lines begins.

    It is "" if the line is no such beginning.
    """
    start = line.strip()
    if start.startswith(b"["):
        return "if the input is one JSON list, its items become records with jq -c '.[]'"
    return "to have each JSON value on one line, use jq -c ." if start == b"{" else ""


def remark_on(record: Record) -> str:
    """Return what is odd about the first record of JSON lines, or ""."""
    if record.error or record.raw is not record.json or not _OBJECTS.match(record.raw):
        return ""
    return "the first record is a JSON list: to have its items as records, use jq -c '.[]'"


def _text_line(line: bytes) -> bytes:
    try:
        return encode_text(line.decode())
    except UnicodeDecodeError as exc:
        raise NotJSON(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc


_CONVERTERS: dict[InputFormat, Callable[[bytes], bytes]] = {
    "jsonl": _json_line,
    "lines": _text_line,
}
