"""Durations in logarithmic buckets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import ceil, floor, log2

_PER_OCTAVE = 16  # buckets grow by 2 ** (1/16): a percentile is off by 2.2 % at most
_SHORTEST = 1e-6


class Histogram:
    """Durations in logarithmic buckets, as in HdrHistogram; a percentile is within 2.2 %."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.max = 0.0

    def add(self, seconds: float) -> None:
        if seconds > self.max:  # noqa: PLR1730 - a fraction of what max() takes
            self.max = seconds
        self._buckets[floor(log2(seconds if seconds > _SHORTEST else _SHORTEST) * _PER_OCTAVE)] += 1

    @property
    def count(self) -> int:
        """How many durations there are."""
        return self._buckets.total()

    @property
    def buckets(self) -> Mapping[int, int]:
        """How many durations there are, by bucket."""
        return self._buckets

    def include(self, buckets: Mapping[int, int], longest: float) -> None:
        """Add the durations of another, of which the longest is this."""
        self._buckets.update(buckets)
        self.max = max(self.max, longest)

    def percentile(self, share: float) -> float:
        """Seconds that `share` (0 to 1) of the durations do not exceed; 0 if there are none."""
        rank = ceil(share * self.count)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                middle: float = 2.0 ** ((bucket + 0.5) / _PER_OCTAVE)
                return min(middle, self.max)
        return 0.0
