"""What records that were dealt come to, in the order in which it is to be written.

Records are dealt by the portion: some that follow one another.  What comes of them comes a few at a
time, so a portion at the head of the line is written before it is finished.

Two lines with the same methods: `BlocksInOrder`, and `BlocksAsCompleted` for those who do not
care.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Result

M = TypeVar("M", bound=Hashable)


class Block(Generic[M]):
    """Consecutive records that go to one member, and what came of them.

    Attributes:
        open: those that nothing came of yet, by index.
        results: of the others, as far as they were not taken.
        size: bytes of these, records and lines.
        start: index of the first.
        deaths: how many members died having it.
        member: who has it, if anyone.
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
        """This came of a record that stands here; nobody has made a line of it."""
        self.open.pop(result.index, None)
        self.results.append(result)
        self.size += result.source.size

    def take(self) -> tuple[Sequence[Result], int]:
        """The results that were not taken, and their bytes."""
        taken = self.results, self.size
        self.results, self.size = [], 0
        return taken


class BlocksInOrder(Generic[M]):
    """Hands out results in the order of their records."""

    def __init__(self) -> None:
        self._portions: deque[Block[M]] = deque()

    def __repr__(self) -> str:
        return f"<BlocksInOrder: {len(self)}, {'' if self.ready else 'not '}ready>"

    def __len__(self) -> int:
        return len(self._portions)

    def __iter__(self) -> Iterator[Block[M]]:
        """All that are not finished and taken."""
        return iter(self._portions)

    @property
    def head(self) -> Block[M] | None:
        """The one that the others wait for."""
        return self._portions[0] if self._portions else None

    @property
    def ready(self) -> bool:
        """Whether there is anything to take."""
        head = self.head
        return head is not None and (bool(head.results) or not head.open)

    def add(self, portion: Block[M]) -> None:
        """A portion has come, behind all others."""
        self._portions.append(portion)

    def replace(self, parts_of: Mapping[Block[M], Sequence[Block[M]]]) -> None:
        """What was open of some portions is now of others, which take their places."""
        portions = list(self._portions)
        self._portions.clear()
        for portion in portions:
            parts = parts_of.get(portion)
            if parts is None or portion.results:
                self._portions.append(portion)
            self._portions += parts or ()

    def came(self, portion: Block[M]) -> None:
        """There are results of a portion, or soon will be."""

    def take(self, most: int) -> tuple[Sequence[Result], int]:
        """Results whose turn it is, about `most`, and their bytes."""
        taken: list[Result] = []
        size = 0
        while self.ready and len(taken) < most:
            portion = self._portions[0]
            results, more = portion.take()
            taken += results
            size += more
            if not portion.open:
                self._portions.popleft()
        return taken, size


class BlocksAsCompleted(Generic[M]):
    """Hands out results as they come."""

    def __init__(self) -> None:
        self._open: dict[Block[M], None] = {}
        self._ready: dict[Block[M], None] = {}

    def __repr__(self) -> str:
        return f"<BlocksAsCompleted: {len(self._open)} open, {len(self._ready)} ready>"

    def __len__(self) -> int:
        return len(self._open) + len(self._ready)

    def __iter__(self) -> Iterator[Block[M]]:
        """All that are not finished and taken."""
        yield from self._open | self._ready

    @property
    def head(self) -> Block[M] | None:
        """The one that has been open for longest."""
        return next((portion for portion in self._open if portion.open), None)

    @property
    def ready(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._ready)

    def add(self, portion: Block[M]) -> None:
        """A portion has come."""
        self._open[portion] = None
        if portion.results:
            self._ready[portion] = None

    def replace(self, parts_of: Mapping[Block[M], Sequence[Block[M]]]) -> None:
        """What was open of some portions is now of others, which take their places."""
        portions = list(self._open)
        self._open.clear()
        for portion in portions:
            for each in parts_of.get(portion, [portion]):
                self._open[each] = None

    def came(self, portion: Block[M]) -> None:
        """There are results of a portion, or soon will be."""
        self._ready[portion] = None

    def take(self, most: int) -> tuple[Sequence[Result], int]:
        """Results, about `most`, and their bytes."""
        taken: list[Result] = []
        size = 0
        while self._ready and len(taken) < most:
            portion = next(iter(self._ready))
            del self._ready[portion]
            results, more = portion.take()
            taken += results
            size += more
            if not portion.open:
                self._open.pop(portion, None)
        return taken, size
