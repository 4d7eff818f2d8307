"""Lines into records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from tmux_fanout.core.errors import CallError
from tmux_fanout.core.framing import Line, Overlong
from tmux_fanout.core.jsontext import NotJSON, check_json, encode_text
from tmux_fanout.core.units import show_size

InputFormat = Literal["jsonl", "lines"]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One unit of input.

    Attributes:
        index: its place in the input, from 0.
        raw: the input line, byte for byte, without its line break.
        json: the record as JSON text; for `jsonl` the same object as `raw`.
        error: why it is no record, or None.
        value: the Python value it was made from, in the library.
    """

    index: int
    raw: bytes
    json: bytes
    error: CallError | None = None
    value: Any = None


class RecordParser:
    """Turns framed lines into records; counts records and lines.

    Args:
        input_format: how a line is read.
        max_line: the cap that the framer applied, in bytes; for the message.
    """

    def __init__(self, input_format: InputFormat, max_line: int) -> None:
        self._convert = _CONVERTERS[input_format]
        self._max_line = max_line
        self._index = 0
        self._line = 0
        self._source = ""

    def start_source(self, name: str) -> None:
        """Count lines from 1 again, and say `name` in front of them."""
        self._source = f"{name} " if name else ""
        self._line = 0

    def parse(self, lines: Iterable[Line]) -> list[Record]:
        """The records of `lines`: one each, but for blank lines, which are none."""
        records = []
        for line in lines:
            self._line += 1
            if isinstance(line, Overlong) or (line and not line.isspace()):
                records.append(self._parse_line(line))
                self._index += 1
        return records

    def _parse_line(self, line: Line) -> Record:
        if isinstance(line, Overlong):
            why = f"{line.size} bytes, more than the --max-line of {show_size(self._max_line)}"
            return self._invalid("too_large", b"", why)
        try:
            return Record(self._index, line, self._convert(line))
        except NotJSON as exc:
            return self._invalid("invalid_record", line, str(exc))

    def _invalid(
        self, kind: Literal["invalid_record", "too_large"], line: bytes, why: str
    ) -> Record:
        where = f"{self._source}line {self._line}"
        return Record(self._index, line, b"", CallError(kind, f"{where}: {why}"))


def _json_line(line: bytes) -> bytes:
    try:
        check_json(line)
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
