"""Cancels attempts whose time is over.

A cancel scope of trio keeps its deadline in a heap; to move it for each attempt costs 5 % of all
that an attempt costs, and nearly all attempts end long before.  So the deadlines stand with the
calls, and one alarm is set to the earliest of those that were under way when it last rang.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from tmux_fanout.engine.calls.alarm import Alarm
from tmux_fanout.engine.calls.call import Call


class Overdue:
    """Knows the attempts of an API that are under way, and cancels those that are overdue.

    Args:
        cancel: cancels that of a call, soon.
    """

    def __init__(self, cancel: Callable[[Call], object]) -> None:
        self._cancel = cancel
        self._calls: set[Call] = set()
        self._rings_at = math.inf
        self._alarm = Alarm(self._look)

    def __repr__(self) -> str:
        return f"<Overdue: watches {len(self._calls)}, looks at {self._rings_at}>"

    @property
    def watched(self) -> Sequence[Call]:
        return list(self._calls)

    def watch(self, nursery: trio.Nursery, call: Call, deadline: float) -> None:
        """Cancel the attempt of this call at this time, unless `forget` comes before.

        Args:
            nursery: where the task runs that sees to it.
        """
        call.deadline = deadline
        self._calls.add(call)
        if deadline < self._rings_at:
            self._nursery = nursery
            self._set_alarm(deadline)

    def forget(self, call: Call) -> None:
        """The attempt is over."""
        self._calls.discard(call)

    def _set_alarm(self, time: float) -> None:
        self._rings_at = time
        if time < math.inf:
            self._alarm.set(self._nursery, time)

    def _look(self) -> None:
        now = trio.current_time()
        earliest = math.inf
        for call in self._calls:
            if call.deadline > now:
                earliest = min(earliest, call.deadline)
            else:
                self._cancel(call)
        self._set_alarm(earliest)
