"""Records that are settled before all of their calls are."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.core.policy.join import JoinPolicy
from tmux_fanout.engine.calls.call import PendingRecord
from tmux_fanout.engine.calls.caller import Caller


class Joining:
    """Loses the calls that a join policy no longer needs.

    Args:
        policy: by which a record may be settled early.
        names: of the APIs.
        callers: of the APIs.

    Attributes:
        nursery: where its tasks run; set before anything is started.
    """

    nursery: trio.Nursery

    def __init__(self, policy: JoinPolicy, names: Sequence[str], callers: Sequence[Caller]) -> None:
        self._policy = policy
        self._names = names
        self._callers = callers

    def __repr__(self) -> str:
        return f"<Joining: {self._policy}>"

    def look_at(self, row: PendingRecord) -> None:
        """One of its calls was settled: lose the others if that was enough, now or in a while."""
        winners = self._policy.winners([call.outcome for call in row.calls])
        if not winners or row.grace:
            return
        row.grace = trio.CancelScope()
        why = self._policy.why_lost([self._names[place] for place in winners])
        if self._policy.grace:
            self.nursery.start_soon(self._lose_later, row, row.grace, why)
        else:
            self._lose(row, why)

    async def _lose_later(self, row: PendingRecord, grace: trio.CancelScope, why: str) -> None:
        with grace:
            await trio.sleep(self._policy.grace)
            self._lose(row, why)

    def _lose(self, row: PendingRecord, why: str) -> None:
        for call, caller in zip(row.calls, self._callers):
            if call.outcome is None:
                caller.lose(call, why)
