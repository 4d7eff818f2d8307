"""The interfaces of the two ends of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.results.outcome import Result

MAX_RESULTS_AT_ONCE = 256  # per write, roughly
MAX_BYTES_AT_ONCE = 1 << 20  # per write; a single result may be larger


class Source(Protocol):
    """Supplies records."""

    async def next_chunk(self) -> Sequence[Record]:
        """Wait for the next records and return at least one; none at the end of the input.

        It may be cancelled at any await, and then has lost nothing.

        Raises:
            InputError: The input broke off.
        """
        ...

    def read_ahead(self) -> Sequence[Record]:
        """Return the records that were read and are in no chunk yet."""
        ...

    def total(self) -> Total | None:
        """Return how many records the input holds, or None if that cannot be told yet."""
        ...


class Sink(Protocol):
    """Takes results."""

    async def put(self, results: Sequence[Result]) -> None:
        """Take results, and return when there is room for more.

        Raises:
            OutputError: It can take no more.
        """
        ...

    async def consumer_gone(self) -> None:
        """Return once the output's reader has gone; never, where that cannot be known."""
        ...

    def hurry(self, patience: float) -> None:
        """From now on, raise `OutputError` when the reader takes nothing for `patience` seconds.

        The run must end; but as long as its reader takes anything, every record gets its line.
        """
        ...
