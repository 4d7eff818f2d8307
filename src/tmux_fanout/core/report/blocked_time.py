"""For how long something was held up, and by what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Generic, TypeVar

Cause = TypeVar("Cause", bound=str)


class BlockedTime(Generic[Cause]):
    """Adds up the seconds of each cause; at any time there is one, or none.

    Attributes:
        seconds: by cause, up to the last time that something changed.
    """

    def __init__(self) -> None:
        self.seconds: Counter[Cause] = Counter()
        self._cause: Cause | None = None
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<BlockedTime: {dict(self.seconds)}, now {self._cause}>"

    def note(self, cause: Cause | None, now: float) -> None:
        """From now on it is this that holds it up, or nothing."""
        if self._cause is not None:
            self.seconds[self._cause] += now - self._since  # type: ignore[assignment]  # int or not
        self._cause = cause
        self._since = now

    def include(self, seconds: Mapping[Cause, float]) -> None:
        """Add what is on another."""
        self.seconds.update(seconds)
