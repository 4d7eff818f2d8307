"""The retry budget, which keeps an overloaded API from being flooded with retries.

As in Finagle's RetryBudget, retries may be a share of the attempts, plus some per second, so that a
run of few requests can retry as well.  A retry that finds the budget empty is not given up but
delayed: a run would rather be slow than lose records.
"""

from __future__ import annotations

SHARE = 0.2  # retries per attempt
PER_SECOND = 10.0
_MAX_BALANCE = 100.0  # retries; what was earned long ago means little now


class RetryBudget:
    """Count the retries that were earned and spent.

    Args:
        share: the share of the budget that this process has, from 0 to 1.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._per_second = PER_SECOND * share
        self._max_balance = _MAX_BALANCE * share
        self._balance = self._per_second
        self._time: float | None = None  # of the last retry
        self._attempts = 0

    def __repr__(self) -> str:
        return f"<RetryBudget: {self._balance:.1f}>"

    def spend(self, now: float, attempts: int) -> float:
        """Spend one retry; return the seconds until the budget covers it.

        Args:
            now: the time, in seconds.
            attempts: number of attempts made so far, over all calls.
        """
        passed = 0.0 if self._time is None else now - self._time
        earned = passed * self._per_second + (attempts - self._attempts) * SHARE
        self._balance = min(self._max_balance, self._balance + earned) - 1.0
        self._time, self._attempts = now, attempts
        return max(0.0, -self._balance / self._per_second)
