"""What is known of the calls that other processes of the run have."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from tmux_fanout.core.sharing.tallies import FRESH


class Remaining(NamedTuple):
    """The calls that there are beside one that was refused or has failed.

    Attributes:
        are_last: whether all of them have been tried.
        waiting: how many wait, here and elsewhere; infinite if not known.
        elsewhere: how many other processes have.
        is_partial: whether other processes have not told yet what became of theirs.
    """

    are_last: bool
    waiting: float
    elsewhere: float
    is_partial: bool


class Others(Protocol):
    """The calls of one API that other processes have."""

    def number(self, now: float) -> float:
        """Return how many there may be; infinite if that is not known."""

    def have_all_begun(self, now: float) -> bool:
        """Return whether it is certain that none of them is left that has not been tried."""

    def are_known(self, now: float) -> bool:
        """Return whether all of the other processes have told what became of theirs."""


class NoOthers:
    """There is no other process."""

    def number(self, now: float) -> float:
        return 0.0

    def have_all_begun(self, now: float) -> bool:
        return True

    def are_known(self, now: float) -> bool:
        return True


class KnownOthers:
    """What the coordinator has told; it holds for a short time."""

    def __init__(self) -> None:
        self._number = math.inf
        self._have_untried = self._are_partial = True
        self._until = -math.inf

    def __repr__(self) -> str:
        return f"<KnownOthers: {self._number} calls until {self._until:.3f}>"

    def update(self, number: float, now: float, *, have_untried: bool, are_partial: bool) -> None:
        """Take over what is known now; see `Tally`."""
        self._number = number
        self._have_untried, self._are_partial = have_untried, are_partial
        self._until = now + FRESH

    def number(self, now: float) -> float:
        return self._number if now < self._until else math.inf

    def have_all_begun(self, now: float) -> bool:
        return not self._have_untried and self.are_known(now)

    def are_known(self, now: float) -> bool:
        return not self._are_partial and now < self._until
