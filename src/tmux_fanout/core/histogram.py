"""A histogram of durations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import ceil, floor, log2

PER_OCTAVE = 16  # each bucket is wider by 2 ** (1/16), so a percentile is within 2.2 %
_MIN_SECONDS = 1e-6


class Histogram:
    """Counts of durations in logarithmic buckets, as in HdrHistogram.

    Attributes:
        max: the longest duration, in seconds.
    """

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.max = 0.0

    def __repr__(self) -> str:
        return f"<Histogram: {self.count} durations, at most {self.max} s>"

    def add(self, seconds: float) -> None:
        """Count a duration."""
        if seconds > self.max:  # noqa: PLR1730 - in a fraction of the time of max()
            self.max = seconds
        self._buckets[
            floor(log2(seconds if seconds > _MIN_SECONDS else _MIN_SECONDS) * PER_OCTAVE)
        ] += 1

    @property
    def count(self) -> int:
        """The number of durations."""
        return self._buckets.total()

    @property
    def buckets(self) -> Mapping[int, int]:
        """The number of durations in each bucket."""
        return self._buckets

    def include(self, buckets: Mapping[int, int], longest: float) -> None:
        """Add the durations of another histogram.

        Args:
            buckets: its buckets.
            longest: its longest duration, in seconds.
        """
        self._buckets.update(buckets)
        self.max = max(self.max, longest)

    def percentile(self, share: float) -> float:
        """Return the seconds that `share` (0 to 1) of the durations do not exceed; 0 if none."""
        rank = ceil(share * self.count)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                middle: float = 2.0 ** ((bucket + 0.5) / PER_OCTAVE)
                return min(middle, self.max)
        return 0.0
