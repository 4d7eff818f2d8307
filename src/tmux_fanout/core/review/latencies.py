"""Percentiles and a histogram of any number of durations, in memory of a fixed size.

DDSketch (Masson, Rim and Lee, VLDB 2019) guarantees that a percentile is off by no more than a
given share of itself.  A t-digest does not: it interpolates, so where 99 % of calls take 10 ms and
the rest time out, its p99 is a duration that no call had.

Adding to a sketch takes half a microsecond.  Envelopes have tenths of milliseconds, so many
durations are equal: they are gathered, and each distinct one is added once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from math import inf

from ddsketch import LogCollapsingLowestDenseDDSketch

from tmux_fanout.core.review.figures import Bar, Latency

EXACTLY, ROUGHLY = 0.002, 0.01  # shares of a percentile by which it may be off

_MAX_BUCKETS = 8192  # of a sketch, from 0.1 ms to hours; short durations share one beyond that
_DECADES = range(-4, 6)
_STEPS = 10  # bars per decade
_DIGITS = 4  # after the point, as envelopes have them

EDGES: Sequence[float] = sorted(
    {0.0} | {round(10 ** (d + s / _STEPS), _DIGITS) for d in _DECADES for s in range(_STEPS + 1)}
)
"""The edges of bars of the histogram, in seconds; the last bar has what is longer, too.

They are multiples of what envelopes can tell apart, or bars would be high and low by turns.
"""


class Latencies:
    """Durations of calls.

    Args:
        accuracy: share of a percentile by which it may be off.
        gathered: number of durations that are kept until they are added together.
    """

    __slots__ = ("_bars", "_gathered", "_max", "_min", "_pending", "_sketch")

    def __init__(self, accuracy: float, gathered: int) -> None:
        self._sketch = LogCollapsingLowestDenseDDSketch(accuracy, _MAX_BUCKETS)
        self._bars: Counter[int] = Counter()
        self._gathered = gathered
        self._pending: list[float] = []
        self._min, self._max = inf, 0.0

    def __repr__(self) -> str:
        return f"<Latencies: {self._sketch.count:.0f} and {len(self._pending)} more>"

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._pending.append(seconds)
        if len(self._pending) >= self._gathered:
            self._flush()

    def include(self, other: Latencies) -> None:
        """Add the durations of another one, of the same accuracy."""
        self._flush()
        other._flush()
        self._sketch.merge(other._sketch)
        self._bars.update(other._bars)
        self._min, self._max = min(self._min, other._min), max(self._max, other._max)

    def _flush(self) -> None:
        if not self._pending:
            return
        for seconds, count in Counter(self._pending).items():
            self._sketch.add(seconds, count)
            self._bars[min(bisect_right(EDGES, seconds), len(EDGES) - 1)] += count
        self._min = min(self._min, *self._pending)
        self._max = max(self._max, *self._pending)
        self._pending.clear()

    def percentiles(self, *shares: float) -> Sequence[float] | None:
        """Return the seconds that such shares of the durations do not exceed; None if none."""
        self._flush()
        if not self._sketch.count:
            return None
        found = (self._sketch.get_quantile_value(share) or 0.0 for share in shares)
        return [_rounded(min(max(self._min, seconds), self._max)) for seconds in found]

    @property
    def max(self) -> float | None:
        """The longest duration; None if there are none."""
        self._flush()
        return _rounded(self._max) if self._sketch.count else None

    def latency(self) -> Latency | None:
        """Return the percentiles; None if there are no durations."""
        found = self.percentiles(0.5, 0.9, 0.95, 0.99, 0.999)
        if found is None:
            return None
        count, mean = int(self._sketch.count), _rounded(self._sketch.avg)
        p50, p90, p95, p99, p999 = found
        low, high = _rounded(self._min), _rounded(self._max)
        return Latency(count, low, mean, p50, p90, p95, p99, p999, high)

    def histogram(self) -> Sequence[Bar]:
        """Return the bars from the shortest duration to the longest, empty ones included."""
        self._flush()
        if not self._bars:
            return ()
        return [
            Bar(EDGES[at - 1], EDGES[at], self._bars[at])
            for at in range(min(self._bars), max(self._bars) + 1)
        ]


def _rounded(seconds: float) -> float:
    return round(seconds, 6)
