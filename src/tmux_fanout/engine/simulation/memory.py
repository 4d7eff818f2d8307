"""A source and a sink in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.results.outcome import Result


class RecordsSource:
    """Hands out records.

    Args:
        records: all of them.
        chunk_size: maximum number of records at once.
        gap: seconds before each chunk but the first.
    """

    def __init__(self, records: Sequence[Record], chunk_size: int, gap: float = 0.0) -> None:
        self._records = records
        self._chunk_size = chunk_size
        self._gap = gap
        self._next = 0

    def __repr__(self) -> str:
        return f"<RecordsSource: {self._next} of {len(self._records)}>"

    async def next_chunk(self) -> Sequence[Record]:
        await trio.sleep(self._gap if self._next else 0.0)
        first, self._next = self._next, self._next + self._chunk_size
        return self._records[first : self._next]

    def read_ahead(self) -> Sequence[Record]:
        return ()

    def total(self) -> Total | None:
        return None


class LinesSink:
    """Keeps results as the lines that a run would write.

    Args:
        encode: returns the line of a result.

    Attributes:
        lines: those so far.
    """

    def __init__(self, encode: Callable[[Result], bytes]) -> None:
        self.lines: list[bytes] = []
        self._encode = encode

    def __repr__(self) -> str:
        return f"<LinesSink: {len(self.lines)} lines>"

    async def put(self, results: Sequence[Result]) -> None:
        await trio.lowlevel.checkpoint()
        self.lines += map(self._encode, results)

    async def consumer_gone(self) -> None:
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        """Do nothing: nothing is waited for."""
