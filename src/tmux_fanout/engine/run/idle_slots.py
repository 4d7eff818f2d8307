"""Whether slots idle behind a slow record at the head of the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tmux_fanout.core.ordering.stretching import Load, Need, need
from tmux_fanout.engine.calls.hosts.callers import AnyCaller
from tmux_fanout.engine.calls.slots import TotalLimit


class IdleSlots:
    """Measures how busy the APIs are.

    APIs that are called after others, or are fallbacks, do not count: those others may be what they
    wait for.

    Args:
        callers: of all APIs.
        total: the slots that all APIs share, or None.
        window: records that the window holds unless it is stretched.
    """

    def __init__(
        self,
        callers: Sequence[AnyCaller],
        total: TotalLimit | None,
        window: int,
    ) -> None:
        self._callers = callers
        self._first = [c for c in callers if not (c.plan.after or c.plan.is_fallback)]
        self._total = total
        self._window = window

    def __repr__(self) -> str:
        return f"<IdleSlots: {list(self._loads())}>"

    def need(self, incomplete: int) -> Need:
        """Return what a full window lacks in which `incomplete` records have calls open."""
        is_held = any(caller.is_held for caller in self._first)
        return need(self._window, incomplete, self._loads(), is_held=is_held)

    def _loads(self) -> Iterator[Load]:
        for caller in self._first:
            slots = int(caller.limiter.total_tokens)
            free = slots - caller.in_flight
            if self._total:
                shared = int(self._total.limiter.total_tokens)
                slots = min(slots, shared)
                free = min(free, shared - self._in_flight)
            calls = caller.plan.batch.size if caller.plan.batch else 1
            yield Load(slots, free, caller.waiting, calls, caller.is_held)

    @property
    def _in_flight(self) -> int:
        return sum(caller.in_flight for caller in self._callers)
