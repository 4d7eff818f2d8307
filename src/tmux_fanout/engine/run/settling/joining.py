"""Settling records before all of their calls are, by the join policy."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.core.policy.join import JoinPolicy
from tmux_fanout.engine.calls.call import PendingRecord
from tmux_fanout.engine.calls.hosts.callers import AnyCaller
from tmux_fanout.engine.run.settling.fallback import caller_of


class Joining:
    """Cancels the calls of a record that the join policy no longer needs.

    Args:
        policy: decides when a record has enough ok outcomes.
        names: of the APIs.
        callers: of the APIs, in the same order, without those of fallbacks.
        nursery: where the grace periods of records run.
    """

    def __init__(
        self,
        policy: JoinPolicy,
        names: Sequence[str],
        callers: Sequence[AnyCaller],
        nursery: trio.Nursery,
    ) -> None:
        self._policy = policy
        self._names = names
        self._callers = callers
        self._nursery = nursery

    def __repr__(self) -> str:
        return f"<Joining: {self._policy}>"

    def call_settled(self, pending: PendingRecord) -> None:
        """Cancel a record's other calls, now or after the grace period, if it has enough."""
        winners = self._policy.winners([call.outcome for call in pending.calls])
        if not winners or pending.grace:
            return
        pending.grace = trio.CancelScope()
        why = self._policy.why_lost([self._names[index] for index in winners])
        if self._policy.grace:
            self._nursery.start_soon(self._lose_later, pending, pending.grace, why)
        else:
            self._lose(pending, why)

    async def _lose_later(self, pending: PendingRecord, grace: trio.CancelScope, why: str) -> None:
        with grace:
            await trio.sleep(self._policy.grace)
            self._lose(pending, why)

    def _lose(self, pending: PendingRecord, why: str) -> None:
        for call, caller in zip(pending.calls, self._callers):
            if call.outcome is None:
                caller_of(call, caller).lose(call, why)
