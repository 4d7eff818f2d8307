"""Watching the record at the head of the line, for whom the output waits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import trio

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.call import Call, PendingRecord
from tmux_fanout.engine.calls.caller import Caller

_PATIENCE = 5.0  # seconds, after which it is worth a line; twice as long before the next


R = TypeVar("R")


class HeadOfLine(ABC, Generic[R]):
    """Knows for which record the writer waits, and says so if that takes long.

    Args:
        tell: called with what to say, or None.
    """

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self._tell = tell
        self._is_of_interest = tell is not None
        self._head: R | None = None
        self._index: int | None = None
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: record {self._index} since {self._since}>"

    @abstractmethod
    def _index_of(self, head: R) -> int | None:
        """The record that is waited for, by its place in the input; None if it is complete."""

    @abstractmethod
    def _open_calls(self, head: R) -> Iterator[str]:
        """What is open of it, in words."""

    def waits_for(self, head: R | None) -> None:
        """The writer has nothing to write before this is complete."""
        if not self._is_of_interest:
            return
        index = None if head is None else self._index_of(head)
        if index != self._index:
            self._index, self._since = index, trio.current_time()
            self._head = None if index is None else head
            if self._head is not None:
                self._holds_up(self._head)

    def _holds_up(self, head: R) -> None:
        """The writer begins to wait for it."""

    async def watch(self) -> None:
        """Say which record has held up the output for long, and why, until cancelled."""
        told: int | None = None
        patience = _PATIENCE
        while self._tell:
            if self._index != told:
                told, patience = None, _PATIENCE
            is_waiting = self._head is not None
            due = self._since + patience if is_waiting else trio.current_time() + _PATIENCE
            await trio.sleep_until(due)
            if self._head is None or trio.current_time() < self._since + patience:
                continue
            if calls := "; ".join(self._open_calls(self._head)):
                time = show_duration(patience)
                self._tell(f"record {self._index} has held up the output for {time}: {calls}")
            told, patience = self._index, 2 * patience


class CalledHead(HeadOfLine[PendingRecord]):
    """Knows what calls the writer waits for, and has them hedged that wait for that.

    Args:
        callers: of the APIs.
        tell: as for `HeadOfLine`.
        hedges: whether some of them hedge what the writer waits for.
    """

    def __init__(
        self, callers: Sequence[Caller], tell: Callable[[str], None] | None, *, hedges: bool
    ) -> None:
        super().__init__(tell)
        self._callers = callers
        self._is_of_interest |= hedges

    def _index_of(self, head: PendingRecord) -> int:
        return head.record.index

    def _holds_up(self, head: PendingRecord) -> None:
        for call, caller in zip(head.calls, self._callers):
            caller.holds_up(call)

    def _open_calls(self, head: PendingRecord) -> Iterator[str]:
        for call, caller in zip(head.calls, self._callers):
            if call.outcome is None:
                yield f"{caller.plan.name}: {_state(call)}"


def _state(call: Call) -> str:
    """What an open call is doing."""
    call = call.batch or call
    if call.is_under_way:
        return f"attempt {call.attempts} is under way"
    if call.last_answer is not None:
        return f"waits for attempt {call.attempts + 1}, after {_trouble(call.last_answer)}"
    if call.is_new:
        return "waits for others"
    return "waits for its turn"


def _trouble(answer: Response | TransportError) -> str:
    return answer.message if isinstance(answer, TransportError) else f"HTTP {answer.status}"
