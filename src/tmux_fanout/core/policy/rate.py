"""Rates: when the next attempt may begin.

The generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A): the limiter
keeps one number, the time at which the next attempt would be on schedule, and lets attempts be
early by the burst.  Over any t seconds it lets through at most burst + rate x t.
"""

from __future__ import annotations

import math
import re

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import describe

BURST_SECONDS = 0.1  # what the burst holds, at least one attempt

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Pacer:
    """Decides when attempts may begin, from the times it is told.

    Args:
        rate: attempts per second.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        burst = max(1.0, rate * BURST_SECONDS)
        self._early = (burst - 1) * self._interval
        self._schedule = 0.0

    def __repr__(self) -> str:
        return f"<Pacer: {1 / self._interval:g}/s>"

    def wait(self, now: float) -> float:
        """Seconds until an attempt may begin; 0 if it may now."""
        return max(0.0, self._schedule - self._early - now)

    def take(self, now: float) -> None:
        """An attempt begins."""
        self._schedule = max(self._schedule, now) + self._interval


def parse_rate(value: object) -> float:
    """Attempts per second from a text such as `50/s`, `300/m` or `1000/h`.

    Raises:
        ConfigError: it is no rate.
    """
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    rate = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    if not rate or rate == math.inf:
        raise ConfigError(f"{describe(value)} is not a rate; write 50/s, 300/m or 1000/h")
    return rate


def show_rate(rate: float) -> str:
    """A rate as a text that means it exactly, with the unit that makes a whole number of it."""
    for unit, seconds in _SECONDS.items():
        if (rate * seconds).is_integer():
            return f"{rate * seconds:.0f}/{unit}"
    return f"{rate!r}/s"
