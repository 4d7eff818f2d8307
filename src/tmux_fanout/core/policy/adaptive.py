"""An adaptive limit: as many concurrent attempts as an API can take.

The shape is that of Vector's Adaptive Request Concurrency: additive increase and multiplicative
decrease (Chiu and Jain, 1989), steered by round-trip times and by refusals, once per window.  How
much to decrease is taken from the times, as in Netflix's concurrency-limits and in TCP Vegas
(Brakmo and Peterson, 1995): if answers take a quarter longer than necessary, a fifth of the
attempts only wait at the server.

A window is three round trips of attempts, counting those that begin and end in it; one round trip
is enough if some of them are refused.  At the end of a window:

    some were refused (429, 503, or no answer in time)     reduce the limit by a tenth
    the mean time is well above the base                   multiply it by base / mean, and a little
                                                           less, so that the queue is worked off
    else, if the limit was reached                         double it, until the first decrease;
                                                           after that add a twentieth, at least 1

The base is the time that answers take when nothing queues.  It follows shorter times quickly and
longer ones slowly, so that a queue of our own making is not mistaken for it.  At the minimum limit
no queue can be ours, and the base is whatever is measured.
"""

from __future__ import annotations

import math

import msgspec

_REFUSED = 0.9  # factor of the limit after refusals
_DRAIN = 0.95  # additional factor after slow answers
_MIN_FACTOR = 0.5  # a single decrease never goes below this
# A mean time counts as noise if its distance from the base is within any of these:
_TOLERANCE = 0.07  # share of the base
_GRAIN = 0.005  # seconds, which an answer may have waited in this process
_DEVIATIONS = 2.5  # standard errors

_START = 4.0
_ROUNDS = 3
_MIN_SAMPLES = 20
_INCREASE = 0.05
_BASE_DOWN, _BASE_UP = 0.2, 0.02  # how fast the base follows shorter and longer times


class Adaptive(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of an adaptive limit (see `core.policy.adaptive`).

    Attributes:
        min: minimum number of concurrent attempts.
        max: maximum number of concurrent attempts.
    """

    min: int = 1
    max: int = 256


class AdaptiveLimit:
    """Decide how many attempts may be in flight, from the times and refusals of past ones.

    Args:
        minimum: lower bound of the limit.
        maximum: upper bound of the limit.
    """

    def __init__(self, minimum: int, maximum: int) -> None:
        self._min = minimum
        self._max = maximum
        self._limit = min(max(_START, minimum), maximum)
        self._base: float | None = None
        self._is_starting = True
        self._begin_window(-math.inf)

    def __repr__(self) -> str:
        return f"<AdaptiveLimit: {self.limit} of {self._min} to {self._max}>"

    @property
    def limit(self) -> int:
        """The number of attempts that may be in flight now."""
        return int(self._limit)

    def bound(self, minimum: int, maximum: int) -> None:
        """Change the bounds."""
        self._min, self._max = minimum, maximum
        self._limit = min(max(self._limit, minimum), maximum)

    def _begin_window(self, now: float) -> None:
        self._began = now
        self._count = 0
        self._refused = 0
        self._sum = 0.0
        self._squares = 0.0
        self._is_reached = False

    def observe(self, began: float, now: float, *, in_flight: int, refused: bool) -> bool:
        """Record an attempt that has ended, and adjust the limit at the end of a window.

        Args:
            began: when it began, in seconds.
            now: when it ended, in seconds.
            in_flight: number of attempts under way just before it ended.
            refused: whether the server refused it for lack of capacity.

        Returns:
            Whether the limit has changed.
        """
        if began < self._began:
            return False  # it began under another limit
        self._is_reached = self._is_reached or in_flight >= self.limit
        self._count += 1
        if refused:
            self._refused += 1
        else:
            seconds = now - began
            self._sum += seconds
            self._squares += seconds * seconds
        rounds = 1 if self._refused else _ROUNDS
        if self._count < max(_MIN_SAMPLES, rounds * self.limit):
            return False
        before = self.limit
        seconds = self._adjust()
        # Attempts in flight began under the old limit, and may queue for a mean time.
        self._begin_window(now + seconds if self.limit < before else now)
        return self.limit != before

    def _adjust(self) -> float:
        """Adjust the limit to the measurements of a window; return their mean time in seconds."""
        answered = self._count - self._refused
        mean = self._sum / answered if answered else 0.0
        if self._refused:
            self._decrease(_REFUSED)
        elif self._is_slow(mean, answered):
            assert self._base is not None  # otherwise nothing is slow
            self._decrease(_DRAIN * self._base / mean)
        elif self._is_reached:
            step = self._limit if self._is_starting else max(1.0, self._limit * _INCREASE)
            self._limit = min(self._limit + step, self._max)
        if not self._refused:
            self._follow(mean, answered)
        return mean

    def _is_slow(self, mean: float, count: int) -> bool:
        if self._base is None:
            return False
        variance = max(0.0, self._squares / count - mean * mean)
        noise = max(_GRAIN, self._base * _TOLERANCE, _DEVIATIONS * math.sqrt(variance / count))
        return mean > self._base + noise

    def _decrease(self, factor: float) -> None:
        self._is_starting = False
        self._limit = max(self._limit * max(factor, _MIN_FACTOR), self._min)

    def _follow(self, mean: float, count: int) -> None:
        if self._base is None:
            self._base = mean
        elif mean < self._base:
            self._base += (mean - self._base) * _BASE_DOWN
        elif not self._is_slow(mean, count):
            self._base += (mean - self._base) * _BASE_UP
        elif self._limit <= self._min:  # no queue can be ours: the API has become slower
            self._base = mean
            self._is_starting = True
