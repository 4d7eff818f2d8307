"""Lines into records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.json_text import NotJSON, check_record, encode_text
from tmux_fanout.core.records.csv import BadHeader, NotARow, RowFramer, Table
from tmux_fanout.core.records.framing import Line, LineFramer, Overlong
from tmux_fanout.core.text import printable
from tmux_fanout.core.units import show_size

InputFormat = Literal["jsonl", "lines", "csv", "tsv"]

_DELIMITERS: dict[InputFormat, str] = {"csv": ",", "tsv": "\t"}
_OTHER_COLUMNS = "the columns are not those of the file before, and --failed has one header row"
_SHOWN = 60  # characters of a record in its repr
_COMPRESSED = ("gz", "bz2", "xz", "zst")


def format_by_name(name: str) -> InputFormat:
    """The format that the extension of a file says, below that of a compression; else `jsonl`.

    A `.txt` or `.log` may well hold JSON, and text that is read as JSON fails where all can see.
    """
    stem, _, extension = name.rpartition(".")
    if extension.lower() in _COMPRESSED:
        name = stem
    formats: dict[str, InputFormat] = {".csv": "csv", ".tsv": "tsv"}
    return formats.get(name[-4:].lower(), "jsonl")


def framer_for(input_format: InputFormat, max_line: int) -> LineFramer:
    """What finds the lines, or the rows, of one file."""
    if input_format in _DELIMITERS:
        return RowFramer(max_line, _DELIMITERS[input_format])
    return LineFramer(max_line)


class Record(msgspec.Struct, frozen=True):
    """One unit of input.

    Attributes:
        index: its place in the input, from 0.
        raw: the input line, or row, byte for byte, without its line break.
        json: the record as JSON text; for `jsonl` the same object as `raw`.
        error: why it is no record, or None.
        value: the Python value it was made from, in the library.
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
        """Bytes that it counts as in the window."""
        return len(self.json or self.raw)


class RecordParser:
    """Turns framed lines into records; counts records and lines.

    Args:
        input_format: how a line is read.
        max_line: the cap that the framer applied, in bytes; for the message.
        one_header: whether all tables must have the same columns.

    Attributes:
        header: the header row of the first table, byte for byte, or nothing.
        columns: the names in it.
    """

    def __init__(
        self, input_format: InputFormat, max_line: int, *, one_header: bool = False
    ) -> None:
        self._format = input_format
        self._max_line = max_line
        self._one_header = one_header
        self._index = 0
        self.header = b""
        self.columns: list[str] = []
        self.start_source("")

    def start_source(self, name: str, input_format: InputFormat | None = None) -> None:
        """Count lines from 1 again, and say `name` in front of them; a header is due again.

        Args:
            name: of the file, or nothing.
            input_format: how its lines are read, if not as before.
        """
        self._source = f"{name} " if name else ""
        self._line = 0
        self._format = input_format or self._format
        delimiter = _DELIMITERS.get(self._format)
        self._table = Table(delimiter) if delimiter else None
        self._convert = self._table.convert if self._table else _CONVERTERS[self._format]
        self._is_blank = self._table.is_blank if self._table else _is_blank

    def parse(self, lines: Iterable[Line]) -> list[Record]:
        """The records of `lines`: one each, but for blank lines and headers, which are none.

        Raises:
            BadHeader: the source has a header row that cannot be used; the message names the line.
        """
        records = []
        for line in lines:
            self._line += 1
            if not self._is_no_record(line):
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
            table.read_header(line)
            if self._one_header and self.header and table.names != self.columns:
                raise BadHeader(f"{_OTHER_COLUMNS}; give it a run and a --failed of its own")
            if not self.header:
                self.header, self.columns = line, table.names
        except BadHeader as exc:
            raise BadHeader(f"line {self._line}: {exc}") from exc

    def _is_no_record(self, line: Line) -> bool:
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
            return self._invalid("invalid_record", line, str(exc))
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


def _text_line(line: bytes) -> bytes:
    try:
        return encode_text(line.decode())
    except UnicodeDecodeError as exc:
        raise NotJSON(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc


_CONVERTERS: dict[InputFormat, Callable[[bytes], bytes]] = {
    "jsonl": _json_line,
    "lines": _text_line,
}
