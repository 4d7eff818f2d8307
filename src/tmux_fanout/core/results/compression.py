"""Output that is compressed as it is written, as the extension of its name says."""

from __future__ import annotations

import zlib
from typing import Any, Protocol

from tmux_fanout.core.errors import ConfigError


class Compressor(Protocol):
    """Takes data by pieces."""

    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes:
        """What is left, and the end."""
        ...


def is_compressed(name: str) -> bool:
    """Whether the extension of a name is that of a compression."""
    return name.lower().endswith((".gz", ".zst", ".bz2", ".xz"))


def compressor_for(name: str) -> Compressor | None:
    """What compresses a file of this name; None where it is to be as it is.

    Raises:
        ConfigError: it cannot be compressed so, or not here.
    """
    name = name.lower()
    if name.endswith(".gz"):
        return zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # RFC 1952
    if name.endswith(".zst"):
        return _zstandard()
    if is_compressed(name):
        why = f"{name[name.rindex('.') :]} is not written; name a FILE that ends in .gz or .zst"
        raise ConfigError(why)
    return None


def _zstandard() -> Compressor:
    try:
        import zstandard  # an extra
    except ImportError:
        raise ConfigError(".zst needs pip install 'tmux-fanout[zstd]'; or write .gz") from None
    compressor: Any = zstandard.ZstdCompressor().compressobj()
    return compressor  # type: ignore[no-any-return]  # it has no types
