"""How long attempts take: stated, or as they were measured.

A distribution is given by its inverse: `at` returns the seconds that a share of all attempts does
not exceed.  So randomness stays with the caller, who passes uniform numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from statistics import NormalDist
from typing import Protocol

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid
from tmux_fanout.core.units import parse_duration

EXAMPLES = "fixed:50ms, exponential:80ms or lognormal:120ms,p99=2s"

_P99 = 0.99
_MAX_SHARE = 1 - 1e-9
_SHORTEST = 1e-6  # seconds
_NORMAL = NormalDist()


class Distribution(Protocol):
    """Durations of attempts."""

    def at(self, share: float) -> float:
        """Return the seconds that this share (0 to 1) of the attempts does not exceed."""
        ...


class Fixed(msgspec.Struct, frozen=True):
    """All attempts take the same time."""

    seconds: float

    def at(self, share: float) -> float:
        del share
        return self.seconds


class Exponential(msgspec.Struct, frozen=True):
    """Most attempts are quick: `mean` is the average in seconds."""

    mean: float

    def at(self, share: float) -> float:
        return -self.mean * math.log1p(-min(share, _MAX_SHARE))


class LogNormal(msgspec.Struct, frozen=True):
    """Half of the attempts take up to `median` seconds, and 99 % up to `p99`."""

    median: float
    p99: float

    def at(self, share: float) -> float:
        sigma = math.log(self.p99 / self.median) / _NORMAL.inv_cdf(_P99)
        return self.median * math.exp(sigma * _NORMAL.inv_cdf(min(max(share, 1e-9), _MAX_SHARE)))


class Measured(msgspec.Struct, frozen=True):
    """What some attempts took, in ascending order; those between two neighbours count as well."""

    seconds: Sequence[float]

    def at(self, share: float) -> float:
        place = share * (len(self.seconds) - 1)
        low = int(place)
        if low + 1 >= len(self.seconds):
            return self.seconds[-1]
        before, after = self.seconds[low], self.seconds[low + 1]
        return before + (after - before) * (place - low)


class Percentiles(msgspec.Struct, frozen=True):
    """What shares of the attempts took, both in ascending order; the last share is 1.

    Between two of them durations are spread evenly on a logarithmic scale.
    """

    shares: Sequence[float]
    seconds: Sequence[float]

    def at(self, share: float) -> float:
        index = bisect_right(self.shares, share)
        if index == 0:
            return max(self.seconds[0], _SHORTEST)
        if index >= len(self.shares):
            return max(self.seconds[-1], _SHORTEST)
        part = (share - self.shares[index - 1]) / (self.shares[index] - self.shares[index - 1])
        before, after = (max(self.seconds[at], _SHORTEST) for at in (index - 1, index))
        return float(before * (after / before) ** part)


def parse_latency(text: str) -> tuple[str | None, Distribution]:
    """Return what `--latency` says: the name of an API, or None for all others, and durations.

    Raises:
        ConfigError: it says nothing of the kind.
    """
    before, colon, _ = text.partition(":")
    name, equals, _ = before.rpartition("=")
    stated = text[len(name) + 1 :] if equals else text
    if not colon or (equals and not name):
        raise ConfigError(invalid("latency", text, f"NAME={EXAMPLES}"))
    return name or None, _distribution(stated)


def _distribution(text: str) -> Distribution:
    kind, _, parameters = text.partition(":")
    first, comma, second = parameters.partition(",")
    match kind.strip():
        case "fixed" if not comma:
            return Fixed(parse_duration(first))
        case "exponential" if not comma:
            return Exponential(parse_duration(first))
        case "lognormal" if second.strip().startswith("p99="):
            return _log_normal(
                parse_duration(first), parse_duration(second.strip().removeprefix("p99="))
            )
        case "lognormal":
            raise ConfigError(
                f"{invalid('latency', text, 'lognormal:120ms,p99=2s')}: the median and the p99"
            )
    raise ConfigError(invalid("latency", text, EXAMPLES))


def _log_normal(median: float, p99: float) -> LogNormal:
    if not 0 < median <= p99:
        why = "a lognormal latency has a median above 0, and a p99 of no less"
        raise ConfigError(f"{why}: use lognormal:120ms,p99=2s, say")
    return LogNormal(median, p99)
