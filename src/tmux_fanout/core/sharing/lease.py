"""The share of one member, and the messages by which it is leased.

A member asks for its share again and again, and each grant is good for so many seconds *from when
it was asked for*.  It was asked for before the holder granted it, so the share is over for the
member before it is over for the holder.  No clocks are compared, and a process that stood still
(SIGSTOP, a lost network, a suspended machine) finds that its share is over before it begins
anything.

Amounts are whole numbers: slots, and parts of a rate (`core.dealing.shares`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

Amounts = tuple[int, ...]


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A member's request for its share.

    Attributes:
        seq: number of the request, from 1.
        applied: number of the last request whose grant was taken; 0: the first grant, or none.
        in_use: of each amount, what is in flight (of slots), or what has been spent (of a budget).
        is_idle: whether the member has nothing to do.
    """

    seq: int
    applied: int
    in_use: Amounts
    is_idle: bool = False


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """The share of a member.

    Attributes:
        seq: number of the request that it answers; 0: none.
        amounts: what the member may use.
        seconds: how long it may use that, from when it asked.
        again: seconds until it should ask again.
        is_new: whether nobody has had these amounts before, so that bursts of rates are full.
        is_settled: whether there is no more to come.
        may_owe: whether the member may pass the burst of a rate, in debt, as only one may.
    """

    seq: int
    amounts: Amounts
    seconds: float
    again: float
    is_new: bool = False
    is_settled: bool = False
    may_owe: bool = False


class Lease:
    """A member's side: ask, and know until when the share is good.

    Args:
        number: of amounts.
        first: the grant that came unasked, to be used from `now` on; or None.
        now: the time.

    Attributes:
        amounts: the share.
        until: when it is over.
    """

    def __init__(self, number: int, first: Grant | None = None, now: float = 0.0) -> None:
        self.amounts: Amounts = first.amounts if first else (0,) * number
        self.until = now + first.seconds if first else -math.inf
        self._seq = self._applied = 0
        self._asked: dict[int, float] = {}  # when, by the number of the request

    def __repr__(self) -> str:
        return f"<Lease: {self.amounts} until {self.until:.3f}, {len(self._asked)} requests open>"

    def ask(self, now: float, in_use: Sequence[int], *, is_idle: bool = False) -> Ask:
        """Return a request for the share.

        Args:
            now: the time.
            in_use: see `Ask`.
            is_idle: see `Ask`.
        """
        self._seq += 1
        self._asked[self._seq] = now
        return Ask(self._seq, self._applied, tuple(in_use), is_idle)

    def take(self, grant: Grant) -> bool:
        """Use a grant from now on, unless a later one is in use; return whether it is used."""
        asked = self._asked.get(grant.seq)
        if asked is None:
            return False
        self._asked = {seq: at for seq, at in self._asked.items() if seq > grant.seq}
        self._applied, self.amounts = grant.seq, grant.amounts
        self.until = asked + grant.seconds
        return True
