"""Compress output while it is written, by the extension of the file's name."""

from __future__ import annotations

import zlib
from typing import Any, Protocol

from tmux_fanout.core.errors import ConfigError


class Compressor(Protocol):
    """Compresses data piece by piece."""

    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes:
        """Return the remaining bytes and the trailer."""
        ...


def is_compressed(name: str) -> bool:
    """Return whether a file name has the extension of a compression format."""
    return name.lower().endswith((".gz", ".zst", ".bz2", ".xz"))


def compressor_for(name: str) -> Compressor | None:
    """Return a compressor if the extension of a file name asks for one, or None.

    Raises:
        ConfigError: The format cannot be written, or its package is not installed.
    """
    name = name.lower()
    if name.endswith(".gz"):
        return zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # RFC 1952
    if name.endswith(".zst"):
        return _zstandard()
    if is_compressed(name):
        why = f"cannot write {name[name.rindex('.') :]}; name a FILE that ends in .gz or .zst"
        raise ConfigError(why)
    return None


def _zstandard() -> Compressor:
    try:
        import zstandard  # an extra
    except ImportError:
        raise ConfigError(
            "cannot write .zst without pip install 'tmux-fanout[zstd]'; or write .gz"
        ) from None
    compressor: Any = zstandard.ZstdCompressor().compressobj()
    return compressor  # type: ignore[no-any-return]  # it has no types
