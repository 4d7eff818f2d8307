"""Who gets which records, and what becomes of them where who had them has died.

A chunk that was read is cut into portions, so that all members get some of it, and each portion
goes to the member with the fewest records open.  A member is only a name here: who is there, and
what was handed to whom, is all that is known of it.

What a death means for a portion:

    it is its first, and the record may be repeated      the record is dealt again, before others
    it is its first, and the record may not be           the record is lost
    it is its second: the portion itself may be why      all its records that are left are lost
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from tmux_fanout.core.records import Record

MOST_DEATHS = 2  # of the members that had a portion

M = TypeVar("M", bound=Hashable)


class Portion(Generic[M]):
    """Consecutive records that go to one member.

    Attributes:
        open: those that are not finished, by index.
        deaths: how many members died having it.
        member: who has it, if anyone.
    """

    __slots__ = ("deaths", "member", "open")

    def __init__(self, records: Iterable[Record], deaths: int = 0) -> None:
        self.open = {record.index: record for record in records}
        self.deaths = deaths
        self.member: M | None = None

    def __repr__(self) -> str:
        return f"<Portion: {len(self.open)} records open, {self.deaths} deaths>"


class Handing(NamedTuple, Generic[M]):
    """A member is to be handed these records."""

    member: M
    records: Sequence[Record]


class Dealer(Generic[M]):
    """Deals records to members, each to one at a time.

    Args:
        parts: into how many portions a chunk is cut.
        least: records that a portion has if there are so many, such as those of a batch.
    """

    def __init__(self, parts: int, least: int = 1) -> None:
        self._parts = parts
        self._least = least
        self._open: dict[M, int] = {}  # records, by member
        self._waiting: deque[Portion[M]] = deque()
        self._dealt: dict[int, Portion[M]] = {}  # by index of the record

    def __repr__(self) -> str:
        return f"<Dealer: {self._open}, {len(self._waiting)} portions wait>"

    def enlist(self, member: M) -> None:
        """A member is there, and has nothing."""
        self._open[member] = 0

    def add(self, records: Sequence[Record]) -> None:
        """Records that follow one another are to be dealt."""
        size = max(self._least, -(-len(records) // self._parts))
        for start in range(0, len(records), size):
            self._waiting.append(Portion(records[start : start + size]))

    def next(self) -> Handing[M] | None:
        """What to hand to whom next; None if nothing waits, or nobody is there."""
        if not self._waiting or not self._open:
            return None
        member = min(self._open, key=self._open.__getitem__)
        portion = self._waiting.popleft()
        portion.member = member
        records = list(portion.open.values())
        self._open[member] += len(records)
        for record in records:
            self._dealt[record.index] = portion
        return Handing(member, records)

    def owner(self, index: int) -> M | None:
        """Who has a record that is not finished."""
        portion = self._dealt.get(index)
        return portion.member if portion else None

    def finished(self, member: M, index: int) -> bool:
        """Whether it is the one who has the record; it no longer has."""
        portion = self._dealt.get(index)
        if portion is None or portion.member != member:
            return False
        del self._dealt[index], portion.open[index]
        self._open[member] -= 1
        return True

    def died(self, member: M, may_repeat: Callable[[int], bool]) -> list[Record]:
        """A member is there no more.  Returns the records that are lost.

        Args:
            may_repeat: whether a record, by index, may be handed to another.
        """
        self._open.pop(member, None)
        left = dict.fromkeys(p for p in self._dealt.values() if p.member == member)
        lost: list[Record] = []
        again: list[Portion[M]] = []
        for portion in left:
            deaths = portion.deaths + 1
            repeated: list[Record] = []
            for index, record in portion.open.items():
                del self._dealt[index]
                is_repeated = deaths < MOST_DEATHS and may_repeat(index)
                (repeated if is_repeated else lost).append(record)
            if repeated:
                again.append(Portion(repeated, deaths))
        self._waiting.extendleft(reversed(again))
        return lost

    def withdraw(self) -> list[Record]:
        """The records that were not handed to anyone, and will not be."""
        records = [record for portion in self._waiting for record in portion.open.values()]
        self._waiting.clear()
        return records
