"""Readers for what llhttp refuses and other clients accept: heads, and chunked bodies.

llhttp runs in its strict mode.  Its lenient modes let too much through at once: along with folded
lines they admit carriage returns inside values, and a folded Transfer-Encoding that is no longer
recognised as chunked.  So the two places where servers deviate from the letter, and where curl and
Go follow them, are read here instead, line by line, and only after llhttp has refused them:

- A head may have several blanks before the status (RFC 9112, section 4), folded lines (section
  5.2), lines that end with a bare line feed (section 2.2), control characters in values (RFC 9110,
  section 5.5), and the same Content-Length more than once (section 8.6).  The fields that tell
  where the body ends are left to llhttp, and stay as strict as ever.
- A chunk size may be followed by blanks, and by anything but a line break in its extension.  Lines
  end with CRLF and nothing else, since they decide where the body ends.

Nothing here does I/O.
"""

from __future__ import annotations

import re

LINE_BREAKS = b"\r\n"
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) +([1-9]\d\d)(?: [^\r]*)?")
_BEFORE_STATUS = re.compile(rb"\r?HTTP/1\.[01] {2,}(?:\Z|[1-9])")
_STATUS_START = b"HTTP/1."
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)([ \t]*):([^\r\0]*)")
# With more digits than these, leading zeros aside, it is not a size of anything.
_CHUNK_LINE = re.compile(rb"0*([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n\0]*)?\r\n")
_BLANKS = b" \t"
_FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding"})
_CONNECTION_FIELDS = frozenset({b"connection", b"proxy-connection"})
_CONTROLS = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
_CONTROLS_TO_BLANKS = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))


class Malformed(ValueError):
    """The bytes are not HTTP/1.1; the message says why."""


class HeadReader:
    """Reads the head of a response line by line.

    Attributes:
        fields: names in lower case, and values with each fold replaced by a blank.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self._start = b""
        self._line = bytearray()

    def __repr__(self) -> str:
        return f"<HeadReader: {self._start!r}, {len(self.fields)} fields>"

    @property
    def status(self) -> int:
        return int(self._start[-3:])

    def feed(self, data: bytes) -> bytes | None:
        """Read received bytes.  Return those after the head, or None if it is not complete.

        Raises:
            Malformed: no client would accept this as a head.
        """
        at = 0
        while end := data.find(b"\n", at) + 1:
            line = bytes(self._line) + data[at : end - 1]
            self._line.clear()
            at = end
            if not self._feed_line(line.removesuffix(b"\r")):
                return data[at:]
        self._line += data[at:]
        if not self._start and not _STATUS_START.startswith(self._line[:7].strip(b"\r")):
            raise Malformed("it does not begin with HTTP/1")
        return None

    def framing(self) -> bytes:
        """Return a head with only the fields that tell where the body ends, for llhttp to judge."""
        lines = [self._start + b" "]
        lengths = [value for name, value in self.fields if name == b"content-length"]
        lines += [b"Content-Length: %b" % length for length in _distinct(lengths)]
        for name, value in self.fields:
            if name == b"transfer-encoding":
                lines.append(b"%b: %b" % (name, value))
            elif name in _CONNECTION_FIELDS:
                lines.append(b"%b: %b" % (name, value.translate(_CONTROLS_TO_BLANKS)))
        return b"\r\n".join([*lines, b"", b""])

    def _feed_line(self, line: bytes) -> bool:
        """Read a line.  Return whether another one follows."""
        if not self._start:
            status_line = _STATUS_LINE.fullmatch(line)
            if status_line:
                self._start = b" ".join(status_line.groups())
            elif line:  # a server may send an extra empty line (RFC 9112, section 2.2)
                raise Malformed("invalid status line")
            return True
        if line:
            add_field(self.fields, line)
        return bool(line)


def may_become_valid(line: bytes) -> bool:
    """Return whether an unfinished status line that llhttp refuses may still be accepted."""
    return _BEFORE_STATUS.match(line) is not None


def after_heads(data: bytes, count: int) -> bytes:
    """Return the bytes after a number of heads, which llhttp has accepted."""
    at = 0
    for _ in range(count):
        while data[at] in LINE_BREAKS:
            at += 1
        at = data.index(b"\r\n\r\n", at) + 4
    return data[at:]


def _distinct(lengths: list[bytes]) -> list[bytes]:
    """Return one length where several, or a list of them, are equal (RFC 9110, section 8.6)."""
    numbers = [number.strip(_BLANKS) for length in lengths for number in length.split(b",")]
    if numbers and all(map(bytes.isdigit, numbers)) and len({n.lstrip(b"0") for n in numbers}) == 1:
        return numbers[:1]
    return lengths


class ChunkReader:
    """Reads a body in chunks (RFC 9112, section 7.1).

    Attributes:
        complete: whether the last chunk and the trailers have been read.
    """

    def __init__(self) -> None:
        self.complete = False
        self._line = b""
        self._left = 0
        self._ends_chunk = False
        self._trailers: list[tuple[bytes, bytes]] | None = None

    def __repr__(self) -> str:
        state = "complete" if self.complete else f"{self._left} bytes of a chunk to come"
        return f"<ChunkReader: {state}>"

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Read received bytes.

        Returns:
            The pieces of the body in them, and the bytes after its end.

        Raises:
            Malformed: the chunks are invalid.
        """
        pieces = []
        at = 0
        data = self._line + data
        self._line = b""
        while not self.complete and at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\n", at) + 1
            if not end:
                self._line = data[at:]
                if self._ends_chunk and self._line != b"\r":
                    raise Malformed("a chunk does not end where it should")
                return pieces, b""
            self._feed_line(data[at:end])
            at = end
        return pieces, data[at:]

    def _feed_line(self, line: bytes) -> None:
        if self._ends_chunk:
            if line != b"\r\n":
                raise Malformed("a chunk does not end where it should")
            self._ends_chunk = False
        elif self._trailers is None:
            chunk_line = _CHUNK_LINE.fullmatch(line)
            if not chunk_line:
                raise Malformed("invalid chunk size")
            self._left = int(chunk_line[1], 16)
            if self._left:
                self._ends_chunk = True
            else:
                self._trailers = []
        elif not line.endswith(b"\r\n"):
            raise Malformed("a bare line feed in the trailers")
        elif line == b"\r\n":
            self.complete = True
        else:
            add_field(self._trailers, line[:-2])
            if self._trailers[-1][0] in _FRAMING_FIELDS:
                raise Malformed("a trailer about the framing")


def add_field(fields: list[tuple[bytes, bytes]], line: bytes) -> None:
    """Add the field that a line holds, or append a folded line to the last field.

    Args:
        fields: those so far.
        line: without its line break.

    Raises:
        Malformed: the line is neither.
    """
    if line[:1] in (b" ", b"\t") and fields and not re.search(rb"[\r\0]", line):
        name, value = fields[-1]
        fields[-1] = name, b" ".join(filter(None, (value, line.strip(_BLANKS))))
        return
    field = _FIELD.fullmatch(line)
    if not field:
        raise Malformed("invalid header")
    name = field[1].lower()
    if field[2] and name in _FRAMING_FIELDS:
        raise Malformed("a blank before the colon of a header about the framing")
    fields.append((name, field[3].strip(_BLANKS)))
