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
        cause: The cause that applies now, or None.
        since: When that began.
    """

    def __init__(self) -> None:
        self.seconds: Counter[Cause] = Counter()
        self.cause: Cause | None = None
        self.since = 0.0

    def __repr__(self) -> str:
        return f"<BlockedTime: {dict(self.seconds)}, now {self.cause}>"

    def note(self, cause: Cause | None, now: float) -> None:
        """Record that from `now` on this cause applies, or none."""
        if self.cause is not None:
            self.seconds[self.cause] += now - self.since  # type: ignore[assignment]  # int or not
        self.cause = cause
        self.since = now

    def include(self, seconds: Mapping[Cause, float]) -> None:
        """Add the seconds of another process."""
        self.seconds.update(seconds)
