"""What a run counts.  All of it is of fixed size, however long the run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.outcome import Outcome, Result
from tmux_fanout.core.resuming import Kept

_PER_OCTAVE = 16  # buckets grow by 2 ** (1/16): a percentile is off by 2.2 % at most
_SHORTEST = 1e-6


class Histogram:
    """Durations in logarithmic buckets, as in HdrHistogram; a percentile is within 2.2 %."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.max = 0.0

    def add(self, seconds: float) -> None:
        self._buckets[math.floor(math.log2(max(seconds, _SHORTEST)) * _PER_OCTAVE)] += 1
        self.count += 1
        self.max = max(self.max, seconds)

    def percentile(self, share: float) -> float:
        """Seconds that `share` (0 to 1) of the durations do not exceed; 0 if there are none."""
        rank = math.ceil(share * self.count)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                middle: float = 2.0 ** ((bucket + 0.5) / _PER_OCTAVE)
                return min(middle, self.max)
        return 0.0


class ApiStatistics:
    """What one API's calls came to.

    Attributes:
        calls: settled so far; the kinds in `errors` are some of them.
        attempts: requests begun.
        in_flight: attempts under way now.
        latency: seconds of each call, from its first attempt to its outcome.
        bytes_sent, bytes_received: request bodies; whole responses.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.attempts = 0
        self.in_flight = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.errors: Counter[ErrorKind] = Counter()
        self.latency = Histogram()

    def settled(self, outcome: Outcome) -> None:
        """A call has its outcome."""
        self.calls += 1
        if outcome.attempts:
            self.latency.add(outcome.seconds)
        if outcome.error:
            self.errors[outcome.error.kind] += 1


class RunStatistics:
    """What a run came to.

    Attributes:
        read: records read; each of them is written once.
        written: lines written.
        ok: records ok among those written.
        errors: the others, by the kind of their first error.
        there: how many of all these records are of an earlier run, which this one goes on with.
        seconds: how long the run took.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.apis = [ApiStatistics(name) for name in names]
        self.read = 0
        self.written = 0
        self.ok = 0
        self.errors: Counter[ErrorKind] = Counter()
        self.there = 0
        self._not_ok_there = 0
        self.seconds = 0.0

    def go_on_after(self, kept: Kept) -> None:
        """Count what an earlier run has left as read and written."""
        self.there = self.read = self.written = kept.records
        self.ok = kept.ok
        self.errors.update(kept.errors)
        self._not_ok_there = self.not_ok

    @property
    def not_ok(self) -> int:
        return self.errors.total()

    @property
    def own(self) -> tuple[int, int]:
        """Records of this run alone: how many are not ok, and of how many that were written."""
        return self.not_ok - self._not_ok_there, self.written - self.there

    @property
    def attempts(self) -> int:
        return sum(api.attempts for api in self.apis)

    def wrote(self, results: Sequence[Result]) -> None:
        """These results have been handed over."""
        self.written += len(results)
        for result in results:
            error = result.first_error
            if error is None:
                self.ok += 1
            else:
                self.errors[error.kind] += 1
