"""Find where the rows of a table with quoted fields end (RFC 4180).

A quote opens a field only at the field's beginning, as in the csv module; elsewhere it is text.  So
whether a line break ends the row depends on all bytes before it.  Four states decide this while the
bytes arrive:

    FIELD_START --quote--> IN_QUOTES --quote--> AFTER_QUOTE --quote, so doubled--> IN_QUOTES
         |                                           |
         +------------ anything else ----------------+--> PLAIN
    FIELD_START, AFTER_QUOTE, PLAIN --delimiter or line break--> FIELD_START

A stray quote opens a field that its author did not mean.  It would absorb the rows below, up to the
next quote or the end of the file.  So a row that turns out to be broken ends with its first line,
and what follows is read anew.  It is broken if

    - text follows a closing quote: most likely that quote opens a field of another row,
    - the input ends within quotes, or
    - the row is longer than the maximum.

What a broken row has absorbed is read line by line.  That costs no row over several lines, since
quotes in pairs open where the broken row takes them to close.  And it takes linear time, whatever
the input: no row that begins among these bytes is scanned any further.
"""

from __future__ import annotations

import enum
import re

from tmux_fanout.core.records.dialect import MAX_SEPARATOR_LINE, Dialect
from tmux_fanout.core.records.framing import BOM, Line, LineFramer

_QUOTE = 0x22
_LINE_BREAK = b"\r\n"


class _State(enum.Enum):
    FIELD_START = enum.auto()
    PLAIN = enum.auto()
    IN_QUOTES = enum.auto()
    AFTER_QUOTE = enum.auto()
    ROW_END = enum.auto()
    BROKEN = enum.auto()  # the row ends with its first line


# As names of the module they are looked up faster.
_FIELD_START, _PLAIN, _IN_QUOTES, _AFTER_QUOTE, _ROW_END, _BROKEN = _State
_UNQUOTED = (_FIELD_START, _PLAIN)


class RowFramer(LineFramer):
    """Split bytes into rows: a `LineFramer` that treats quoted line breaks as text.

    Args:
        max_line: Maximum bytes of a row without its line break; longer ones become `Overlong`.
        dialect: How the rows are written, unless the first line says otherwise.
    """

    def __init__(self, max_line: int, dialect: Dialect) -> None:
        super().__init__(max_line)
        self._dialect = dialect
        self._state = _FIELD_START
        self._spans_lines = False  # whether what is kept of the unfinished row has a line break
        self._was_taken_back = False  # whether kept bytes are among those that were split last
        self._start: bytes | None = b""  # of the input, until the dialect is known
        self._use(dialect)

    def feed(self, data: bytes) -> list[Line]:
        if self._start is not None:
            data = self._start + data
            if len(data) < MAX_SEPARATOR_LINE and b"\n" not in data:
                self._start = data
                return []
            data = self._begin(data)
        lines = super().feed(data)
        if self._is_dropped:
            self._state = _BROKEN
        return lines

    def finish(self) -> list[Line]:
        lines = super().feed(self._begin(self._start)) if self._start else []
        if self._state is _IN_QUOTES and self._spans_lines:
            rest = self._take_back()
            self._state = _FIELD_START
            lines += self._join(self._split_quoted(rest, len(rest)), needs_trim=True)
        return lines + super().finish()

    def _begin(self, data: bytes) -> bytes:
        """Return the input without a byte order mark, whose first line is complete or too long."""
        self._start = None
        self._at_start = False
        data = data.removeprefix(BOM)
        self._use(self._dialect.after(data.partition(b"\n")[0]) or self._dialect)
        return data

    def _use(self, dialect: Dialect) -> None:
        self._delimiter = dialect.delimiter.encode()
        escaped = re.escape(self._delimiter)
        # Only delimiters before a quote, or before the next feed, matter: there a field may open.
        self._event = re.compile(rb'\n|%b(?="|\Z)' % escaped)
        # Passes over doubled quotes, and over those that close one quoted field and open the next.
        self._inside = re.compile(rb'[^"]*+(?:"%b?"[^"]*+)*+' % escaped)
        self._after_quote = frozenset(b'"' + self._delimiter + _LINE_BREAK)

    def _split(self, data: bytes) -> list[bytes]:
        self._was_taken_back = False
        if b'"' in data or self._state not in _UNQUOTED or self._spans_lines:
            return self._split_quoted(data)
        if data:
            at_start = data.endswith((b"\n", self._delimiter))
            self._state = _FIELD_START if at_start else _PLAIN
        return data.split(b"\n")

    def _needs_trim(self, data: bytes) -> bool:
        return self._was_taken_back or super()._needs_trim(data)

    def _split_quoted(self, data: bytes, reread: int = 0) -> list[bytes]:
        """Split data that may have quotes; the first `reread` bytes are read once more."""
        ends: list[int] = []
        row = at = 0
        state = self._state
        first_break = data.find(b"\n")  # of the row that begins at `row`
        while at < len(data):
            too_long = row + self._max_size + 1 - (0 if ends else self._size)
            if state is not _BROKEN:
                stop = first_break + 1 if 0 <= first_break < reread else min(len(data), too_long)
                at, state = self._scan_row(data, at, stop, state)
            row_end = at - (state is _ROW_END)
            if state is _BROKEN or row_end >= too_long or 0 <= first_break < min(row_end, reread):
                end = min(at, too_long)
                if not ends and self._spans_lines:
                    back = self._take_back()
                    data, end = back + data, end + len(back)
                    first_break = data.find(b"\n")
                reread = max(reread, end)
                state = _BROKEN if first_break < 0 else _ROW_END
                at = first_break + 1 or len(data)
            if state is _ROW_END:
                ends.append(at - 1)
                row, state = at, _FIELD_START
                first_break = data.find(b"\n", row)
        self._state = state
        self._spans_lines = first_break >= 0 or (not ends and self._spans_lines)
        return _cut(data, ends)

    def _take_back(self) -> bytes:
        """Return what was kept of the unfinished row, and keep nothing."""
        back = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._spans_lines = False
        self._was_taken_back = True
        return back

    def _scan_row(self, data: bytes, at: int, stop: int, state: _State) -> tuple[int, _State]:
        """Return the position after the row, where it turns out to be broken, or `stop`; and the
        state there.
        """
        while at < stop:
            if state is _IN_QUOTES:
                inside = self._inside.match(data, at, stop)
                at = inside.end() if inside else stop
                if at < stop:
                    state, at = _AFTER_QUOTE, at + 1
            elif state is _AFTER_QUOTE and data[at] not in self._after_quote:
                return at, _BROKEN
            elif state is not _PLAIN and data[at] == _QUOTE:
                state, at = _IN_QUOTES, at + 1
            elif event := self._event.search(data, at, stop):
                at = event.end()
                if event[0] == b"\n":
                    return at, _ROW_END
                state = _FIELD_START
            else:
                state, at = _PLAIN, stop
        return at, state


def _cut(data: bytes, ends: list[int]) -> list[bytes]:
    starts = [0, *(end + 1 for end in ends)]
    return [data[start:end] for start, end in zip(starts, [*ends, len(data)])]
