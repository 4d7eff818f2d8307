"""A limit that finds itself: as many attempts at the same time as an API can take.

The shape is that of Vector's Adaptive Request Concurrency: additive increase and multiplicative
decrease (Chiu and Jain, 1989), steered by round-trip times and by refusals, once per window.  How
much to decrease is taken from the times, as in Netflix's concurrency-limits and in TCP Vegas
(Brakmo and Peterson, 1995): where answers take a quarter longer than they need to, a fifth of the
attempts do nothing but wait at the server.

A window is three round trips of attempts, those that begin and end in it; one round trip is enough
where some of them are refused:

    some were refused (429, 503, or no answer in time)     a tenth less
    the mean time is well above the base                   less by base / mean, and a bit, so that
                                                           what queues is worked off
    else, if the limit was reached                         doubled, until the first decrease;
                                                           then a twentieth more, at least 1

The base is the time that answers take where nothing queues.  It follows shorter times quickly and
longer ones slowly, so that queues of our own making do not pass for it; where the limit is at its
least there can be none, and the base is what is seen.
"""

from __future__ import annotations

import math

import msgspec

REFUSED = 0.9  # of the limit is left where some were refused
DRAIN = 0.95  # of what was worked on is left where answers are slow
LEAST = 0.5  # of the limit is left at any rate
TOLERANCE = 0.07  # of the base: within it a mean time is noise,
GRAIN = 0.005  # and within so many seconds, for which it may have waited here
DEVIATIONS = 2.5  # and within so many standard errors

_START = 4.0
_ROUNDS = 3
_LEAST_SAMPLES = 20
_INCREASE = 0.05
_BASE_DOWN, _BASE_UP = 0.2, 0.02  # how fast the base follows


class Adaptive(msgspec.Struct, frozen=True, kw_only=True):
    """Between what a limit finds itself (see `core.policy.adaptive`)."""

    min: int = 1
    max: int = 256


class AdaptiveLimit:
    """Decides how many attempts may be in flight, from what it is told of them.

    Args:
        least, most: between which the limit stays.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._limit = min(max(_START, least), most)
        self._base: float | None = None
        self._is_starting = True
        self._begin_window(-math.inf)

    def __repr__(self) -> str:
        return f"<AdaptiveLimit: {self.limit} of {self._least} to {self._most}>"

    @property
    def limit(self) -> int:
        return int(self._limit)

    def _begin_window(self, now: float) -> None:
        self._began = now
        self._count = 0
        self._refused = 0
        self._sum = 0.0
        self._squares = 0.0
        self._is_reached = False

    def observe(self, began: float, now: float, *, in_flight: int, refused: bool) -> bool:
        """An attempt is over.

        Args:
            began, now: when it began, and ended.
            in_flight: how many were under way just before it ended.
            refused: whether the server had no place for it.

        Returns:
            Whether the limit is another now.
        """
        if began < self._began:
            return False  # under another limit
        self._is_reached = self._is_reached or in_flight >= self.limit
        self._count += 1
        if refused:
            self._refused += 1
        else:
            seconds = now - began
            self._sum += seconds
            self._squares += seconds * seconds
        rounds = 1 if self._refused else _ROUNDS
        if self._count < max(_LEAST_SAMPLES, rounds * self.limit):
            return False
        before = self.limit
        seconds = self._adjust()
        # What is in flight began under the limit before, and queues for as long as it takes.
        self._begin_window(now + seconds if self.limit < before else now)
        return self.limit != before

    def _adjust(self) -> float:
        """Set the limit by what the window has shown; the mean time in it."""
        answered = self._count - self._refused
        mean = self._sum / answered if answered else 0.0
        if self._refused:
            self._decrease(REFUSED)
        elif self._is_slow(mean, answered):
            assert self._base is not None  # or nothing would be slow
            self._decrease(DRAIN * self._base / mean)
        elif self._is_reached:
            more = self._limit if self._is_starting else max(1.0, self._limit * _INCREASE)
            self._limit = min(self._limit + more, self._most)
        if not self._refused:
            self._follow(mean, answered)
        return mean

    def _is_slow(self, mean: float, count: int) -> bool:
        if self._base is None:
            return False
        variance = max(0.0, self._squares / count - mean * mean)
        noise = max(GRAIN, self._base * TOLERANCE, DEVIATIONS * math.sqrt(variance / count))
        return mean > self._base + noise

    def _decrease(self, share: float) -> None:
        self._is_starting = False
        self._limit = max(self._limit * max(share, LEAST), self._least)

    def _follow(self, mean: float, count: int) -> None:
        if self._base is None:
            self._base = mean
        elif mean < self._base:
            self._base += (mean - self._base) * _BASE_DOWN
        elif not self._is_slow(mean, count):
            self._base += (mean - self._base) * _BASE_UP
        elif self._limit <= self._least:  # and so no queue is ours: the API is slower than it was
            self._base = mean
            self._is_starting = True
