"""A record on its way through the window."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.core.outcome import Outcome
from tmux_fanout.core.records import Record
from tmux_fanout.engine.call import Call


class Row:
    """A record that was read, its calls, and how many of them are still open.

    Attributes:
        calls: one for each API, until all are settled.
        outcomes: of the calls, from then on.
        grace: of those that are left once enough of them are ok.
    """

    __slots__ = ("calls", "grace", "open", "outcomes", "record", "size")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.size = record.size
        self.calls: Sequence[Call] = ()
        self.outcomes: Sequence[Outcome] = ()
        self.open = 0
        self.grace: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Row {self.record.index}: {self.open} of {len(self.calls)} calls open>"

    @property
    def complete(self) -> bool:
        return not self.open

    def close(self) -> None:
        """All calls are settled: keep their outcomes only.

        Calls are many times as large, and refer to their row: without this cycle there is nothing
        for the garbage collector to do.
        """
        self.outcomes = [call.outcome for call in self.calls if call.outcome]
        self.calls = ()
        if self.grace:
            self.grace.cancel()
