"""The rate at which an endpoint accepted attempts of late."""

from __future__ import annotations

import math

AVERAGED_SECONDS = 0.5  # within which the weight of an attempt falls to 37 %
_LEAST_SECONDS = 0.1  # that a rate is taken over


class AcceptedRate:
    """How many attempts a second were accepted of late, by when they began.

    Args:
        now: the time from which they are counted.
        attempts: number of attempts that have begun by then, and are under way.
    """

    def __init__(self, now: float, attempts: int = 0) -> None:
        self._sum = float(attempts)
        self._at = now
        self._since = now

    def add(self, now: float) -> None:
        """Count an attempt that begins, and is taken to be accepted until it is refused."""
        self._sum = self._sum * math.exp((self._at - now) / AVERAGED_SECONDS) + 1.0
        self._at = now

    def withdraw(self, began: float) -> None:
        """Discount an attempt that was refused."""
        age = self._at - max(began, self._since)
        self._sum = max(0.0, self._sum - math.exp(-age / AVERAGED_SECONDS))

    def skip(self, seconds: float) -> None:
        """Leave out the last seconds, in which nothing was counted."""
        self._at += seconds
        self._since += seconds

    def has_lasted(self, time: float) -> bool:
        """Return whether attempts have been counted for long enough to tell a rate from a burst."""
        return time - self._since >= AVERAGED_SECONDS

    def at(self, time: float) -> float:
        """Return the rate at some time, which is not before the last attempt."""
        left = self._sum * math.exp((self._at - time) / AVERAGED_SECONDS)
        seconds = max(time - self._since, _LEAST_SECONDS)
        return left / -math.expm1(-seconds / AVERAGED_SECONDS) / AVERAGED_SECONDS
