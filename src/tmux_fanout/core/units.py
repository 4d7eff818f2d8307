"""Durations and sizes as people write them."""

from __future__ import annotations

import math
import re

from tmux_fanout.core.errors import ConfigError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_BYTES = {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_BYTES |= {"b": 1, "": 1}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)


def parse_duration(value: str | float) -> float:
    """Seconds from `250ms`, `10s`, `2m`, `1h` or plain seconds.

    Raises:
        ConfigError: the text is no duration; the message says what to write.
    """
    advice = "is not a duration; write 250ms, 10s, 2m, 1h or plain seconds"
    return _quantity(value, _SECONDS, advice)


def parse_size(value: str | int) -> int:
    """Bytes from `64KiB`, `16MiB`, `1GiB` (or `KB`, `MB`, `GB`: powers of ten), or plain bytes.

    Raises:
        ConfigError: the text is no size; the message says what to write.
    """
    return int(_quantity(value, _BYTES, "is not a size; write 64KiB, 16MiB or plain bytes"))


def _quantity(value: str | float, units: dict[str, float] | dict[str, int], advice: str) -> float:
    if isinstance(value, bool):
        raise ConfigError(f"{value!r} {advice}")
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        unit = match[2] if match else ""
        if match is None or unit.lower() not in units:
            raise ConfigError(f"{value!r} {advice}")
        return float(match[1]) * units[unit.lower()]
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ConfigError(f"{value!r} {advice}")
    return float(value)


def show_duration(seconds: float) -> str:
    """A duration for people, in the spelling that `parse_duration` reads: `250ms`, `1.5s`, `2m`."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g}ms"
    for unit, length in (("h", 3600.0), ("m", 60.0)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:.4g}s"


def show_size(size: float) -> str:
    """A size for people: `17 B`, `1.5 KiB`, `64 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1024
    return f"{size:.4g} GiB"
