"""The slots that all APIs share."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

Start = Callable[[], object]


class TotalLimit:
    """`--total-limit`: a limiter whose slots go to the APIs in turns.

    Args:
        limit: attempts that may be under way, over all APIs.

    Attributes:
        limiter: of which each of them holds a slot.
    """

    def __init__(self, limit: int) -> None:
        self.limiter = trio.CapacityLimiter(limit)
        self._waiting: dict[Start, None] = {}  # in the order in which they came
        self._most = math.inf  # slots that whose turn it is may take

    def __repr__(self) -> str:
        return f"<TotalLimit: {self.limiter!r}, {len(self._waiting)} APIs wait>"

    def has_slot(self, start: Start) -> bool:
        """Whether there is a slot; if not, `pass_on` calls `start` when it is its turn."""
        if self._most and self.limiter.available_tokens >= 1:
            return True
        self._waiting[start] = None
        return False

    def take(self, borrower: object) -> None:
        """Take a slot that there is."""
        self.limiter.acquire_on_behalf_of_nowait(borrower)
        self._most -= 1

    def give_back(self, borrower: object) -> None:
        """A slot is free again."""
        self.limiter.release_on_behalf_of(borrower)

    def pass_on(self) -> None:
        """Let those who wait take what slots there are, one each and in turns."""
        while self._waiting and self.limiter.available_tokens >= 1:
            start = next(iter(self._waiting))
            del self._waiting[start]
            self._most = 1
            start()
        self._most = math.inf
