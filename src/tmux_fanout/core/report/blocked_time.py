"""Measure how long something was blocked, and by what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Generic, TypeVar

Cause = TypeVar("Cause", bound=str)


class BlockedTime(Generic[Cause]):
    """Add up the blocked seconds per cause; at most one cause applies at a time.

    Attributes:
        seconds: Seconds by cause, up to the last change.
    """

    def __init__(self) -> None:
        self.seconds: Counter[Cause] = Counter()
        self._cause: Cause | None = None
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<BlockedTime: {dict(self.seconds)}, now {self._cause}>"

    def note(self, cause: Cause | None, now: float) -> None:
        """Record that from `now` on this cause applies, or none."""
        if self._cause is not None:
            self.seconds[self._cause] += now - self._since  # type: ignore[assignment]  # int or not
        self._cause = cause
        self._since = now

    def include(self, seconds: Mapping[Cause, float]) -> None:
        """Add the seconds of another process."""
        self.seconds.update(seconds)
