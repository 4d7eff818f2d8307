"""An epoch: attempts at one endpoint that are judged together."""

from __future__ import annotations

import math

_SHORTEST = 0.02  # seconds from which attempts make a rate
_STORM = 0.1  # the same, where they may all have begun at once


class Epoch:
    """Counts attempts, and how many of them were refused.

    Args:
        now: when it begins.
        under_way: number of attempts that began before and count as well, as the refusal of one of
            them is the first that is known of; 0: none of them counts.

    Attributes:
        began: when it began.
        ended: when it ended; infinite until then.
        judged_at: when its refusals are known, once it has ended.
        is_first: whether it counts attempts that began before.
        is_held: whether no attempts begin from its end until it is judged.
        attempts: number of attempts.
        refused: how many of them were refused.
        idle: seconds in which none could begin.
        was_waited_for: whether the pace has delayed one of them.
    """

    def __init__(self, now: float, under_way: int = 0) -> None:
        self.began = now
        self.ended = self.judged_at = math.inf
        self.is_first = under_way > 0
        self.is_held = False
        self.attempts = under_way
        self.refused = 0
        self.idle = 0.0
        self.was_waited_for = False

    def __repr__(self) -> str:
        return f"<Epoch: {self.refused} of {self.attempts} refused>"

    def counts(self, began: float) -> bool:
        """Return whether an attempt is one of those that are counted."""
        return (self.is_first or self.began <= began) and began <= self.ended

    @property
    def seconds(self) -> float:
        """How long attempts could begin, once it has ended."""
        return max(self.ended - self.began - self.idle, 0.001)

    @property
    def share(self) -> float:
        """The share that was refused."""
        return min(1.0, self.refused / max(self.attempts, 1))

    @property
    def rate(self) -> float:
        """The rate at which attempts began, once it has ended."""
        return self.attempts / max(self.seconds, _STORM if self.is_first else _SHORTEST)

    @property
    def accepted(self) -> float:
        """The rate at which those began that were not refused, once it has ended."""
        return max(0, self.attempts - self.refused) / self.seconds
