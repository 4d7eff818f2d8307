"""The window: how many records, and bytes, are admitted and not yet written."""

from __future__ import annotations


class Window:
    """Counts what is inside; decides whether one more record may come in.

    An empty window takes any record, however large, so that the head of the line always moves.
    Responses come in without asking; while they overfill the window, only the head of the line may
    cause more of them, so that the excess is bounded by what was in flight.

    Args:
        records: most records inside.
        size: bytes, above which no further record comes in.
    """

    def __init__(self, records: int, size: int) -> None:
        self._most_records = records
        self._most_bytes = size
        self.records = 0
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Window: {self.records}/{self._most_records} records, {self.bytes} bytes>"

    @property
    def is_overfull(self) -> bool:
        """Whether there are more bytes inside than there should be."""
        return self.bytes > self._most_bytes

    def try_enter(self, size: int) -> bool:
        """Admit a record of `size` bytes if there is room, and say whether there was."""
        full = self.records >= self._most_records or self.bytes + size > self._most_bytes
        if full and self.records:
            return False
        self.enter(size)
        return True

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
