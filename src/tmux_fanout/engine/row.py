"""A record on its way through the window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import trio

from tmux_fanout.core.records import Record
from tmux_fanout.engine.call import Call

MOST_BYTES_AT_ONCE = 1 << 20


class Row:
    """A record that was read, its calls, and how many of them are still open."""

    __slots__ = ("calls", "grace", "open", "record", "size")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.size = record.size
        self.calls: Sequence[Call] = ()
        self.open = 0
        self.grace: trio.CancelScope | None = None  # of those left once enough of them are ok

    def __repr__(self) -> str:
        return f"<Row {self.record.index}: {self.open} of {len(self.calls)} calls open>"

    @property
    def complete(self) -> bool:
        return not self.open


def by_size(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows in batches whose lines are not too large together, or that are single rows."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        if batch and size + row.size > MOST_BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row.size
    yield batch
