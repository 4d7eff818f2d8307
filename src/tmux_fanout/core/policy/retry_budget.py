"""The retry budget: what keeps a brown-out from becoming a storm.

As in Finagle's RetryBudget: retries may be a share of the attempts, and some per second beside, so
that a run of few requests can retry as well.  A retry that finds the budget empty is not given up
but waits its turn: a batch would rather go slowly than lose records.
"""

from __future__ import annotations

SHARE = 0.2  # retries per attempt
PER_SECOND = 10.0
_MOST = 100.0  # retries saved up at most: what was earned long ago says little about now


class RetryBudget:
    """Counts what retries were earned and spent.

    Args:
        share: of the budget, where several processes have one together.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._per_second = PER_SECOND * share
        self._most = _MOST * share
        self._balance = self._per_second
        self._time: float | None = None  # of the last retry
        self._attempts = 0

    def __repr__(self) -> str:
        return f"<RetryBudget: {self._balance:.1f}>"

    def spend(self, now: float, attempts: int) -> float:
        """Take a retry out of the budget; seconds until there will be enough in it for that.

        Args:
            attempts: made so far, of all calls.
        """
        passed = 0.0 if self._time is None else now - self._time
        earned = passed * self._per_second + (attempts - self._attempts) * SHARE
        self._balance = min(self._most, self._balance + earned) - 1.0
        self._time, self._attempts = now, attempts
        return max(0.0, -self._balance / self._per_second)
