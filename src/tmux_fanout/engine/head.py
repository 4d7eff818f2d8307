"""Watching the record at the head of the line, for whom the output waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import trio

from tmux_fanout.core.errors import Failure
from tmux_fanout.core.http import Response
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.call import Call
from tmux_fanout.engine.caller import Caller
from tmux_fanout.engine.hedging import HedgingCaller
from tmux_fanout.engine.row import Row

_PATIENCE = 5.0  # seconds, after which it is worth a line; twice as long before the next


class HeadOfLine:
    """Knows for which record the writer waits, and sees to it.

    Args:
        callers: of the APIs.
        tell: called with what to say of one that takes long, or None.
    """

    def __init__(self, callers: Sequence[Caller], tell: Callable[[str], None] | None) -> None:
        self._callers = callers
        self._hedging = [
            (place, caller)
            for place, caller in enumerate(callers)
            if isinstance(caller, HedgingCaller) and caller.plan.hedge == "head"
        ]
        self._tell = tell
        self._row: Row | None = None
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<HeadOfLine: {self._row} since {self._since}>"

    def waits_for(self, row: Row | None) -> None:
        """The writer has nothing to write before this row is complete."""
        if row is self._row or not (self._tell or self._hedging):
            return
        self._row, self._since = row, trio.current_time()
        if row:
            for place, caller in self._hedging:
                if row.calls:
                    caller.holds_up(row.calls[place])

    async def watch(self) -> None:
        """Say which record has held up the output for long, and why, until cancelled."""
        told: Row | None = None
        patience = _PATIENCE
        while self._tell:
            if self._row is not told:
                told, patience = None, _PATIENCE
            due = self._since + patience if self._row else trio.current_time() + _PATIENCE
            await trio.sleep_until(due)
            row = self._row
            if row and row.open and trio.current_time() >= self._since + patience:
                self._tell(self._in_words(row, patience))
                told, patience = row, 2 * patience

    def _in_words(self, row: Row, seconds: float) -> str:
        calls, time = "; ".join(self._open_calls(row)), show_duration(seconds)
        return f"record {row.record.index} has held up the output for {time}: {calls}"

    def _open_calls(self, row: Row) -> Iterator[str]:
        for call, caller in zip(row.calls, self._callers):
            if call.outcome is None:
                yield f"{caller.plan.name}: {_state(call)}"


def _state(call: Call) -> str:
    """What an open call is doing."""
    call = call.batch or call
    if call.is_under_way:
        return f"attempt {call.attempts} is under way"
    if call.request is None:
        return "waits for others"
    if call.trouble is not None:
        return f"waits for attempt {call.attempts + 1}, after {_trouble(call.trouble)}"
    return "waits for its turn"


def _trouble(answer: Response | Failure) -> str:
    return answer.message if isinstance(answer, Failure) else f"HTTP {answer.status}"
