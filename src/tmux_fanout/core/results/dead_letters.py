"""Dead letters: the input lines of the records that are not ok, in a form that can be fed in again.

Each line is written byte for byte and ends with a line break.  A few lines need more, so that a
later run reads back the same record:

- The rows of a table need its header row, once.
- A line that ends with a carriage return gets CRLF, since a reader drops one before a line break.
- A first line that begins with a byte order mark, which a reader drops, or that looks compressed
  gets a byte order mark in front.
- A row with an unterminated quoted field would absorb everything after it, so it comes last and
  without a line break.  The file can hold only one such row; others are left out.

A line beyond the maximum length was not kept, so it cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.decompression import looks_compressed
from tmux_fanout.core.records.framing import BOM
from tmux_fanout.core.records.parser import InputFormat, Record, format_by_name, framer_for


def one_format(paths: Sequence[str], input_format: InputFormat | None) -> InputFormat:
    """Return the one format of all these files, which is that of their dead letters.

    Args:
        paths: The input files.
        input_format: The format of all of them; None tells each by its name.

    Raises:
        ConfigError: The files have several formats.
    """
    if input_format is not None:
        return input_format
    formats = sorted({format_by_name(path) for path in paths})
    if len(formats) > 1:
        these = " and ".join(formats)
        why = f"one file cannot hold lines of {these}; give each format a run and a FILE of its own"
        raise ConfigError(f"--failed: {why}")
    return formats[0]


class DeadLetters:
    """Produce the content of a file of dead letters, piece by piece.

    Args:
        input_format: Format of the input.
        header: Returns the header row of the input, or an empty one; called once a record was read.

    Attributes:
        left_out: Indexes of the records that the file cannot hold.
    """

    def __init__(self, input_format: InputFormat, header: Callable[[], bytes]) -> None:
        self._format = input_format
        self._header = header
        self._is_empty = True
        self._last: bytes | None = None
        self.left_out: list[int] = []

    def __repr__(self) -> str:
        return f"<DeadLetters: {'none' if self._is_empty else 'some'}>"

    def add(self, record: Record) -> bytes:
        """Return what to append for a record that is not ok."""
        if record.error:
            is_open = _is_open(record.raw, self._format)
            if not record.raw or (is_open and self._last is not None):
                self.left_out.append(record.index)
                return b""
            if is_open:
                self._last = record.raw
                return b""
        return self._after_header(_ended(record.raw))

    @property
    def note(self) -> str:
        """A message about the records that were left out; empty if there are none."""
        if not self.left_out:
            return ""
        which = f"record {self.left_out[0]}"
        if len(self.left_out) > 1:
            which += f" and {len(self.left_out) - 1:,} more"
        return f"{which} left out: longer than --max-line, or with an unterminated quoted field"

    def alone(self, record: Record) -> bytes:
        """Return how the file would begin if this record were the first that is not ok."""
        letters = DeadLetters(self._format, self._header)
        return letters.add(record) or letters.last()

    def last(self) -> bytes:
        """Return what to append after all records."""
        return b"" if self._last is None else self._after_header(self._last)

    def _after_header(self, line: bytes) -> bytes:
        if not self._is_empty:
            return line
        self._is_empty = False
        header = self._header()
        return _as_first(_ended(header) + line if header else line)


def _ended(line: bytes) -> bytes:
    return line + (b"\r\n" if line.endswith(b"\r") else b"\n")


def _as_first(line: bytes) -> bytes:
    return BOM + line if line.startswith(BOM) or looks_compressed(line) else line


def _is_open(row: bytes, input_format: InputFormat) -> bool:
    """Return whether a line break after a row is within a quoted field, and so does not end it."""
    framer = framer_for(input_format, len(row) + 2)
    before = b"x\n"  # so that a byte order mark at the start of the row is text
    return len(framer.feed(b"%b%b\n" % (before, row))) == 1
