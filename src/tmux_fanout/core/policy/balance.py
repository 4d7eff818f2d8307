"""The choice of an endpoint for an attempt.

`least-in-flight` goes by load: an attempt goes where

    (attempts in flight + 1) * latency * 2 ** failures / weight

is lowest.  The latency is a peak-sensitive moving average, as in Finagle's `p2c.PeakEwma`: it rises
to a longer latency at once, and follows shorter ones with a time constant of `DECAY` seconds.  So
a server that slows down loses its attempts before most of them are slow, and gets them back bit
by bit.  Four cases need more than the average:

    it fails fast   Failures do not count as latency, or the endpoint that refuses fastest would get
                    all attempts.  Each one since the last answer that served doubles the load.
    it hangs        An attempt that times out is a failure, and one that is cancelled for any other
                    reason has taken at least as long as it was under way.  Until then the number
                    in flight shows it.
    it is new       An endpoint without a latency yet has the lowest one that is known.
    it was slow     An endpoint with nothing in flight learns nothing.  Its load approaches that of
                    the fastest in time, so that it gets an attempt, and only one: with that in
                    flight it has its own load again.

`round-robin` is nginx's smooth weighted round-robin: endpoints with weights 3 and 1 are used in the
order a, a, b, a.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Balance = Literal["least-in-flight", "round-robin", "failover"]

DECAY = 10.0  # seconds in which the influence of a latency falls to 1/e
_MAX_DOUBLINGS = 6


class Latency:
    """The latency of one endpoint, as far as it matters to the choice.  Times are in seconds.

    Attributes:
        seconds: the moving average; None before the first answer.
    """

    __slots__ = ("_at", "_failures", "seconds")

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._failures = 0  # since the last answer that served
        self._at = 0.0  # when the endpoint was last observed

    def __repr__(self) -> str:
        return f"<Latency: {self.seconds} s, {self._failures} failures>"

    def served(self, seconds: float, now: float) -> None:
        """Record an answer that was no failure, `seconds` after its request."""
        old = self.seconds
        if old is not None and seconds < old:
            seconds += (old - seconds) * math.exp((self._at - now) / DECAY)
        self.seconds = seconds
        self._failures = 0
        self._at = now

    def failed(self, now: float) -> None:
        """Record a refusal or another failure, however fast it came."""
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        self._at = now

    def cancelled(self, seconds: float, now: float) -> None:
        """Record an attempt that was given up after `seconds` without an answer."""
        if self.seconds is not None and seconds > self.seconds:
            self.seconds = seconds
            self._at = now

    def load(self, in_flight: int, fastest: float, now: float) -> float:
        """Return the load of the endpoint, for comparison with others.

        Args:
            in_flight: number of attempts under way.
            fastest: the lowest latency of all endpoints.
            now: the time.
        """
        latency = fastest if self.seconds is None else max(self.seconds, fastest)
        latency *= 1 << self._failures
        if not in_flight and latency > fastest:
            latency = fastest + (latency - fastest) * math.exp((self._at - now) / DECAY)
        return (in_flight + 1) * latency


class Balancer:
    """Choose among the endpoints of an API.

    Args:
        balance: the strategy.
        weights: of the endpoints; an endpoint of twice the weight gets twice the attempts.
    """

    def __init__(self, balance: Balance, weights: Sequence[float]) -> None:
        self._balance = balance
        self._weights = weights
        self._latencies = [Latency() for _ in weights]
        self._credits = [0.0] * len(weights)  # of `round-robin`; they add up to 0
        self._turn = 0  # the endpoint after the one chosen last, which wins a tie

    def __repr__(self) -> str:
        return f"<Balancer: {self._balance}, {self._latencies}>"

    def latency(self, index: int) -> Latency:
        """Return the record of an endpoint's latency, which each attempt there has to update."""
        return self._latencies[index]

    def choose(
        self, in_flight: Sequence[int], now: float, *, usable: Sequence[bool], avoid: int | None
    ) -> int:
        """Return the index of the endpoint to use.

        One that is not usable, or is to be avoided, is chosen only if there is no other.

        Args:
            in_flight: number of attempts under way at each endpoint.
            now: the time.
            usable: for each endpoint, whether an attempt may begin there.
            avoid: index of the endpoint where this call has just failed, or None.
        """
        count = len(in_flight)
        start = 0 if self._balance == "failover" else self._turn
        indexes = [(start + step) % count for step in range(count)]
        indexes = [index for index in indexes if usable[index]] or indexes
        indexes = [index for index in indexes if index != avoid] or indexes
        if self._balance == "failover":
            return indexes[0]
        if self._balance == "least-in-flight":
            chosen = self._least_loaded(indexes, in_flight, now)
        else:
            chosen = self._next_in_turn(indexes)
        self._turn = (chosen + 1) % count
        return chosen

    def _least_loaded(self, indexes: Sequence[int], in_flight: Sequence[int], now: float) -> int:
        known = [each.seconds for each in self._latencies if each.seconds is not None]
        # Above 0, so that the number in flight counts even where answers take no time on the clock.
        fastest = max(min(known, default=1.0), 1e-6)
        return min(
            indexes,
            key=lambda index: (
                self._latencies[index].load(in_flight[index], fastest, now) / self._weights[index]
            ),
        )

    def _next_in_turn(self, indexes: Sequence[int]) -> int:
        for index in indexes:
            self._credits[index] += self._weights[index]
        chosen = max(indexes, key=self._credits.__getitem__)
        self._credits[chosen] -= sum(self._weights[index] for index in indexes)
        return chosen
