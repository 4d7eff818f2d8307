"""What members count at endpoints that do not serve all they are asked.

Whether a call is at fault or its endpoint shows in what becomes of the others, and a member sees
only its own calls.  So a member in trouble says what it counts, and the others are asked for the
same: how many attempts were refused and served meanwhile, whether the endpoint has ever served, and
whether there are calls left that have not been tried.  While nothing is wrong nobody says anything.

Counts are of what happened since the last report, so that members which join, leave or were calm
for a long time add nothing that is older than the trouble.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

M = TypeVar("M", bound=Hashable)

Key = tuple[int, int]
"""The index of an API, and of one of its endpoints."""

FRESH = 2.5  # seconds for which what is known of others holds; those in trouble ask more often
_ASKED_EVERY = 1.0  # seconds


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """What was counted at one endpoint since it was last told.

    Attributes:
        api: index of the API.
        endpoint: index of the endpoint.
        refused: number of attempts refused or failed, less those of calls found to be at fault.
        served: number of attempts served.
        has_served: whether the endpoint ever served.
        has_untried: whether calls of the API are left that have not been tried.
        is_partial: whether it lacks members that have not told lately what they count.
    """

    api: int
    endpoint: int
    refused: int = 0
    served: int = 0
    has_served: bool = False
    has_untried: bool = False
    is_partial: bool = False

    @property
    def key(self) -> Key:
        """The index of the API, and of the endpoint."""
        return self.api, self.endpoint


class _Counts(NamedTuple):
    refused: int = 0
    served: int = 0

    def plus(self, refused: int, served: int) -> _Counts:
        return _Counts(self.refused + refused, self.served + served)

    def minus(self, other: _Counts) -> _Counts:
        return _Counts(self.refused - other.refused, self.served - other.served)


class _Endpoint(Generic[M]):
    """What all members have counted at an endpoint.

    Attributes:
        total: of all members.
        own: by member, its part of that.
        told: by member, what it knows of the parts of the others.
        reported_at, asked_at: by member, when it reported last, and when it asked for the others'.
        untried: those with calls that have not been tried.
        has_served: whether the endpoint ever served.
        questioned_at: when members were last asked to report.
    """

    def __init__(self) -> None:
        self.total = _Counts()
        self.own: dict[M, _Counts] = {}
        self.told: dict[M, _Counts] = {}
        self.reported_at: dict[M, float] = {}
        self.asked_at: dict[M, float] = {}
        self.untried: set[M] = set()
        self.has_served = False
        self.questioned_at = -math.inf


class Ledger(Generic[M]):
    """Adds up what members count, and tells those in trouble what the others have counted."""

    def __init__(self) -> None:
        self._endpoints: dict[Key, _Endpoint[M]] = {}

    def __repr__(self) -> str:
        return f"<Ledger: {len(self._endpoints)} endpoints>"

    def add(self, member: M, tallies: Iterable[Tally], now: float) -> None:
        """Note what a member reports."""
        for each in tallies:
            found = self._endpoints.setdefault(each.key, _Endpoint())
            found.total = found.total.plus(each.refused, each.served)
            found.own[member] = found.own.get(member, _Counts()).plus(each.refused, each.served)
            found.has_served |= each.has_served
            found.reported_at[member] = now
            (found.untried.add if each.has_untried else found.untried.discard)(member)

    def leave(self, member: M) -> None:
        """Forget a member that is gone; what it counted stays in the sums."""
        for each in self._endpoints.values():
            each.untried.discard(member)
            each.reported_at.pop(member, None)
            each.asked_at.pop(member, None)
            each.told.pop(member, None)

    def others(
        self, member: M, keys: Iterable[Key], others: Collection[M], now: float
    ) -> Sequence[Tally]:
        """Return what others than a member have counted since it asked last.

        Args:
            member: the member, which is in trouble.
            keys: of the endpoints where it is.
            others: all other members.
            now: the time.
        """
        return [self._others(member, key, others, now) for key in keys]

    def _others(self, member: M, key: Key, others: Collection[M], now: float) -> Tally:
        found = self._endpoints.setdefault(key, _Endpoint())
        counts = found.total.minus(found.own.get(member, _Counts()))
        is_new = now - found.asked_at.get(member, -math.inf) > FRESH
        counted = counts.minus(counts if is_new else found.told.get(member, counts))
        found.told[member], found.asked_at[member] = counts, now
        has_untried = not found.untried.isdisjoint(others)
        is_partial = any(now - found.reported_at.get(each, -math.inf) > FRESH for each in others)
        return Tally(*key, *counted, found.has_served, has_untried, is_partial)

    def questions(self, keys: Iterable[Key], now: float) -> Sequence[Key]:
        """Return the endpoints of these that the other members should report on now."""
        due = []
        for key in keys:
            found = self._endpoints.setdefault(key, _Endpoint())
            if now - found.questioned_at >= _ASKED_EVERY:
                found.questioned_at = now
                due.append(key)
        return due
