"""Calls of one API that make identical requests, and share one answer (`share`).

The first of these calls leads: it makes the request.  The others follow: they wait, without a slot
and without a place in the queue, and get the outcome of the leader.  Its answer also serves the
calls that come later, until its record leaves the window.

A failure of the API is that of all who wait, but does not serve calls that come later.  A failure
that is the leader's own affair is not theirs: where its record needs the call no more (`lost`), the
first of the followers leads from then on.  So it does when time runs out for the leader, for those
that came after its first attempt had begun; all others have waited as long.

No call waits for one that itself waits for room in the window: if the head of the line followed a
later record that has not begun, neither would ever go.  So of the calls that have not begun, the
one of the first record leads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import trio
from msgspec.structs import replace

from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.requests.reuse.identity import Identity
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Call, PendingRecord
from tmux_fanout.engine.calls.payloads import Payloads

Settled = Callable[[Call, int], None]


class Group:
    """Calls with identical requests, of which one is made.

    Args:
        key: the identity of the request.
        leader: the call that makes it.

    Attributes:
        key: as above.
        leader: as above; None once it has its outcome.
        followers: the calls that wait for that, in the order in which they came.
        outcome: the outcome that is shared, once there is one.
    """

    __slots__ = ("followers", "key", "leader", "outcome")

    def __init__(self, key: bytes, leader: Call) -> None:
        self.key = key
        self.leader: Call | None = leader
        self.followers: dict[Call, None] = {}
        self.outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"<Group: {self.leader!r}, {len(self.followers)} followers, {self.outcome!r}>"


class Sharing:
    """Have calls with identical requests share one answer.

    Args:
        payloads: builds the requests.
        identity: tells which are identical.
        statistics: counts the calls that made none.
        settle: gives a call its outcome.
        submit: submits a call that is to lead; it comes back to `prepare`.
        withdraw: takes a call out of the queue, and returns whether it was there and had not begun.
        start: begins what may go.
        nursery: where that is done after a call has been lost.
    """

    def __init__(
        self,
        payloads: Payloads,
        identity: Identity,
        statistics: ApiStatistics,
        *,
        settle: Callable[[Call, Outcome], None],
        submit: Callable[[Call, float], None],
        withdraw: Callable[[Call], bool],
        start: Callable[[], object],
        nursery: trio.Nursery,
    ) -> None:
        self._payloads = payloads
        self._identity = identity
        self._statistics = statistics
        self._settle = settle
        self._submit = submit
        self._withdraw = withdraw
        self._start = start
        self._nursery = nursery
        self._is_starting = False
        self._groups: dict[bytes, Group] = {}
        self._answered: dict[PendingRecord, Group] = {}

    def __repr__(self) -> str:
        return f"<Sharing: {len(self._groups)} requests, {len(self._answered)} of them answered>"

    def prepare(self, call: Call) -> Request | Outcome | None:
        """Return the request of a call that has to make one, its outcome, or None if it waits."""
        request = self._payloads.prepare(call)
        if not isinstance(request, Request) or group_of(call) is not None:
            return request
        key = self._identity.of(request)
        group = self._groups.get(key)
        if group is None:
            call.group = self._groups[key] = Group(key, call)
            return request
        if group.outcome is not None:
            self._statistics.shared += 1
            return _shared(group.outcome, 0.0)
        call.group = group
        leader = group.leader
        assert leader is not None  # there is no outcome yet
        if _index(call) < _index(leader) and self._withdraw(leader):
            group.followers[leader] = None
            group.leader = call
            return request
        group.followers[call] = None
        call.started = trio.current_time()
        return None

    def passing_on(self, settled: Settled) -> Settled:
        """Return a function that gives followers the outcome of their leader, and calls `settled`.

        Args:
            settled: called with each call that has its outcome, and the bytes of that.
        """

        def pass_on(call: Call, size: int) -> None:
            group = group_of(call)
            if group is None:
                settled(call, size)
                return
            call.group = None
            if call is not group.leader:
                group.followers.pop(call, None)
                settled(call, size)
                return
            outcome = call.outcome
            assert outcome is not None  # it is settled
            followers = self._conclude(group, call, outcome)
            settled(call, size)
            now = trio.current_time()
            for follower in followers:
                if follower.outcome is None:
                    self._statistics.shared += 1
                    self._settle(follower, _shared(outcome, now - follower.started))

        return pass_on

    def _conclude(self, group: Group, leader: Call, outcome: Outcome) -> Sequence[Call]:
        """Take over the outcome of a leader; return the calls that share it."""
        group.leader = None
        kind = outcome.error.kind if outcome.error else None
        followers = list(group.followers)
        if kind in ("cancelled", "deadline"):
            self._dissolve(group)  # the run ends, so they will be cut short themselves
            return ()
        if kind == "lost":
            followers.clear()
        elif kind == "timeout":
            followers = [call for call in followers if call.started <= leader.started]
        for follower in followers:
            del group.followers[follower]
        if group.followers:
            self._lead_on(group)
        elif outcome.ok:
            group.outcome = outcome
            self._answered[leader.pending] = group
        else:
            del self._groups[group.key]
        return followers

    def _dissolve(self, group: Group) -> None:
        for follower in group.followers:
            follower.group = None
        group.followers.clear()
        del self._groups[group.key]

    def _lead_on(self, group: Group) -> None:
        """Have the first of the followers make the request."""
        first = min(group.followers, key=_index)
        del group.followers[first]
        group.leader = first
        self._submit(first, trio.current_time())
        if not self._is_starting:
            self._is_starting = True
            self._nursery.start_soon(self._start_soon)

    def first_of(self, call: Call) -> Call:
        """Return the call that is to lead, as nothing is known yet: that of the first record."""
        group = group_of(call)
        if group is None or group.leader is not call:
            return call
        first = min(call, *group.followers, key=_index) if group.followers else call
        if first is not call:
            del group.followers[first]
            group.followers[call] = None
            group.leader = first
        return first

    async def _start_soon(self) -> None:
        """Start calls, outside of whatever has just settled one."""
        self._is_starting = False
        self._start()

    def written(self, pending: PendingRecord) -> None:
        """Keep an answer no longer, as its record leaves the window."""
        group = self._answered.pop(pending, None)
        if group is not None:
            del self._groups[group.key]

    def heading(self, is_head: Callable[[Call], bool]) -> Callable[[Call], bool]:
        """Return whether the output waits for a call, or for one that follows it."""

        def leads_head(call: Call) -> bool:
            return is_head(call) or any(map(is_head, _followers_of(call)))

        return leads_head


def leader_of(call: Call) -> Call:
    """Return the call that makes the request for a call: another one, or itself."""
    group = group_of(call)
    return call if group is None or group.leader is None else group.leader


def group_of(call: Call) -> Group | None:
    """Return the calls that a call shares its request with, until it has its outcome."""
    return cast(Group | None, getattr(call, "group", None))


def _index(call: Call) -> int:
    return call.pending.record.index


def _followers_of(call: Call) -> Iterator[Call]:
    for each in call.members or (call,):
        group = group_of(each)
        if group is not None:
            yield from group.followers


def _shared(outcome: Outcome, seconds: float) -> Outcome:
    """Return the outcome of a call that waited for this one, without a request of its own."""
    return replace(
        outcome, attempts=0, seconds=seconds, via="", timings=None, trace="", shared=True
    )
