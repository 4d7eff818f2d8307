"""The window: the bound on records and bytes that are admitted and not yet written."""

from __future__ import annotations

from collections.abc import Iterable

_STRETCHED_BYTES_DIVISOR = 4  # a stretched window stays small where responses are large


class Window:
    """Counts the records and bytes inside, and decides whether more may come in.

    An empty window takes any record, however large, so that the head of the line always moves.
    Responses are added unconditionally.  While they overfill the window, only the head of the line
    may make further calls, so the excess is bounded by what was in flight.

    Args:
        max_records: unless the window is stretched.
        max_bytes: above which no further record comes in.
        stretched_to: maximum number of records when it is stretched, which it is only while all of
            them have a quarter of `max_bytes` at most.  By default it is never stretched.

    Attributes:
        records, bytes: what is inside.
        max_records, max_bytes: as given.
    """

    def __init__(self, max_records: int, max_bytes: int, stretched_to: int = 0) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self._stretched_to = stretched_to
        self.records = 0
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Window: {self.records}/{self.max_records} records, {self.bytes} bytes>"

    @property
    def is_overfull(self) -> bool:
        """Whether more bytes are inside than `max_bytes`."""
        return self.bytes > self.max_bytes

    def has_room(self, size: int, *, is_needed: bool = False) -> bool:
        """Return whether a record may come in.

        Args:
            size: of the record, in bytes.
            is_needed: whether slots idle without it (`core.ordering.stretching`).
        """
        max_records, max_bytes = self._bounds(is_needed)
        return not self.records or (self.records < max_records and self.bytes + size <= max_bytes)

    def admit(self, sizes: Iterable[int], *, is_needed: bool = False) -> int:
        """Admit records one after another while there is room, and return their number.

        A window that is not full is filled first; only a call that finds it full stretches it.

        Args:
            sizes: of the records, in bytes.
            is_needed: as for `has_room`.
        """
        max_records, max_bytes = self._bounds(is_needed)
        before = records = self.records
        for size in sizes:
            if records and (records >= max_records or self.bytes + size > max_bytes):
                break
            records += 1
            self.bytes += size
        self.records = records
        return records - before

    def _bounds(self, is_needed: bool) -> tuple[int, int]:
        if is_needed and self.records >= self.max_records:
            return self._stretched_to, self.max_bytes // _STRETCHED_BYTES_DIVISOR
        return self.max_records, self.max_bytes

    def enter(self, size: int) -> None:
        """Admit a record of `size` bytes whether there is room or not."""
        self.records += 1
        self.bytes += size

    def grow(self, size: int) -> None:
        """Add `size` bytes to a record inside; a negative size removes them."""
        self.bytes += size

    def leave(self, records: int, size: int) -> None:
        """Remove `records` records, of `size` bytes in all."""
        self.records -= records
        self.bytes -= size
