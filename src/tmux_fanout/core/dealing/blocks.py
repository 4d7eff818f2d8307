"""The results of records that were dealt, in output order.

Records are dealt in blocks of consecutive records.  Their results come a few at a time, so the
block at the head of the line is written before it is finished.

There are two buffers with the same methods: `BlocksInOrder`, and `BlocksAsCompleted` for output in
the order of completion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Result

M = TypeVar("M", bound=Hashable)


class Block(Generic[M]):
    """Consecutive records that go to one member, and their results.

    Args:
        records: all of them open.
        deaths: how many members have died while they held these records.

    Attributes:
        open: records without a result, by index.
        results: of the other records, as far as they were not taken.
        size: bytes of those results: their records and lines.
        start: index of the first record.
        deaths: as above.
        member: whom the block was dealt to, or None.
    """

    __slots__ = ("deaths", "member", "open", "results", "size", "start")

    def __init__(self, records: Iterable[Record], deaths: int = 0) -> None:
        self.open = {record.index: record for record in records}
        self.start = next(iter(self.open), 0)
        self.results: list[Result] = []
        self.size = 0
        self.deaths = deaths
        self.member: M | None = None

    def __repr__(self) -> str:
        return f"<Block: {len(self.open)} records open, {self.deaths} deaths>"

    def add(self, result: Result) -> None:
        """Add the result of a record of this block, which has no line yet."""
        self.open.pop(result.index, None)
        self.results.append(result)
        self.size += result.source.size

    def take(self) -> tuple[Sequence[Result], int]:
        """Remove and return the results, and their bytes."""
        taken = self.results, self.size
        self.results, self.size = [], 0
        return taken


class BlocksInOrder(Generic[M]):
    """Hands out results in the order of their records."""

    def __init__(self) -> None:
        self._blocks: deque[Block[M]] = deque()

    def __repr__(self) -> str:
        return f"<BlocksInOrder: {len(self)}, {'' if self.ready else 'not '}ready>"

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[Block[M]]:
        """Yield the blocks that are not finished and taken."""
        return iter(self._blocks)

    @property
    def head(self) -> Block[M] | None:
        """The block that the others wait for."""
        return self._blocks[0] if self._blocks else None

    @property
    def ready(self) -> bool:
        """Whether there is anything to take."""
        head = self.head
        return head is not None and (bool(head.results) or not head.open)

    def add(self, block: Block[M]) -> None:
        """Append a block, with or without results."""
        self._blocks.append(block)

    def replace(self, parts_of: Mapping[Block[M], Sequence[Block[M]]]) -> None:
        """Replace blocks, in place, by the blocks that took over their open records."""
        blocks = list(self._blocks)
        self._blocks.clear()
        for block in blocks:
            parts = parts_of.get(block)
            if parts is None or block.results:
                self._blocks.append(block)
            self._blocks += parts or ()

    def mark_ready(self, block: Block[M]) -> None:
        """Note that a block has results, or is about to get some."""

    def take(self, max_results: int) -> tuple[Sequence[Result], int]:
        """Remove and return results whose turn it is, and their bytes.

        Args:
            max_results: after which no further block is taken; one block may hold more.
        """
        taken: list[Result] = []
        size = 0
        while self.ready and len(taken) < max_results:
            block = self._blocks[0]
            results, block_size = block.take()
            taken += results
            size += block_size
            if not block.open:
                self._blocks.popleft()
        return taken, size


class BlocksAsCompleted(Generic[M]):
    """Hands out results in the order in which they come."""

    def __init__(self) -> None:
        self._open: dict[Block[M], None] = {}
        self._ready: dict[Block[M], None] = {}

    def __repr__(self) -> str:
        return f"<BlocksAsCompleted: {len(self._open)} open, {len(self._ready)} ready>"

    def __len__(self) -> int:
        return len(self._open) + len(self._ready)

    def __iter__(self) -> Iterator[Block[M]]:
        """Yield the blocks that are not finished and taken."""
        yield from self._open | self._ready

    @property
    def head(self) -> Block[M] | None:
        """The block that has been open for longest."""
        return next((block for block in self._open if block.open), None)

    @property
    def ready(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._ready)

    def add(self, block: Block[M]) -> None:
        """Add a block, with or without results."""
        self._open[block] = None
        if block.results:
            self._ready[block] = None

    def replace(self, parts_of: Mapping[Block[M], Sequence[Block[M]]]) -> None:
        """Replace blocks, in place, by the blocks that took over their open records."""
        blocks = list(self._open)
        self._open.clear()
        for block in blocks:
            for each in parts_of.get(block, [block]):
                self._open[each] = None

    def mark_ready(self, block: Block[M]) -> None:
        """Note that a block has results, or is about to get some."""
        self._ready[block] = None

    def take(self, max_results: int) -> tuple[Sequence[Result], int]:
        """Remove and return results, and their bytes.

        Args:
            max_results: after which no further block is taken; one block may hold more.
        """
        taken: list[Result] = []
        size = 0
        while self._ready and len(taken) < max_results:
            block = next(iter(self._ready))
            del self._ready[block]
            results, block_size = block.take()
            taken += results
            size += block_size
            if not block.open:
                self._open.pop(block, None)
        return taken, size
