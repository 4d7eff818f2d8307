"""Rate limits: when the next attempt may begin.

This is the generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A): it
keeps one number, the time at which the next attempt is due, and lets attempts be early by the
burst.  In any t seconds it allows at most burst + rate * t attempts.
"""

from __future__ import annotations

import math
import re

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid

BURST_SECONDS = 0.1  # the burst is the attempts of this time, and at least one

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Pacer:
    """Decide when attempts may begin.

    Args:
        rate: attempts per second.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        burst = max(1.0, rate * BURST_SECONDS)
        self._early = (burst - 1) * self._interval
        self._due = 0.0

    def __repr__(self) -> str:
        return f"<Pacer: {1 / self._interval:g}/s>"

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin; 0 if it may begin now."""
        return max(0.0, self._due - self._early - now)

    def take(self, now: float) -> None:
        """Record that an attempt begins."""
        self._due = max(self._due, now) + self._interval


def parse_rate(value: object) -> float:
    """Return the attempts per second of a text such as `50/s`, `300/m` or `1000/h`.

    Raises:
        ConfigError: the text is no rate.
    """
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    rate = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    if not rate or rate == math.inf:
        raise ConfigError(invalid("rate", value, "N/s, N/m or N/h, such as 50/s"))
    return rate


def show_rate(rate: float) -> str:
    """Return a rate as text, exactly, in the smallest unit that gives a whole number."""
    for unit, seconds in _SECONDS.items():
        if (rate * seconds).is_integer():
            return f"{rate * seconds:.0f}/{unit}"
    return f"{rate!r}/s"
