"""Deciding which member gets which records, and what becomes of the records of one that died.

A chunk that was read is cut into blocks, so that all members get some of it, and each block goes to
a member whose slots idle, or else to the one with the fewest open records.  A member is any
hashable name: the dealer knows who takes part and what was dealt to whom, and nothing else.

What the death of a member means for the open records of its blocks:

    a record that may not be repeated   is lost
    a block's first death               is taken for chance: the block is dealt again, before others
    its second, third, ... death        may be its own doing: it is a suspect now, and halved

A member holds one suspect at a time, so that its next death tells which one is not to blame.  A
suspect of a single record whose member dies is given up: three members or more have died with that
record, and the last of them held no other suspect.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Generic, NamedTuple

from tmux_fanout.core.dealing.blocks import Block, M
from tmux_fanout.core.records.parser import Record

SUSPICIOUS_DEATHS = 2  # of members that held the same block

_start = attrgetter("start")


class DealtBlock(NamedTuple, Generic[M]):
    """The records to hand to a member."""

    member: M
    records: Sequence[Record]


class BrokenBlock(NamedTuple, Generic[M]):
    """A block whose member died.

    Attributes:
        block: has no open records any more.
        parts: blocks of the records that were open, in order.
        lost: those of the parts that are not dealt again.
    """

    block: Block[M]
    parts: Sequence[Block[M]]
    lost: Sequence[Block[M]]


class Dealer(Generic[M]):
    """Deals blocks of records to members.

    Args:
        parts: into how many blocks a chunk is cut.
        min_records: records of a block if the chunk has as many, such as those of a batch.
        max_records: maximum records of a block, unless a batch has more.
    """

    def __init__(self, parts: int, min_records: int = 1, max_records: int | None = None) -> None:
        self._parts = parts
        self._min_records = min_records
        self._max_records = max_records
        self._waiting: deque[Block[M]] = deque()
        self._suspects: list[Block[M]] = []  # that wait, in the order of the records
        self._dealt: dict[M, list[Block[M]]] = {}  # by member, in the order of the records
        self._open: dict[M, int] = {}  # records, by member
        self._handed: dict[M, int] = {}  # records so far, by member
        self._wanted: dict[M, int] = {}  # records that idle slots could use, by member
        self._standing_by: set[M] = set()

    def __repr__(self) -> str:
        return f"<Dealer: {self._open}, {len(self._waiting) + len(self._suspects)} blocks wait>"

    def enlist(self, member: M) -> None:
        """Deal to a member, too, from now on."""
        self._dealt[member] = []
        self._open[member] = 0
        self._handed[member] = 0

    def stand_by(self, member: M, *, stands_by: bool) -> None:
        """Deal to a member only if there is no other, as it has no share of the limits."""
        if stands_by:
            self._standing_by.add(member)
        else:
            self._standing_by.discard(member)

    def wants(self, member: M, records: int, received: int) -> None:
        """Note that slots of a member idle.

        Args:
            member: the member.
            records: how many more it could use.
            received: how many it had received by then; others are on their way.
        """
        left = records - (self._handed.get(member, 0) - received)
        if left > 0 and member in self._open and member not in self._standing_by:
            self._wanted[member] = left
        else:
            self._wanted.pop(member, None)

    @property
    def wanted(self) -> int:
        """The number of records that idle slots could use."""
        return sum(self._wanted.values())

    def add(self, records: Sequence[Record]) -> list[Block[M]]:
        """Queue consecutive records to be dealt, and return the blocks that they form."""
        size = -(-len(records) // max(self._parts, len(self._open)))
        size = max(self._min_records, min(size, self._max_records or size))
        cuts = range(0, len(records), size)
        blocks: list[Block[M]] = [Block(records[start : start + size]) for start in cuts]
        self._waiting += blocks
        return blocks

    @property
    def is_waiting(self) -> bool:
        """Whether a block waits for a member."""
        return bool(self._waiting or self._suspects)

    def next(self, most: Callable[[M], int] = lambda _: sys.maxsize) -> DealtBlock[M] | None:
        """Deal the next block; None if no block waits, or no member has room for it.

        Args:
            most: maximum open records of a member; one without any takes a block that is larger,
                unless its maximum is 0.
        """
        if self._suspects and (member := self._next_member(self._suspects[0], most)) is not None:
            return self._deal(self._suspects.pop(0), member)
        if self._waiting and (member := self._next_member(self._waiting[0], most)) is not None:
            return self._deal(self._waiting.popleft(), member)
        return None

    def _deal(self, block: Block[M], member: M) -> DealtBlock[M]:
        block.member = member
        self._handed[member] += len(block.open)
        insort(self._dealt[member], block, key=_start)
        self._open[member] += len(block.open)
        return DealtBlock(member, list(block.open.values()))

    def _next_member(self, block: Block[M], most: Callable[[M], int]) -> M | None:
        """Return the member that wants most, or else has the fewest records; None: none has room.

        One that stands by gets something only if there is no other.
        """
        size = len(block.open)
        working = self._open.keys() - self._standing_by if self._standing_by else self._open
        with_room = [
            member
            for member in working or self._open
            if (self._open[member] or 1 - size) + size <= most(member)
            and not (_is_suspect(block) and any(map(_is_suspect, self._dealt[member])))
        ]
        wanting = [member for member in with_room if member in self._wanted]
        if wanting:
            member = max(wanting, key=self._wanted.__getitem__)
            self._wanted[member] -= size
            if self._wanted[member] <= 0:
                del self._wanted[member]
            return member
        return min(with_room, key=self._open.__getitem__, default=None)

    def finished(self, member: M, records: int, blocks: Iterable[Block[M]]) -> None:
        """Record that a member has finished some records.

        Args:
            records: how many.
            blocks: those that the records belong to, and are no longer open in.
        """
        self._open[member] -= records
        dealt = self._dealt[member]
        for block in blocks:
            index = bisect_left(dealt, block.start, key=_start)
            if not block.open and dealt[index : index + 1] == [block]:
                del dealt[index]

    def number_at(self, member: M) -> int:
        """Return the number of open records that a member has."""
        return self._open.get(member, 0)

    def blocks_of(self, member: M) -> Sequence[Block[M]]:
        """Return the blocks of which a member has open records."""
        return tuple(self._dealt.get(member, ()))

    def block_of(self, member: M, index: int) -> Block[M] | None:
        """Return the block of a member in which a record is open; None if it has no such block."""
        dealt = self._dealt.get(member, [])
        position = bisect_right(dealt, index, key=_start) - 1
        return dealt[position] if position >= 0 and index in dealt[position].open else None

    def died(self, member: M, may_repeat: Callable[[int], bool]) -> list[BrokenBlock[M]]:
        """Remove a member, and queue those of its records that are dealt again.

        Args:
            may_repeat: whether a record, by index, may be dealt to another member.
        """
        broken = [self._break(block, may_repeat) for block in self.blocks_of(member)]
        self._dealt.pop(member, None)
        self._open.pop(member, None)
        self._handed.pop(member, None)
        self._wanted.pop(member, None)
        self._standing_by.discard(member)
        lost = {part for each in broken for part in each.lost}
        again = [part for each in broken for part in each.parts if part not in lost]
        self._waiting.extendleft(part for part in reversed(again) if not _is_suspect(part))
        for part in filter(_is_suspect, again):
            insort(self._suspects, part, key=_start)
        return broken

    def _break(self, block: Block[M], may_repeat: Callable[[int], bool]) -> BrokenBlock[M]:
        deaths = block.deaths + 1
        is_proven = _is_suspect(block) and len(block.open) == 1
        parts: list[Block[M]] = []
        lost = []
        for is_repeated, group in groupby(
            block.open.values(), lambda record: not is_proven and may_repeat(record.index)
        ):
            records = list(group)
            if not is_repeated:
                lost.append(Block[M](records, deaths))
                parts.append(lost[-1])
            elif deaths < SUSPICIOUS_DEATHS:
                parts.append(Block(records, deaths))
            else:
                half = (len(records) + 1) // 2
                parts += (Block(each, deaths) for each in (records[:half], records[half:]) if each)
        block.open = {}
        return BrokenBlock(block, parts, lost)

    def withdraw(self) -> list[Block[M]]:
        """Remove and return the blocks that were dealt to nobody."""
        blocks = [*self._suspects, *self._waiting]
        self._suspects.clear()
        self._waiting.clear()
        return blocks


def _is_suspect(block: Block[M]) -> bool:
    return block.deaths >= SUSPICIOUS_DEATHS


def describe_fate(broken: Sequence[BrokenBlock[M]]) -> str:
    """Return what becomes of the records of a member that died, as the end of a sentence."""
    open_ = sum(len(part.open) for each in broken for part in each.parts)
    lost = sum(len(part.open) for each in broken for part in each.lost)
    return f"; of its records {open_ - lost} are dealt again, {lost} cancelled" if open_ else ""
