"""Who gets which records, and what becomes of them where who had them has died.

A chunk that was read is cut into portions, so that all members get some of it, and each portion
goes to the member with the fewest records open.  A member is only a name here: who is there, and
what was handed to whom, is all that is known of it.

What a death means for what is open of a portion:

    it is its first, and the record may be repeated      the record is dealt again, before others
    it is its first, and the record may not be           the record is lost
    it is its second: the portion itself may be why      all its records that are left are lost
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Generic, NamedTuple

from tmux_fanout.core.dealing.blocks import Block, M
from tmux_fanout.core.records.parser import Record

MOST_DEATHS = 2  # of the members that had a portion

_start = attrgetter("start")


class Handing(NamedTuple, Generic[M]):
    """A member is to be handed these records."""

    member: M
    records: Sequence[Record]


class Broken(NamedTuple, Generic[M]):
    """A portion whose member died.

    Attributes:
        portion: nothing is open of it any more.
        parts: of what was open, in order.
        lost: those of them that are not dealt again.
    """

    portion: Block[M]
    parts: Sequence[Block[M]]
    lost: Sequence[Block[M]]


class Dealer(Generic[M]):
    """Deals portions to members, each to one at a time.

    Args:
        parts: into how many portions a chunk is cut.
        least: records that a portion has if there are so many, such as those of a batch.
    """

    def __init__(self, parts: int, least: int = 1) -> None:
        self._parts = parts
        self._least = least
        self._waiting: deque[Block[M]] = deque()
        self._dealt: dict[M, list[Block[M]]] = {}  # by member, in the order of the records
        self._open: dict[M, int] = {}  # records, by member

    def __repr__(self) -> str:
        return f"<Dealer: {self._open}, {len(self._waiting)} portions wait>"

    def enlist(self, member: M) -> None:
        """A member is there, and has nothing."""
        self._dealt[member] = []
        self._open[member] = 0

    def add(self, records: Sequence[Record]) -> list[Block[M]]:
        """Records that follow one another are to be dealt, in these portions."""
        size = max(self._least, -(-len(records) // self._parts))
        cuts = range(0, len(records), size)
        portions: list[Block[M]] = [Block(records[start : start + size]) for start in cuts]
        self._waiting += portions
        return portions

    def next(self) -> Handing[M] | None:
        """What to hand to whom next; None if nothing waits, or nobody is there."""
        if not self._waiting or not self._open:
            return None
        member = min(self._open, key=self._open.__getitem__)
        portion = self._waiting.popleft()
        portion.member = member
        insort(self._dealt[member], portion, key=_start)
        self._open[member] += len(portion.open)
        return Handing(member, list(portion.open.values()))

    def finished(self, member: M, records: int, portions: Iterable[Block[M]]) -> None:
        """It has finished so many records, which were open of these portions."""
        self._open[member] -= records
        dealt = self._dealt[member]
        for portion in portions:
            place = bisect_left(dealt, portion.start, key=_start)
            if not portion.open and dealt[place : place + 1] == [portion]:
                del dealt[place]

    def portions_of(self, member: M) -> Sequence[Block[M]]:
        """Those of which it has records."""
        return tuple(self._dealt.get(member, ()))

    def portion_of(self, member: M, index: int) -> Block[M] | None:
        """That of its portions in which a record is open; None if it has not got it."""
        dealt = self._dealt.get(member, [])
        place = bisect_right(dealt, index, key=_start) - 1
        return dealt[place] if place >= 0 and index in dealt[place].open else None

    def died(self, member: M, may_repeat: Callable[[int], bool]) -> list[Broken[M]]:
        """A member is there no more.

        Args:
            may_repeat: whether a record, by index, may be handed to another.
        """
        broken = [self._break(each, may_repeat) for each in self.portions_of(member)]
        self._dealt.pop(member, None)
        self._open.pop(member, None)
        lost = {part for each in broken for part in each.lost}
        again = [part for each in broken for part in each.parts if part not in lost]
        self._waiting.extendleft(reversed(again))
        return broken

    def _break(self, portion: Block[M], may_repeat: Callable[[int], bool]) -> Broken[M]:
        deaths = portion.deaths + 1
        parts: list[Block[M]] = []
        lost = []
        for is_repeated, records in groupby(
            portion.open.values(),
            lambda record: deaths < MOST_DEATHS and may_repeat(record.index),
        ):
            parts.append(Block(records, deaths))
            if not is_repeated:
                lost.append(parts[-1])
        portion.open = {}
        return Broken(portion, parts, lost)

    def withdraw(self) -> list[Block[M]]:
        """The portions that were not handed to anyone, and will not be."""
        portions = list(self._waiting)
        self._waiting.clear()
        return portions


def describe_fate(broken: Sequence[Broken[M]]) -> str:
    """Return what becomes of the records of a member that died, as the end of a sentence."""
    open_ = sum(len(part.open) for each in broken for part in each.parts)
    lost = sum(len(part.open) for each in broken for part in each.lost)
    return f"; of its records {open_ - lost} are dealt again, {lost} cancelled" if open_ else ""
