"""The calls of an API that wait for their turn, and whether the first of them may go.

A call that waits here costs neither a task nor a socket.  It may go when the window has room for
its response, and as soon as the rate, the pauses that endpoints asked for and their breakers allow
it; the queue knows how long the latter three will take.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.report.statistics import HeldBy
from tmux_fanout.core.spending.meter import Meter
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.sharing.others import Others, Remaining


class Queue:
    """Calls in the order in which they go.

    Args:
        plan: the API.
        endpoints: the endpoints of the API.
        may_start: returns whether the window has room for the response to a call.
        meter: allows attempts by the rate and the budget, or None.
        others: know of the calls that other processes have.

    Attributes:
        calls: calls that have begun, then the others in the order of their records.
        meter: as above.
        backing_off: number of calls that sleep before they come back.
        is_urged: whether the first call may go even if the window has no room for its response.
    """

    def __init__(
        self,
        plan: ApiPlan,
        endpoints: Endpoints,
        may_start: Callable[[Call], bool],
        meter: Meter | None,
        others: Others,
    ) -> None:
        self.calls: deque[Call] = deque()
        self.meter = meter
        self.backing_off = 0
        self.is_urged = False
        self._endpoints = endpoints
        self._may_start = may_start
        self._others = others
        self._is_sorted = not (plan.after or plan.is_fallback or plan.share or plan.cache)

    def __repr__(self) -> str:
        return f"<Queue: {len(self.calls)} calls>"

    @property
    def is_free(self) -> bool:
        """Whether nothing but slots and the window delays calls."""
        return self.meter is None and self._endpoints.is_calm

    @property
    def is_kept_out(self) -> bool:
        """Whether calls wait for room in the window."""
        return bool(self.calls) and not (self.is_urged or self._may_start(self.calls[0]))

    def add(self, call: Call) -> None:
        """Queue a new call."""
        self.calls.append(call)
        if not self._is_sorted:
            self._move_up()

    def _move_up(self) -> None:
        """Move the last call to its position in the order of the records.

        Calls that come after others, stand in for them or make a request in their place are queued
        in any order.  The head of the line must be in front of the others, or in an overfull window
        it would wait forever.
        """
        call = self.calls.pop()
        index = len(self.calls)
        while index and _goes_before(call, self.calls[index - 1]):
            index -= 1
        self.calls.insert(index, call)

    def add_again(self, call: Call) -> None:
        """Queue a call again at its position: among those that have begun, or the new ones."""
        index = len(self.calls)
        for position, other in enumerate(self.calls):
            if _goes_before(call, other):
                index = position
                break
        self.calls.insert(index, call)

    async def pause(self, call: Call, delay: float) -> bool:
        """Return a call to its position after a pause, unless it is settled meanwhile.

        Returns:
            Whether it was queued, so that `start` has to follow.
        """
        if call.outcome is not None:
            return False  # lost to others before this task ran
        self.backing_off += 1
        try:
            with trio.CancelScope() as pause:
                call.pause = pause
                await trio.sleep(delay)
        finally:
            self.backing_off -= 1
        if call.pause is not pause:
            return False  # it was settled meanwhile
        call.pause = None
        self.add_again(call)
        await trio.lowlevel.checkpoint()  # others that wake at this time get in front as well
        return True

    def has_next(self) -> bool:
        """Return whether the first call may go now."""
        if not self.calls:
            return False
        call = self.calls[0]
        if not self._may_start(call) and not self.is_urged:
            return False
        if self._endpoints.is_calm and self.meter is None:
            return True
        return self._wait(call, trio.current_time()) <= AT_ONCE

    def held_by(self, now: float) -> HeldBy | None:
        """Return what delays the first call, apart from slots; None if nothing does."""
        if not self.calls:
            return None
        call = self.calls[0]
        if not self._may_start(call) and not self.is_urged:
            return "window"
        if self.is_free:
            return None
        rate = self.meter.wait(call, now) if self.meter else 0.0
        endpoints = self._wait_for_endpoints(call, now)
        if max(rate, endpoints) <= AT_ONCE:
            return None
        if self.meter and rate > endpoints:
            return "cost" if self.meter.is_waiting_for_budget(call) else "rate"
        return self._endpoints.held_by(now)

    def pop(self) -> Call:
        """Remove and return the call that goes next.

        While all endpoints are down the next attempt is a probe.  The head of the line makes it,
        which the output waits for, and in turns the call with the fewest attempts, in case the head
        itself is at fault; the last of these, as neighbours may share a fault.
        """
        self.is_urged = False
        if self._endpoints.is_calm or not self._endpoints.are_down or self._endpoints.probes % 2:
            call = self.calls.popleft()
        else:
            call = min(reversed(self.calls), key=lambda waiting: waiting.attempts)
            self.calls.remove(call)
        if call.pause:
            call.end_pause()
        return call

    def remove(self, call: Call) -> bool:
        """Remove a call if it is queued; return whether it was."""
        if call not in self.calls:
            return False
        self.calls.remove(call)
        return True

    @property
    def have_all_begun(self) -> bool:
        """Whether no call is left here that has not been tried."""
        return not self.calls or self.calls[-1].attempts > 0

    def number(self, now: float) -> float:
        """Return how many calls wait, here or in other processes; infinite if not known."""
        return len(self.calls) + self.backing_off + self._others.number(now)

    def remaining(self, now: float) -> Remaining:
        """Return what is known of the calls that there are beside one which is not queued."""
        others = self._others
        return Remaining(
            are_last=self.have_all_begun and others.have_all_begun(now),
            waiting=self.number(now),
            elsewhere=others.number(now),
            is_partial=not others.are_known(now),
        )

    def attention_in(self, now: float) -> float:
        """Return the seconds until the first call may go; infinite if it only lacks a slot."""
        if not self.calls or self.is_free:
            return math.inf
        wait = self._wait(self.calls[0], now)
        return math.inf if wait <= AT_ONCE else wait

    def _wait(self, call: Call, now: float) -> float:
        rate = self.meter.wait(call, now) if self.meter else 0.0
        return max(rate, self._wait_for_endpoints(call, now))

    def _wait_for_endpoints(self, call: Call, now: float) -> float:
        if self.meter and self._endpoints.limit_tokens:
            return self._endpoints.wait(now, self.meter.units_of(call))
        return self._endpoints.wait(now)

    def idle(self, *, begun: bool) -> list[Call]:
        """Return the calls without an attempt under way; a call that waits for its hedge has one.

        Args:
            begun: whether to return those that have made attempts, too.
        """
        return [
            call for call in self.calls if not call.is_under_way and (begun or not call.attempts)
        ]


def _goes_before(call: Call, other: Call) -> bool:
    if bool(call.attempts) != bool(other.attempts):
        return bool(call.attempts)
    return call.pending.record.index < other.pending.record.index
