"""Split bytes into lines, however the reads cut them.

Only `\n` ends a line (so U+2028 and U+0085 inside a JSON string are text), a `\r` before it is
dropped, and so is one UTF-8 byte order mark at the start.  A line beyond the maximum is counted and
dropped while it arrives, so it costs no memory.  Time is linear in the input: parts of a long line
stay separate until its end arrives.  `records.csv` builds on this to find rows.
"""

from __future__ import annotations

from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
_TRIMMED = len(BOM) + 1  # bytes that do not count: byte order mark, carriage return


class Overlong(NamedTuple):
    """A line longer than the maximum; its bytes were dropped.

    Attributes:
        size: Bytes of the line without its line break.
        breaks: Line breaks among them, in quoted fields of a CSV row.
    """

    size: int
    breaks: int = 0


Line = bytes | Overlong


class LineFramer:
    """Split bytes into lines; sans-I/O.

    Args:
        max_line: Maximum bytes of a line without its line break; longer ones become `Overlong`.
    """

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._max_size = max_line + _TRIMMED
        self._parts: list[bytes] = []
        self._size = 0
        self._breaks = 0  # in parts that were dropped
        self._at_start = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._size} bytes of an unfinished line>"

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that `data` completes, in order."""
        parts = self._split(data)
        return self._join(parts, needs_trim=self._needs_trim(data))

    def finish(self) -> list[Line]:
        """Return the last line, if the input ends without a line break."""
        return [self._finish_line(b"")] if self._size else []

    def _join(self, parts: list[bytes], *, needs_trim: bool) -> list[Line]:
        """Return the lines that end with all parts but the last, which is kept."""
        *ended, rest = parts
        lines: list[Line] = []
        if ended:
            lines.append(self._finish_line(ended[0]))
            lines += map(self._trim, ended[1:]) if needs_trim else ended[1:]
        self._keep(rest)
        return lines

    def _split(self, data: bytes) -> list[bytes]:
        """Split `data` at the line breaks that end lines; the last part is an unfinished line."""
        return data.split(b"\n")

    def _needs_trim(self, data: bytes) -> bool:
        """Return whether a line that was split from `data` may differ from its trimmed form."""
        return b"\r" in data or len(data) > self._max_line

    @property
    def _is_dropped(self) -> bool:
        """Whether the unfinished line is past the maximum, so that its bytes were dropped."""
        return self._size > 0 and not self._parts

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if part:
            self._parts.append(part)
        if self._size > self._max_size:
            self._breaks += sum(kept.count(b"\n") for kept in self._parts)
            self._parts.clear()

    def _finish_line(self, part: bytes) -> Line:
        self._keep(part)
        if self._is_dropped:
            line: Line = Overlong(self._size, self._breaks)
        else:
            line = self._trim(b"".join(self._parts))
        self._parts.clear()
        self._size = self._breaks = 0
        self._at_start = False
        return line

    def _trim(self, line: bytes) -> Line:
        size = len(line)
        if self._at_start:
            line = line.removeprefix(BOM)
        if line.endswith(b"\r"):
            line = line[:-1]
        return line if len(line) <= self._max_line else Overlong(size, line.count(b"\n"))
