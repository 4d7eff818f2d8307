"""Durations and sizes as people write them, and as messages show them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_BYTES = {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_BYTES |= {"b": 1, "": 1}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)
_MAX_QUANTITY = 1e15  # more than anyone means; integers below it are exact as floats


def parse_duration(value: str | float) -> float:
    """Return seconds from `250ms`, `10s`, `2m`, `1h`, `7d` or plain seconds.

    Raises:
        ConfigError: the value is not a duration.
    """
    seconds = _quantity(value, _SECONDS)
    if seconds is None:
        raise ConfigError(invalid("duration", value, "250ms, 10s, 2m, 1h, 7d or plain seconds"))
    return seconds


def parse_size(value: str | int) -> int:
    """Return bytes from `64KiB`, `16MiB`, `1GiB` (or `KB`, `MB`, `GB`: powers of ten), or bytes.

    Raises:
        ConfigError: the value is not a size.
    """
    size = _quantity(value, _BYTES)
    if size is None:
        raise ConfigError(invalid("size", value, "64KiB, 16MiB or plain bytes"))
    return int(size)


def _quantity(value: str | float, units: Mapping[str, float]) -> float | None:
    """Return an amount times its unit; None if it is not a quantity, or is absurdly large."""
    amount: float = -1
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        if match and match[2].lower() in units:
            amount = float(match[1]) * units[match[2].lower()]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        amount = value
    return float(amount) if 0 <= amount < _MAX_QUANTITY else None


def show_duration(seconds: float) -> str:
    """Return a short, rounded duration that `parse_duration` reads: `250ms`, `1.5s`, `2m`."""
    if 0 < seconds < 0.9995:
        return f"{max(seconds * 1000, 0.001):.3g}ms"
    seconds = float(f"{seconds:.4g}") if seconds < 1000 else round(seconds)
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s" if seconds < 1000 else f"{seconds:.0f}s"


def show_time_left(seconds: float) -> str:
    """Return a duration in whole seconds, rounded up: `43 s`, `2 min 40 s`, `1 h 5 min`."""
    left = ceil(seconds)
    if left < 100:
        return f"{left} s"
    if left < 3600:
        return f"{left // 60} min {left % 60} s"
    return f"{left // 3600:,} h {left % 3600 // 60} min"


def show_size(size: float) -> str:
    """Return a short, rounded size that `parse_size` reads: `17 B`, `1.5 KiB`, `64 MiB`."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size /= 1024
        unit = larger
    return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"


def parse_whole(text: str) -> int | None:
    """Return a whole number from decimal digits; None for other text or more than 18 digits."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def show_pace(per_second: float) -> str:
    """Return a number per second as text, rounded."""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.2g}/s"
