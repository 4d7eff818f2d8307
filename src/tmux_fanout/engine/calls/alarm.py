"""Alarms: one for a single time, and one for the deadlines of many attempts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from tmux_fanout.engine.calls.call import Attempt

AT_ONCE = 1e-6  # seconds; a shorter wait is not worthwhile, and a clock cannot always resolve it


class Alarm:
    """Call a function at the earliest of the times that it was set to.

    Args:
        nursery: runs the task that waits.
        ring: the function.
    """

    def __init__(self, nursery: trio.Nursery, ring: Callable[[], None]) -> None:
        self._nursery = nursery
        self._ring = ring
        self._time = math.inf

    def __repr__(self) -> str:
        return f"<Alarm: at {self._time}>"

    def set(self, time: float) -> None:
        """Ring at `time`, if not before."""
        if time < self._time:
            self._time = time
            self._nursery.start_soon(self._wait, time)

    async def _wait(self, time: float) -> None:
        await trio.sleep_until(time)
        await trio.lowlevel.checkpoint()  # let every other task that wakes at this time run first
        if self._time == time:
            self._time = math.inf
            self._ring()


class AlarmLike(Protocol):
    """What `Alarm` does."""

    def set(self, time: float) -> None: ...


class Deadlines:
    """Cancel the attempts of an API that run out of time.

    Trio keeps the deadlines of its cancel scopes in a heap; moving one for each attempt costs 5 %
    of the whole attempt, and nearly all attempts end long before.  So each deadline is an attribute
    of its attempt, and one alarm is set to the earliest of those under way when it last rang.

    Args:
        alarm: returns an alarm that calls a function.
        cancel: cancels an attempt; the attempt may end later.
    """

    def __init__(
        self,
        alarm: Callable[[Callable[[], None]], AlarmLike],
        cancel: Callable[[Attempt], object],
    ) -> None:
        self._cancel = cancel
        self._attempts: set[Attempt] = set()
        self._rings_at = math.inf
        self._alarm = alarm(self._cancel_overdue)

    def __repr__(self) -> str:
        return f"<Deadlines: {len(self._attempts)} attempts, next check at {self._rings_at}>"

    def __len__(self) -> int:
        """Return the number of attempts under way."""
        return len(self._attempts)

    @property
    def attempts(self) -> Sequence[Attempt]:
        """A copy of the attempts under way."""
        return list(self._attempts)

    def watch(self, attempt: Attempt, deadline: float) -> None:
        """Cancel an attempt at `deadline`, unless `forget` is called before."""
        attempt.deadline = deadline
        self._attempts.add(attempt)
        if deadline < self._rings_at:
            self._set_alarm(deadline)

    def forget(self, attempt: Attempt) -> None:
        """Stop watching an attempt, as it has ended."""
        self._attempts.discard(attempt)

    def _set_alarm(self, time: float) -> None:
        self._rings_at = time
        if time < math.inf:
            self._alarm.set(time)

    def _cancel_overdue(self) -> None:
        now = trio.current_time()
        earliest = math.inf
        for attempt in self._attempts:
            if attempt.deadline > now:
                earliest = min(earliest, attempt.deadline)
            else:
                self._cancel(attempt)
        self._set_alarm(earliest)
