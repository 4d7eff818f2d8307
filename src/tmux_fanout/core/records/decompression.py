"""Compressed input: seen by its first bytes, and undone as a stream in bounded steps.

Telling costs no time: no format's first bytes hold a line break, so what is held back, because it
may be the beginning of one, completes no line.

Damage costs nothing that came before it.  But a decoder that fails drops what it had decoded in
that very call.  So no call is given bytes that could bring data together with bytes that could
fail it: zlib can go back and take the same bytes one by one; the others get so few at a time that
a call brings one or fails, but not both.  Few bytes also bound what comes out of a decoder that
knows no bound itself.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

PIECE = 64 << 10
_MOST_INPUT = 16 << 10  # of one piece: some milliseconds of the slowest decoder
_MOST_MEMORY = 256 << 20  # of an xz dictionary; `xz -9` asks for 65 MiB
_INSTALL = "pip install 'tmux-fanout[zstd]'"


class CannotDecompress(ValueError):
    """The data is damaged or cut short, or there is nothing here to decompress it with."""


class _Decoder(Protocol):
    """Decodes one member (of gzip), stream (bzip2, xz) or frame (zstd).

    Attributes:
        name: of the format.
        has_more: whether there is output for which it needs no more input.
        eof: whether the member is over.
    """

    name: str
    has_more: bool

    @property
    def eof(self) -> bool: ...

    def decode(self, data: bytes, out: list[bytes]) -> int:
        """Append what comes next, about `PIECE` bytes; returns how many of `data` were taken.

        Raises:
            CannotDecompress: the data is damaged; what came before was appended.
        """
        ...


class _Gzip:
    """RFC 1952."""

    name = "gzip"

    def __init__(self) -> None:
        self.has_more = False
        self._step = _MOST_INPUT
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    def decode(self, data: bytes, out: list[bytes]) -> int:
        step = data[: self._step]
        before = self._inflate.copy()
        try:
            piece = self._inflate.decompress(step, PIECE)
        except zlib.error as exc:
            if len(step) <= 1:
                raise _damaged(self.name, exc) from exc
            self._inflate, self._step = before, 1
            return 0
        out.append(piece)
        self.has_more = len(piece) == PIECE and not self.eof
        left = len(self._inflate.unconsumed_tail) + len(self._inflate.unused_data)
        return len(step) - left


class _Bytewise:
    """bzip2 and xz.  Any byte may be the first that is found wrong, so they come one by one."""

    def __init__(self, name: str, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self.name = name
        self.has_more = False
        self._decoder = decoder

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    def decode(self, data: bytes, out: list[bytes]) -> int:
        decoder = self._decoder
        taken = size = 0
        try:
            if self.has_more:
                out.append(decoder.decompress(b"", PIECE))
                size = PIECE
            while taken < len(data) and size < PIECE and decoder.needs_input:
                piece = decoder.decompress(data[taken : taken + 1], PIECE)
                taken += 1
                if piece:
                    out.append(piece)
                    size += len(piece)
        except (OSError, lzma.LZMAError) as exc:
            raise _damaged(self.name, exc) from exc
        self.has_more = not (decoder.needs_input or decoder.eof)
        return taken


class _Zstandard:
    """RFC 8878.

    Data comes by blocks of at most 128 KiB.  After the last byte of one, nothing is found wrong
    before the three bytes of the next header, or the four of the checksum, are complete.
    """

    name = "zstd"
    has_more = False

    def __init__(self) -> None:
        try:
            import zstandard  # an extra
        except ImportError as exc:
            raise CannotDecompress(f"it is compressed with zstd; {_INSTALL}") from exc
        self._error = zstandard.ZstdError
        self._decoder = zstandard.ZstdDecompressor().decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    def decode(self, data: bytes, out: list[bytes]) -> int:
        decoder = self._decoder
        taken = size = 0
        try:
            while taken < len(data) and size < PIECE and not decoder.eof:
                piece = decoder.decompress(data[taken : taken + 3])
                taken += 3
                if piece:
                    out.append(piece)
                    size += len(piece)
        except self._error as exc:
            raise _damaged(self.name, exc) from exc
        return min(taken, len(data)) - len(decoder.unused_data)


def _damaged(name: str, exc: Exception) -> CannotDecompress:
    why = str(exc).rpartition(": ")[2]
    return CannotDecompress(f"damaged {name} data ({why[:1].lower()}{why[1:]})")


def _bzip2() -> _Decoder:
    return _Bytewise("bzip2", bz2.BZ2Decompressor())


def _xz() -> _Decoder:
    return _Bytewise("xz", lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY))


# "BZh" and a level alone could begin a text; the next six bytes begin a block, or end the stream.
_MAGIC: dict[bytes, Callable[[], _Decoder]] = {
    b"\x1f\x8b": _Gzip,
    b"\xfd7zXZ\0": _xz,
    b"\x28\xb5\x2f\xfd": _Zstandard,
    **{bytes([byte]) + b"*M\x18": _Zstandard for byte in range(0x50, 0x60)},  # skippable frames
    **{b"BZh%d1AY&SY" % level: _bzip2 for level in range(1, 10)},
    **{b"BZh%d\x17\x72\x45\x38\x50\x90" % level: _bzip2 for level in range(1, 10)},
}


def looks_compressed(data: bytes) -> bool:
    """Whether a stream that begins with `data` would be decompressed."""
    return any(data.startswith(magic) for magic in _MAGIC)


class Decompressor:
    """Sans-I/O: undoes the compression of a stream, or passes a stream on that has none.

    Members in a row are one stream; zero bytes after a member are padding.  Feed it, then take
    until it needs input.
    """

    def __init__(self) -> None:
        self._input = b""
        self._at = 0
        self._is_plain = False
        self._make: Callable[[], _Decoder] | None = None
        self._decoder: _Decoder | None = None
        self._trouble: CannotDecompress | None = None

    def __repr__(self) -> str:
        if self._decoder:
            return f"<Decompressor: {self._decoder.name}>"
        return f"<Decompressor: {'plain' if self._is_plain else 'undecided'}>"

    @property
    def needs_input(self) -> bool:
        """Whether `take` has nothing to give before more is fed."""
        if self._trouble:
            return False
        if self._decoder is None:
            return not (self._is_plain and self._input)
        return self._at == len(self._input) and not self._decoder.has_more

    def feed(self, data: bytes) -> None:
        """Add bytes as they were read; once it needs input."""
        self._input = self._input[self._at :] + data
        self._at = 0
        if self._decoder is None and not self._is_plain:
            self._recognise()

    def take(self) -> bytes:
        """What comes next, at most about `PIECE` bytes, or nothing yet.

        Raises:
            CannotDecompress: the data is damaged; what came before was handed out.
        """
        if self._trouble:
            raise self._trouble
        if self._decoder:
            return self._decode()
        data = b""
        if self._is_plain:
            data, self._input = self._input, data
        return data

    def finish(self) -> bytes:
        """The last bytes of a plain stream, where they were too few to tell what it is.

        Raises:
            CannotDecompress: the data was cut short.
        """
        if self._decoder and not self._decoder.eof:
            raise CannotDecompress(f"the {self._decoder.name} data is cut short")
        data, self._input = self._input[self._at :], b""
        return data

    def _recognise(self) -> None:
        for magic, make in _MAGIC.items():
            if self._input.startswith(magic):
                self._make = make
                try:
                    self._decoder = make()
                except CannotDecompress as exc:
                    self._trouble = exc
                return
        self._is_plain = not any(magic.startswith(self._input) for magic in _MAGIC)

    def _decode(self) -> bytes:
        pieces: list[bytes] = []
        start, size = self._at, 0
        while size < PIECE and self._at - start < _MOST_INPUT and not self.needs_input:
            count = len(pieces)
            try:
                self._decode_into(pieces)
            except CannotDecompress as exc:
                self._trouble = exc
                break
            size += sum(map(len, pieces[count:]))
        if self._trouble and not any(pieces):
            raise self._trouble
        return b"".join(pieces)

    def _decode_into(self, pieces: list[bytes]) -> None:
        assert self._decoder
        assert self._make
        if self._decoder.eof:
            while self._at < len(self._input) and not self._input[self._at]:
                self._at += 1
            if self._at == len(self._input):
                return
            self._decoder = self._make()
        data = self._input[self._at : self._at + _MOST_INPUT]
        self._at += self._decoder.decode(data, pieces)
