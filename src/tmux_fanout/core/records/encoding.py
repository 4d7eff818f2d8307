"""Convert UTF-16 to UTF-8 as it is read, where a byte order mark says that it is UTF-16.

Spreadsheets and PowerShell write such files.  Neither mark can begin text in UTF-8.
"""

from __future__ import annotations

import codecs

from tmux_fanout.core.records.framing import BOM

_CODECS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_MARK_SIZE = 2
_LENIENT = "surrogatepass"  # half a character costs its own line only, which is then not UTF-8


class CutShort(ValueError):
    """The text ends in the middle of a character."""


def looks_converted(data: bytes) -> bool:
    """Return whether a stream that begins with `data` would be converted."""
    return data[:_MARK_SIZE] in _CODECS


class Transcoder:
    """Convert a stream in UTF-16, or pass on one in any other encoding; sans-I/O.

    The first byte is held back if it may begin a mark, which completes no line.
    """

    def __init__(self) -> None:
        self._start: bytes | None = b""  # until it is decided
        self._decoder: codecs.IncrementalDecoder | None = None

    def __repr__(self) -> str:
        return f"<Transcoder: {'UTF-16' if self._decoder else 'as it is'}>"

    def feed(self, data: bytes) -> bytes:
        """Return the next bytes of the stream in UTF-8."""
        if self._start is not None:
            data = self._start + data
            if len(data) < _MARK_SIZE and any(mark.startswith(data) for mark in _CODECS):
                self._start = data
                return b""
            self._start = None
            if codec := _CODECS.get(data[:_MARK_SIZE]):
                self._decoder = codecs.getincrementaldecoder(codec)(_LENIENT)
                return BOM + self._convert(data[_MARK_SIZE:])
        return self._convert(data) if self._decoder else data

    def finish(self) -> bytes:
        """Return what was held back.

        Raises:
            CutShort: A character is incomplete.
        """
        if self._decoder and self._decoder.getstate()[0]:
            raise CutShort("the UTF-16 text is cut short")
        data, self._start = self._start or b"", None
        return data

    def _convert(self, data: bytes) -> bytes:
        assert self._decoder
        return self._decoder.decode(data).encode(errors=_LENIENT)
