"""What cuts of the pace show: whether refusals depend on it.

Two hypotheses are compared.  By chance, an endpoint refuses the same share at any pace; by a limit,
it refuses what goes beyond that, and below it hardly anything.  The logarithm of the ratio of their
likelihoods adds up over epochs until it tells (Wald, "Sequential Tests of Statistical Hypotheses",
1945).  Attempts are not as independent of each other as this supposes, so that no epoch may decide
alone.
"""

from __future__ import annotations

import math

_TELLING = 0.08  # of the refused share: how much the hypotheses have to differ
_LEAST = 0.02  # share that even a limit may refuse below it
_CERTAIN = 4.6  # ln(100): how much more likely chance has to be
_MAX_STEP = 3.0  # of that logarithm, by one epoch
_FORGOTTEN = 1.0  # of it, by an epoch in which no more than usual was refused


class Experiment:
    """One cut of the pace, or several.

    Args:
        pace: before the first of them.

    Attributes:
        attempts, refused: of the epochs from the one before the first cut on, as far as their pace
            was of the same order.
    """

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self.attempts = 0
        self.refused = 0
        self._evidence = 0.0  # for chance
        self._share = self._limit = self._usual = 0.0

    def __repr__(self) -> str:
        return f"<Experiment: {self._evidence:.1f} of {_CERTAIN} for chance>"

    def cut(self, share: float, limit: float, usual: float) -> None:
        """Record a cut.

        Args:
            share: refused before it.
            limit: the accepted rate, which is the limit if there is one; 0 if that is not known.
            usual: share that is refused anyway.
        """
        self._share = min(share, 1.0 - _LEAST)
        self._limit = limit
        self._usual = usual

    def add(self, attempts: int, refused: int) -> None:
        """Count the attempts of an epoch."""
        self.attempts += attempts
        self.refused += min(refused, attempts)

    def restart(self) -> None:
        """Forget the attempts so far."""
        self.attempts = self.refused = 0

    def _step(self, attempts: int, refused: int, rate: float) -> float:
        """Return the evidence for chance in an epoch after a cut."""
        if not rate:  # nothing was attempted
            return 0.0
        by_chance, refused = self._share, min(refused, attempts)
        by_limit = max(self._usual, 1 - self._limit / rate, _LEAST)
        if not self._limit or by_chance - by_limit < max(_TELLING, by_chance / 4):
            return 0.0
        step = refused * math.log(by_chance / by_limit)
        step += (attempts - refused) * math.log((1 - by_chance) / (1 - by_limit))
        return min(max(step, -_MAX_STEP), _MAX_STEP)

    def tells(self, attempts: int, refused: int, rate: float) -> bool:
        """Return whether an epoch would not tell more for chance if it went on."""
        return self._step(attempts, refused, rate) >= _MAX_STEP

    def refutes_limit(self, attempts: int, refused: int, rate: float) -> bool:
        """Record an epoch after a cut; return whether all of them show that it is chance.

        Args:
            attempts: number of attempts.
            refused: how many of them were refused.
            rate: of the attempts, per second.
        """
        self._evidence = max(0.0, self._evidence + self._step(attempts, refused, rate))
        return self._evidence >= _CERTAIN

    def fades(self) -> bool:
        """Record that no more than usual was refused; return whether nothing speaks for chance."""
        self._evidence -= _FORGOTTEN
        return self._evidence <= 0
