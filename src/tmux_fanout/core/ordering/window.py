"""The window: how many records, and bytes, are admitted and not yet written."""

from __future__ import annotations

from collections.abc import Iterable

_SHARE_OF_NEEDED = 4  # so that a stretched window stays small where a record's responses are not


class Window:
    """Counts what is inside; decides whether one more record may come in.

    An empty window takes any record, however large, so that the head of the line always moves.
    Responses come in without asking; while they overfill the window, only the head of the line may
    cause more of them, so that the excess is bounded by what was in flight.

    Args:
        records: most records inside, as a rule.
        size: bytes, above which no further record comes in.
        stretched_to: most records inside where more are needed than have places; the additional
            ones come in as long as all have a quarter of `size` at most.  By default none do.
    """

    def __init__(self, records: int, size: int, stretched_to: int = 0) -> None:
        self._most_records = records
        self._most_bytes = size
        self._stretched_to = stretched_to
        self.records = 0
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Window: {self.records}/{self._most_records} records, {self.bytes} bytes>"

    @property
    def is_overfull(self) -> bool:
        """Whether there are more bytes inside than there should be."""
        return self.bytes > self._most_bytes

    def has_room(self, size: int, *, is_needed: bool = False) -> bool:
        """Whether a record of `size` bytes may come in.

        Args:
            is_needed: whether slots idle for want of it (`core.ordering.stretching`).
        """
        places, space = self._bounds(is_needed)
        return not self.records or (self.records < places and self.bytes + size <= space)

    def admit(self, sizes: Iterable[int], *, is_needed: bool = False) -> int:
        """Admit records of these sizes, one after another, as long as there is room.

        A window that is not full is not stretched, though it may be by the next time.

        Returns:
            How many were admitted.
        """
        places, space = self._bounds(is_needed)
        before = records = self.records
        for size in sizes:
            if records and (records >= places or self.bytes + size > space):
                break
            records += 1
            self.bytes += size
        self.records = records
        return records - before

    def _bounds(self, is_needed: bool) -> tuple[int, int]:
        if is_needed and self.records >= self._most_records:
            return self._stretched_to, self._most_bytes // _SHARE_OF_NEEDED
        return self._most_records, self._most_bytes

    def enter(self, size: int) -> None:
        """Admit a record of `size` bytes whether or not there is room."""
        self.records += 1
        self.bytes += size

    def grow(self, size: int) -> None:
        """A record inside has taken `size` bytes more."""
        self.bytes += size

    def leave(self, records: int, size: int) -> None:
        """`records` records, of `size` bytes in all, have been written."""
        self.records -= records
        self.bytes -= size
