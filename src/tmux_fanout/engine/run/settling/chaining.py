"""Starting calls that depend on other calls of their record (`after`)."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.engine.calls.call import PendingRecord
from tmux_fanout.engine.calls.hosts.callers import AnyCaller


class Chaining:
    """Submits dependent calls once all calls that they depend on have an outcome.

    Args:
        callers: of the APIs that have outcomes, in the order of those.

    Attributes:
        is_needed: whether any API depends on another.
    """

    def __init__(self, callers: Sequence[AnyCaller]) -> None:
        self._dependent = [(index, c) for index, c in enumerate(callers) if c.plan.after]
        self.is_needed = bool(self._dependent)

    def __repr__(self) -> str:
        return f"<Chaining: {[caller.plan.name for _, caller in self._dependent]}>"

    def call_settled(self, pending: PendingRecord) -> None:
        """Submit the calls of a record that its latest outcome was the last one missing for."""
        calls = pending.calls
        for index, caller in self._dependent:
            call = calls[index]
            if call.is_new and all(calls[before].outcome for before in caller.plan.after):
                caller.submit(call, trio.current_time())
                caller.start()
