"""What a run needs of its two ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Result

MOST_RESULTS_AT_ONCE = 256  # that a sink is given, more or less
MOST_BYTES_AT_ONCE = 1 << 20  # the same; a single result may be more


class Source(Protocol):
    """Where records come from."""

    async def next_chunk(self) -> Sequence[Record]:
        """The next records, at least one; none at the end of the input.

        It may be cancelled at any await, and then has lost nothing.

        Raises:
            InputError: the input broke off.
        """
        ...

    def read_ahead(self) -> Sequence[Record]:
        """Records that were read and handed out in no chunk."""
        ...

    def share_read(self) -> float | None:
        """How much of the input was read, from 0 to 1, where its size is known."""
        ...


class Sink(Protocol):
    """Where results go."""

    async def put(self, results: Sequence[Result]) -> None:
        """Take results; returns when there is room for more.

        Raises:
            OutputError: it can take no more.
        """
        ...

    async def reader_gone(self) -> None:
        """Return once nobody reads any more; never, where that cannot be known."""
        ...

    def hurry(self, patience: float) -> None:
        """Raise `OutputError` from now on where a reader takes nothing for so many seconds.

        The run must end; but as long as its reader takes anything, every record gets its line.
        """
        ...
