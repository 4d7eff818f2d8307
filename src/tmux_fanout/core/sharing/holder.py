"""Dividing limits among members that come, go and stand still.

What a member may use is counted until it has said, with the last grant in use, that it uses less.
Shares therefore become smaller first and larger afterwards, and what all members may use never adds
up to more than there is:

    granted, maybe not received       what it may use: the most of all grants since it last spoke
    in use, as it says itself         that, and what is in flight beyond it
    silent until its share was over   what it had, for the grace; then nothing
    gone                              what it had, for the grace; then nothing

The grace is the time that attempts of a process that is gone may still occupy a server.  Money is
not given back: what a member that is gone may have spent is spent.

Where there are more members than the smallest limit can be divided among, the first to join share
all limits and the others stand by, except that one with nothing to do makes way for one that has
records.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from tmux_fanout.core.sharing.lease import Amounts, Ask, Grant

M = TypeVar("M", bound=Hashable)

LEASE = 10.0  # seconds
_CALM, _MOVING = 1 / 5, 1 / 40  # of a lease, after which a member asks again


class Amount(NamedTuple):
    """Something to be shared.

    Attributes:
        whole: how much there is.
        is_budget: whether what is used is spent; else it comes back.
    """

    whole: int
    is_budget: bool = False


class _Member:
    """What the holder knows of a member.

    Args:
        number: of amounts.
        joined: its place in the order of joining.
    """

    def __init__(self, number: int, joined: int) -> None:
        nothing = (0,) * number
        self.joined = joined
        self.seq = 0  # of its last request
        self.granted: Amounts = nothing  # in the answer to that
        self.counted: Amounts = nothing  # what it may use, at most
        self.in_use: Amounts = nothing  # as it said last
        self.until = math.inf  # when its share is over; before it has asked: not known
        self.is_idle = True
        self.is_silent = False

    def __repr__(self) -> str:
        return f"<_Member {self.joined}: {self.counted} until {self.until:.3f}>"


class Holder(Generic[M]):
    """The holder's side: answer requests.

    Args:
        amounts: what is shared.
        seconds: how long a share is good for.
        grace: seconds that attempts of a member that is gone may go on.

    Attributes:
        grace: as above; it may change.
    """

    def __init__(
        self, amounts: Sequence[Amount], *, seconds: float = LEASE, grace: float = 0.25
    ) -> None:
        self._amounts = tuple(amounts)
        self._seconds = seconds
        self.grace = grace
        self._most = self._find_most()
        self._members: dict[M, _Member] = {}
        self._joined = 0
        self._leaving: list[tuple[float, Amounts]] = []  # what is counted, and until when
        self._lost = [0] * len(amounts)  # of budgets, by members that are gone
        self._untouched = [each.whole for each in amounts]  # never granted to anyone

    def __repr__(self) -> str:
        return (
            f"<Holder: {len(self._members)} members share {[each.whole for each in self._amounts]}>"
        )

    def _find_most(self) -> int:
        """Return how many members can have a share of each limit."""
        return min((each.whole for each in self._amounts if not each.is_budget), default=1)

    def resize(self, wholes: Sequence[int]) -> bool:
        """Change how much there is of each amount; members get their shares as they ask.

        Returns:
            Whether there is less of any, so that what members have may be too much.
        """
        former = [each.whole for each in self._amounts]
        self._amounts = tuple(
            each._replace(whole=whole) for each, whole in zip(self._amounts, wholes)
        )
        self._untouched = [
            max(0, left + whole - before)
            for left, whole, before in zip(self._untouched, wholes, former)
        ]
        self._most = self._find_most()
        return any(map(operator.lt, wholes, former))

    def join(self, member: M) -> None:
        """Have a member take part; its share is in the answer to its requests, or in `first`."""
        self._joined += 1
        self._members[member] = _Member(len(self._amounts), self._joined)

    def first(self, member: M, now: float) -> Grant:
        """Return the grant that a member starts with, before it has asked.

        It is counted until the member has asked or left, however long that takes.
        """
        return self._grant(self._members[member], now)

    def answer(self, member: M, ask: Ask, now: float) -> Grant:
        """Return the share of a member that asks; one that has not joined does so.

        Args:
            member: the member.
            ask: its request.
            now: the time.
        """
        self.forget_the_silent(now)
        if member not in self._members:
            self.join(member)
        mine = self._members[member]
        if ask.seq <= mine.seq:  # it was overtaken by the last one, whose answer stands
            return Grant(mine.seq, mine.granted, self._seconds, self._seconds * _MOVING)
        has_last = ask.applied == mine.seq
        mine.counted = _most(mine.granted if has_last else mine.counted, ask.in_use)
        mine.in_use, mine.is_idle, mine.seq = ask.in_use, ask.is_idle, ask.seq
        if mine.is_silent:
            self._joined += 1
            mine.joined, mine.is_silent = self._joined, False
        grant = self._grant(mine, now)
        mine.until = now + self._seconds
        return grant

    def _grant(self, mine: _Member, now: float) -> Grant:
        """Set and return the share of a member."""
        self._leaving = [each for each in self._leaving if each[0] > now]
        sharers = self._sharers()
        targets = self._targets(mine, sharers)
        granted = tuple(
            max(0, min(target, self._free(index, amount, mine)))
            for index, (amount, target) in enumerate(zip(self._amounts, targets))
        )
        is_new = not any(mine.counted) and all(map(operator.le, granted, self._untouched))
        gained = map(operator.sub, granted, mine.granted)
        self._untouched = [left - max(0, more) for left, more in zip(self._untouched, gained)]
        mine.granted = granted
        mine.counted = _most(mine.counted, mine.granted)
        is_waiting = mine not in sharers and not mine.is_idle
        is_settled = self._has_all(mine, targets) and not self._leaving
        again = _CALM if is_settled and not is_waiting else _MOVING
        return Grant(
            mine.seq,
            granted,
            self._seconds,
            self._seconds * again,
            is_new,
            is_settled,
            may_owe=sharers[:1] == [mine],
        )

    def _has_all(self, mine: _Member, targets: Amounts) -> bool:
        """Return whether a member has its share and gives nothing back."""
        had = tuple(
            max(granted, in_use) if amount.is_budget else granted  # it may have spent too much
            for amount, granted, in_use in zip(self._amounts, mine.granted, mine.in_use)
        )
        return had == mine.counted == targets

    def lacks(self, grant: Grant) -> bool:
        """Return whether a member can do nothing with a grant, as it lacks one of the amounts."""
        return not all(
            amount or shared.is_budget for amount, shared in zip(grant.amounts, self._amounts)
        )

    def is_due(self, member: M) -> bool:
        """Return whether a member is to have a share, now or as soon as others give it back."""
        mine = self._members.get(member)
        return mine is not None and mine in self._sharers()

    def owing(self) -> list[M]:
        """Return the members that have more than is due to them, and should ask at once."""
        sharers = self._sharers()
        return [
            member
            for member, each in self._members.items()
            if not each.is_silent
            and any(map(operator.gt, each.granted, self._targets(each, sharers)))
        ]

    def _sharers(self) -> list[_Member]:
        """Return the members that have a share, in the order of joining."""
        there = [each for each in self._members.values() if not each.is_silent]
        if len(there) > self._most:
            there = sorted(there, key=lambda each: (each.is_idle, each.joined))[: self._most]
        return sorted(there, key=lambda each: each.joined)

    def _targets(self, mine: _Member, sharers: Sequence[_Member]) -> Amounts:
        """Return the share that a member would have if nobody else had to give anything back."""
        return tuple(
            self._target(index, amount, mine, sharers) for index, amount in enumerate(self._amounts)
        )

    def _target(self, index: int, amount: Amount, mine: _Member, sharers: Sequence[_Member]) -> int:
        whole = amount.whole
        if amount.is_budget:
            used = sum(each.in_use[index] for each in self._members.values())
            whole = max(0, whole - self._lost[index] - used)
        share = 0
        if mine in sharers:
            number, place = len(sharers), sharers.index(mine)
            share = whole // number + (place < whole % number)
        return share + mine.in_use[index] if amount.is_budget else share

    def _free(self, index: int, amount: Amount, mine: _Member) -> int:
        """Return what no other member may use."""
        others = sum(each.counted[index] for each in self._members.values() if each is not mine)
        if amount.is_budget:
            return amount.whole - others - self._lost[index]
        return amount.whole - others - sum(counted[index] for _, counted in self._leaving)

    def leave(self, member: M, now: float, *, is_settled: bool = False) -> None:
        """Record that a member is gone, and its connections with it.

        Args:
            member: the member.
            now: the time.
            is_settled: whether it has spent no more of budgets than it said last.
        """
        gone = self._members.pop(member, None)
        if gone is None:
            return
        self._leaving.append((now + self.grace, gone.counted))
        for index, amount in enumerate(self._amounts):
            if amount.is_budget:
                self._lost[index] += (gone.in_use if is_settled else gone.counted)[index]

    def forget_the_silent(self, now: float) -> list[M]:
        """Divide the shares that are over, and return whose they were; they may ask again."""
        silent = [member for member, each in self._members.items() if each.until <= now]
        for member in silent:
            each = self._members[member]
            self._leaving.append((each.until + self.grace, each.counted))
            each.is_silent, each.until = True, math.inf
            each.granted = self._budgets_of(each.granted)
            each.counted = self._budgets_of(each.counted)
        return silent

    def _budgets_of(self, amounts: Amounts) -> Amounts:
        """Return what is left of amounts once the attempts of a silent member have ended."""
        return tuple(
            value if amount.is_budget else 0 for value, amount in zip(amounts, self._amounts)
        )


def _most(one: Amounts, other: Amounts) -> Amounts:
    return tuple(map(max, one, other))
