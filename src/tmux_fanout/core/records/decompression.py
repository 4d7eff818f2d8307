"""Recognise compressed input by its first bytes, and decompress it as a stream in bounded steps.

Recognition delays no record: no format's first bytes contain a line break, so bytes that are held
back because a compressed stream may begin with them complete no line.

Damage loses nothing that precedes it.  A decoder that fails drops what it decoded in the same call,
so no call is given both bytes that could complete data and bytes that could fail.  bzip2 and xz
take one byte at a time, since any byte may be the first that is found wrong.  zstd takes three:
after the last byte of a block nothing is found wrong before the three bytes of the next header, or
the four of the checksum, are complete (RFC 8878, section 3.1.1).  zlib can go back, so gzip takes
many, and only those of a call that failed again, one at a time.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

PIECE = 64 << 10  # bytes of output per step, roughly
_MAX_INPUT = 16 << 10  # bytes of input per step: some milliseconds of the slowest decoder
MAX_MEMORY = 256 << 20  # bytes of an xz dictionary; `xz -9` needs 65 MiB
_INSTALL = "pip install 'tmux-fanout[zstd]'"


class CannotDecompress(ValueError):
    """The data is damaged or cut short, or the package that decompresses it is not installed."""


class _Decoder(Protocol):
    """What `bz2` and `lzma` call a decompressor; any failure to decode is an OSError here."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """Decode a member of gzip (RFC 1952); after a failure the same bytes can be fed again."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unconsumed_tail + self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        before = self._inflate.copy()
        try:
            piece = self._inflate.decompress(data, max_length)
        except zlib.error:
            self._inflate = before
            raise
        self.needs_input = len(piece) < max_length
        return piece


class _Zstd:
    """Decode a frame of zstd; only the size of `data` bounds the output, to a block of 128 KiB."""

    eof = False
    needs_input = True
    unused_data = b""

    def __init__(self) -> None:
        try:
            import zstandard  # an extra
        except ImportError as exc:
            raise CannotDecompress(f"it is compressed with zstd; {_INSTALL}") from exc
        self._error = zstandard.ZstdError
        self._decoder = zstandard.ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            piece: bytes = self._decoder.decompress(data)
        except self._error as exc:
            raise OSError(str(exc)) from exc
        if self._decoder.eof:
            self.eof, self.unused_data = True, self._decoder.unused_data
        return piece


def _xz() -> _Decoder:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY)


class _Format(NamedTuple):
    """A compression, and how many bytes of it a decoder is given at a time."""

    name: str
    new_decoder: Callable[[], _Decoder]
    step: int


_GZIP = _Format("gzip", _Gzip, _MAX_INPUT)
_BZIP2 = _Format("bzip2", bz2.BZ2Decompressor, 1)
_XZ = _Format("xz", _xz, 1)
_ZSTD = _Format("zstd", _Zstd, 3)

# "BZh" and a level alone could begin a text; the next six bytes begin a block, or end the stream.
_MAGIC = {
    b"\x1f\x8b": _GZIP,
    b"\xfd7zXZ\0": _XZ,
    b"\x28\xb5\x2f\xfd": _ZSTD,
    **{bytes([byte]) + b"*M\x18": _ZSTD for byte in range(0x50, 0x60)},  # skippable frames
    **{b"BZh%d1AY&SY" % level: _BZIP2 for level in range(1, 10)},
    **{b"BZh%d\x17\x72\x45\x38\x50\x90" % level: _BZIP2 for level in range(1, 10)},
}


def _damaged(name: str, exc: Exception) -> CannotDecompress:
    why = str(exc).rpartition(": ")[2]
    return CannotDecompress(f"damaged {name} data ({why[:1].lower()}{why[1:]})")


def looks_compressed(data: bytes) -> bool:
    """Return whether a stream that begins with `data` would be decompressed."""
    return any(data.startswith(magic) for magic in _MAGIC)


class Decompressor:
    """Decompress a stream, or pass on one that is not compressed; sans-I/O.

    Consecutive gzip members, bzip2 or xz streams, or zstd frames are one stream; zero bytes after
    one are padding.  Call `feed`, then `take` until it needs input.
    """

    def __init__(self) -> None:
        self._input = b""
        self._at = 0  # index of the first byte of input that is not used
        self._is_plain = False
        self._format: _Format | None = None
        self._decoder: _Decoder | None = None
        self._step = 0
        self._error: CannotDecompress | None = None

    def __repr__(self) -> str:
        plain = "plain" if self._is_plain else "undecided"
        return f"<Decompressor: {self._format.name if self._format else plain}>"

    @property
    def needs_input(self) -> bool:
        """Whether `take` returns nothing before more is fed."""
        if self._error:
            return False
        if self._decoder is None:
            return not (self._is_plain and self._input)
        return self._at == len(self._input) and (self._decoder.needs_input or self._decoder.eof)

    @property
    def pending(self) -> int:
        """The number of bytes that were fed and not used yet."""
        return len(self._input) - self._at

    def feed(self, data: bytes) -> None:
        """Add bytes of the stream; call it when it needs input."""
        self._input = self._input[self._at :] + data
        self._at = 0
        if self._format is None and not self._is_plain:
            self._recognise()

    def take(self) -> bytes:
        """Return what comes next, at most about `PIECE` bytes; empty if that needs input.

        Raises:
            CannotDecompress: The data is damaged, and all that precedes the damage was returned.
        """
        if self._is_plain:
            data, self._input = self._input, b""
            return data
        out: list[bytes] = []
        if self._format and self._decoder and not self._error:
            try:
                self._decode(self._format, self._decoder, out)
            except (zlib.error, lzma.LZMAError, OSError) as exc:
                if isinstance(self._decoder, _Gzip) and self._step > 1:
                    self._step = 1
                else:
                    self._error = _damaged(self._format.name, exc)
        if self._error and not out:
            raise self._error
        return b"".join(out)

    def finish(self) -> bytes:
        """Return the bytes of a plain stream that were too few to recognise it by.

        Raises:
            CannotDecompress: The data is cut short.
        """
        if self._format and self._decoder and not self._decoder.eof:
            raise CannotDecompress(f"the {self._format.name} data is cut short")
        data, self._input = self._input[self._at :], b""
        return data

    def _recognise(self) -> None:
        for magic, form in _MAGIC.items():
            if self._input.startswith(magic):
                self._format = form
                try:
                    self._start_decoder(form)
                except CannotDecompress as exc:
                    self._error = exc
                return
        self._is_plain = not any(magic.startswith(self._input) for magic in _MAGIC)

    def _start_decoder(self, form: _Format) -> _Decoder:
        self._decoder = form.new_decoder()
        self._step = form.step
        return self._decoder

    def _decode(self, form: _Format, decoder: _Decoder, out: list[bytes]) -> None:
        """Append about `PIECE` bytes to `out`, from at most `_MAX_INPUT` bytes of input."""
        end = min(len(self._input), self._at + _MAX_INPUT)
        size = 0
        while size < PIECE:
            if decoder.eof:
                padded = self._input[self._at :]
                self._at += len(padded) - len(padded.lstrip(b"\0"))
                if self._at == len(self._input):
                    return
                decoder = self._start_decoder(form)
            data = b""
            if decoder.needs_input:
                if self._at >= end:
                    return
                data = self._input[self._at : self._at + self._step]
            piece = decoder.decompress(data, PIECE)
            self._at += len(data) - len(decoder.unused_data)
            if piece:
                out.append(piece)
                size += len(piece)
