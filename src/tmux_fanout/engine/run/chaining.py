"""Calls that come after others of their record."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.engine.calls.call import PendingRecord
from tmux_fanout.engine.calls.caller import Caller


class Chaining:
    """Begins calls that come after others, once they have all that they wait for.

    Args:
        callers: of all APIs.

    Attributes:
        is_needed: whether there are such calls.
    """

    def __init__(self, callers: Sequence[Caller]) -> None:
        self._later = [(place, c) for place, c in enumerate(callers) if c.plan.after]
        self.is_needed = bool(self._later)

    def __repr__(self) -> str:
        return f"<Chaining: {[caller.plan.name for _, caller in self._later]}>"

    def look_at(self, row: PendingRecord) -> None:
        """One of its calls was settled: queue those that now have all outcomes they come after."""
        calls = row.calls
        for place, caller in self._later:
            call = calls[place]
            if call.is_new and all(calls[before].outcome for before in caller.plan.after):
                caller.submit(call, trio.current_time())
                caller.start()
