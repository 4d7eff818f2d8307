"""Bytes into lines, whatever the reads they came in.

Only `\n` ends a line (so U+2028 and U+0085 inside a JSON string are text), a `\r` before it is
dropped, and so is one UTF-8 byte order mark at the start.  A line that passes the cap is counted
and forgotten while it arrives, so that it costs no memory.  Work is linear in the input: parts of
a long line are kept apart until its end is seen.  Rows of CSV are framed on top of this, in
`delimited`.
"""

from __future__ import annotations

from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
_TRIMMED = len(BOM) + 1  # a byte order mark and a carriage return do not count as the line's


class Overlong(NamedTuple):
    """What is left of a line past the cap.

    Attributes:
        size: how many bytes came before its line break.
        breaks: how many line breaks were among them (in a row of CSV there may be some).
    """

    size: int
    breaks: int = 0


Line = bytes | Overlong


class LineFramer:
    """A sans-I/O line splitter: feed it bytes, take the lines that are complete.

    Args:
        max_line: the longest line, in bytes without its line break, that is kept.
    """

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0
        self._breaks = 0  # in parts that were forgotten
        self._at_start = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._size} bytes of an unfinished line>"

    def feed(self, data: bytes) -> list[Line]:
        """The lines that `data` completes, in order."""
        *ended, rest = self._split(data)
        lines: list[Line] = []
        if ended:
            lines.append(self._finish_line(ended[0]))
            needs_trim = b"\r" in data or len(data) > self._max_line
            lines += map(self._trim, ended[1:]) if needs_trim else ended[1:]
        self._keep(rest)
        return lines

    def finish(self) -> list[Line]:
        """The last line, where the input ends without a line break."""
        return [self._finish_line(b"")] if self._size else []

    def _split(self, data: bytes) -> list[bytes]:
        """`data` without the line breaks that end lines; the last part is of an unfinished one."""
        return data.split(b"\n")

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if part:
            self._parts.append(part)
        if self._size > self._max_line + _TRIMMED:
            self._breaks += sum(kept.count(b"\n") for kept in self._parts)
            self._parts.clear()

    def _finish_line(self, part: bytes) -> Line:
        self._keep(part)
        forgotten = self._size and not self._parts
        if forgotten:
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
