"""Watching the record at the head of the line, which the output waits for."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.run.backend import Backend

_PATIENCE = 5.0  # seconds of waiting before the first notice; the next takes twice as long


class HeadWatchdog:
    """Notices when the output begins to wait for a record, and notifies if that takes long.

    Args:
        backend: has the records.
        notify: called with one-line notices, or None.
    """

    def __init__(self, backend: Backend, notify: Callable[[str], None] | None) -> None:
        self._backend = backend
        self._notify = notify
        self._is_needed = notify is not None or backend.hedges_head
        self._index: int | None = None
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<HeadWatchdog: record {self._index} since {self._since}>"

    def waits_for(self, index: int | None) -> None:
        """Note that the output waits for the record with this index; None if it does not wait."""
        if self._is_needed and index != self._index:
            self._index, self._since = index, trio.current_time()
            if index is not None:
                self._backend.head_holds_up()

    async def watch(self) -> None:
        """Notify of each record that holds up the output for long, and why, until cancelled."""
        reported: int | None = None
        patience = _PATIENCE
        while self._notify:
            if self._index != reported:
                reported, patience = None, _PATIENCE
            is_waiting = self._index is not None
            due = self._since + patience if is_waiting else trio.current_time() + _PATIENCE
            await trio.sleep_until(due)
            if self._index is None or trio.current_time() < self._since + patience:
                continue
            if self._index == self._backend.head_index and (calls := self._backend.describe_head()):
                time = show_duration(patience)
                self._notify(f"record {self._index} has held up the output for {time}: {calls}")
            reported, patience = self._index, 2 * patience
