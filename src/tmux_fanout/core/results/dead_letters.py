"""Dead letters: the input lines of the records that are not ok, such that they can be fed in again.

A line is written byte for byte, and ends with a line break.  What else a reader of the file would
take for something that it is not, is kept from it:

- the rows of a table need its header row, once;
- a line that ends with a carriage return ends with CRLF, since one before a line break is dropped;
- a byte order mark goes before a first line that begins with one (which would be dropped), or with
  what looks like compression (which would be undone);
- a row whose quoted field does not end takes in all that follows: it comes last, without a line
  break.  Only one can; others are left out.

Of a line that is longer than the longest, nothing was kept that could be written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.decompression import looks_compressed
from tmux_fanout.core.records.framing import BOM
from tmux_fanout.core.records.parser import InputFormat, Record, format_by_name, framer_for


def one_format(paths: Sequence[str], input_format: InputFormat | None) -> InputFormat:
    """The format of all of these files, which their dead letters then have too.

    Args:
        input_format: of all of them; None: of each as its name says.

    Raises:
        ConfigError: there are several.
    """
    if input_format is not None:
        return input_format
    formats = sorted({format_by_name(path) for path in paths})
    if len(formats) > 1:
        these = " and ".join(formats)
        why = f"a file cannot hold lines of {these}; give each format a run and a FILE of its own"
        raise ConfigError(f"--failed: {why}")
    return formats[0]


class DeadLetters:
    """What a file of dead letters holds, piece by piece.

    Args:
        input_format: of the input.
        header: the header row of the input, nothing where it has none; asked for once a record of
            it is there.

    Attributes:
        left_out: indexes of the records that the file cannot hold.
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
        """What is to be said of the records that were left out; nothing if there are none."""
        if not self.left_out:
            return ""
        which = f"record {self.left_out[0]}"
        if len(self.left_out) > 1:
            which += f" and {len(self.left_out) - 1:,} more"
        return f"{which}: longer than --max-line, or in quotes that do not end, and so left out"

    def alone(self, record: Record) -> bytes:
        """What the file would begin with if this record were the first that is not ok."""
        letters = DeadLetters(self._format, self._header)
        return letters.add(record) or letters.last()

    def last(self) -> bytes:
        """What to append when all is there."""
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
    """Whether a line break after a row does not end it."""
    framer = framer_for(input_format, len(row) + 2)
    before = b"x\n"  # a byte order mark at the start of a row is text, but for the first row
    return len(framer.feed(b"%b%b\n" % (before, row))) == 1
