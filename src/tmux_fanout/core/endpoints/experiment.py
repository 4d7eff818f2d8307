"""What a cut of the pace shows: whether refusals depend on it."""

from __future__ import annotations

_TELLING = 0.08  # of the refused share: how much a cut has to change if it is to tell anything


class Experiment:
    """A cut of the pace.

    Args:
        pace: before the cut, or before the first of several.
        share: refused before the cut.
        predicted: share refused after it, if refusals depend on the pace.
        failed: number of cuts just before that have changed nothing.

    Attributes:
        attempts, refused: of the epochs from the one before the first cut on, as far as their pace
            was of the same order.
    """

    def __init__(self, pace: float, share: float, predicted: float, failed: int) -> None:
        self.pace = pace
        self.share = share
        self.predicted = predicted
        self.failed = failed
        self.attempts = 0
        self.refused = 0

    def add(self, attempts: int, refused: int) -> None:
        """Count the attempts of an epoch."""
        self.attempts += attempts
        self.refused += min(refused, attempts)

    def fails(self, share: float) -> bool:
        """Return whether the cut has changed nothing, though it should have."""
        can_tell = self.share - self.predicted >= max(_TELLING, self.share / 4)
        return can_tell and share > (self.share + self.predicted) / 2

    def is_refuted(self, share: float) -> bool:
        """Return whether this is the second such cut in a row."""
        return self.failed > 0 and self.fails(share)
