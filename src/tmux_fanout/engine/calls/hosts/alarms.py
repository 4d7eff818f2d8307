"""The alarms of many hosts, without a task for each.

An alarm of its own (`calls.alarm.Alarm`) is a task that sleeps until its time, and keeps the host
that it belongs to until then.  Here one alarm rings for all, and a host that is forgotten leaves
only an empty entry behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush

import trio

from tmux_fanout.engine.calls.alarm import Alarm

_MIN_CANCELLED = 1000  # before the heap is cleared of their entries


class Timer:
    """Call a function at the earliest of the times that it was set to, as `Alarm` does.

    Args:
        timers: wait for the time.
        ring: the function.
    """

    def __init__(self, timers: Timers, ring: Callable[[], None]) -> None:
        self._timers = timers
        self._ring = ring
        self._entry: _Entry | None = None

    def __repr__(self) -> str:
        return f"<Timer: at {self._entry.time if self._entry else math.inf}>"

    def set(self, time: float) -> None:
        """Ring at `time`, if not before."""
        if self._entry is None or time < self._entry.time:
            self.cancel()
            self._entry = self._timers.add(time, self)

    def cancel(self) -> None:
        """Do not ring, unless it is set again."""
        if self._entry:
            self._timers.drop(self._entry)
            self._entry = None

    def ring(self) -> None:
        """Call the function, as it is time."""
        self._entry = None
        self._ring()


class _Entry:
    """A time in the heap, and the timer that is set to it; None if it was cancelled."""

    __slots__ = ("time", "timer")

    def __init__(self, time: float, timer: Timer) -> None:
        self.time = time
        self.timer: Timer | None = timer

    def __lt__(self, other: _Entry) -> bool:
        return self.time < other.time


class Timers:
    """Ring any number of timers.

    Args:
        nursery: runs the task that waits.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._alarm = Alarm(nursery, self._ring)
        self._entries: list[_Entry] = []
        self._cancelled = 0  # timers, since the heap was last cleared of their entries

    def __repr__(self) -> str:
        return f"<Timers: {len(self._entries)} set>"

    def add(self, time: float, timer: Timer) -> _Entry:
        """Ring a timer at `time`, unless it is taken out of the entry that is returned."""
        entry = _Entry(time, timer)
        heappush(self._entries, entry)
        self._alarm.set(self._entries[0].time)
        return entry

    def drop(self, entry: _Entry) -> None:
        """Take the timer out of an entry; clear the heap of such entries once they are many."""
        entry.timer = None
        self._cancelled += 1
        if self._cancelled > max(_MIN_CANCELLED, len(self._entries) // 2):
            self._entries = [each for each in self._entries if each.timer]
            heapify(self._entries)
            self._cancelled = 0

    def _ring(self) -> None:
        now = trio.current_time()
        due = []
        while self._entries and (self._entries[0].timer is None or self._entries[0].time <= now):
            due.append(heappop(self._entries))
        for entry in due:
            # One that is set again for now rings later, so that other tasks run before.
            if entry.timer:  # else another one has cancelled it
                entry.timer.ring()
        if self._entries:
            self._alarm.set(self._entries[0].time)
