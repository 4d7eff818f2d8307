"""Dead letters: the input lines of the records that are not ok, in a form that can be fed in again.

Each line is written byte for byte and ends with a line break.  A few lines need more, so that a
later run reads back the same record:

- The rows of a table need its header row, once.
- A line that ends with a carriage return gets CRLF, since a reader drops one before a line break.
- A first line that begins with a byte order mark, which a reader drops, or that looks compressed
  gets a byte order mark in front.
- A row with a stray quote, whose quoted field does not end, could absorb rows after it.  Such rows
  come last, where they can only absorb each other; one that would be absorbed is left out.

A line beyond the maximum length was not kept, so it cannot be written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.decompression import looks_compressed
from tmux_fanout.core.records.dialect import DialectOptions
from tmux_fanout.core.records.encoding import looks_converted
from tmux_fanout.core.records.framing import BOM, LineFramer
from tmux_fanout.core.records.parser import InputFormat, Record, format_by_name, framer_for

_MAX_OPEN = 16 << 20  # bytes of rows that come last
_AS_WRITTEN = DialectOptions()


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
        dialect: How the rows of tables are written.

    Attributes:
        left_out: Indexes of the records that the file cannot hold.
    """

    def __init__(
        self,
        input_format: InputFormat,
        header: Callable[[], bytes],
        dialect: DialectOptions = _AS_WRITTEN,
    ) -> None:
        self._format = input_format
        self._header = header
        self._dialect = dialect
        self._is_empty = True
        self._open_rows: _OpenRows | None = None
        self.left_out: list[int] = []

    def __repr__(self) -> str:
        return f"<DeadLetters: {'none' if self._is_empty else 'some'}>"

    def add(self, record: Record) -> bytes:
        """Return what to append for a record that is not ok."""
        if not record.error:
            return self._after_header(_ended(record.raw))
        is_open = self._is_open(record.raw)
        if not record.raw or (is_open and not self._hold(record.raw)):
            self.left_out.append(record.index)
        return b"" if is_open or not record.raw else self._after_header(_ended(record.raw))

    @property
    def note(self) -> str:
        """A message about the records that were left out; empty if there are none."""
        if not self.left_out:
            return ""
        which = f"record {self.left_out[0]}"
        if len(self.left_out) > 1:
            which += f" and {len(self.left_out) - 1:,} more"
        return f"{which} left out: longer than --max-line, or with a quoted field that does not end"

    def alone(self, record: Record) -> bytes:
        """Return how the file would begin if this record were the first that is not ok."""
        letters = DeadLetters(self._format, self._header, self._dialect)
        return letters.add(record) or letters.last()

    def last(self) -> bytes:
        """Return what to append after all records."""
        rows = self._open_rows.rows if self._open_rows else []
        return self._after_header(b"".join(map(_ended, rows))) if rows else b""

    def _is_open(self, row: bytes) -> bool:
        """Return whether a line break after a row is within a quoted field."""
        return not self._framer().feed(b"%b\n" % row)

    def _hold(self, row: bytes) -> bool:
        """Hold an open row for the end of the file; return whether that is possible."""
        if self._open_rows is None:
            self._open_rows = _OpenRows(self._framer)
        return self._open_rows.add(row)

    def _framer(self) -> LineFramer:
        """Return a framer that has read the header."""
        framer = framer_for(self._format, sys.maxsize, self._dialect)
        framer.feed(_ended(self._header()))
        return framer

    def _after_header(self, line: bytes) -> bytes:
        if not self._is_empty:
            return line
        self._is_empty = False
        header = self._header()
        return _as_first(_ended(header) + line if header else line)


class _OpenRows:
    """Rows that each have a quoted field that does not end, and that do not absorb each other.

    Args:
        framer: Returns a framer that has read the header.

    Attributes:
        rows: The rows, in order.
    """

    def __init__(self, framer: Callable[[], LineFramer]) -> None:
        self._new_framer = framer
        self._framer = framer()  # has read the rows, and returned some of them
        self._returned = 0
        self._size = 0
        self.rows: list[bytes] = []

    def __repr__(self) -> str:
        return f"<_OpenRows: {len(self.rows)} rows>"

    def add(self, row: bytes) -> bool:
        """Append a row, and return True; or return False if it would not come back as it is."""
        if self._size + len(row) > _MAX_OPEN:
            return False
        found = self._framer.feed(_ended(row))
        end = self._returned + len(found)
        if found != [*self.rows, row][self._returned : end]:
            self._framer = self._new_framer()
            self._returned = len(self._framer.feed(b"".join(map(_ended, self.rows))))
            return False
        self._returned = end
        self.rows.append(row)
        self._size += len(row)
        return True


def _ended(line: bytes) -> bytes:
    return line + (b"\r\n" if line.endswith(b"\r") else b"\n")


def _as_first(line: bytes) -> bytes:
    needs_mark = line.startswith(BOM) or looks_compressed(line) or looks_converted(line)
    return BOM + line if needs_mark else line
