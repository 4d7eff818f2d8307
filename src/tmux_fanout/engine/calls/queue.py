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
from tmux_fanout.core.policy.rate import Pacer
from tmux_fanout.core.report.statistics import HeldBy
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.endpoints import Endpoints


class Queue:
    """Calls in the order in which they go.

    Args:
        plan: the API.
        endpoints: the endpoints of the API.
        may_start: returns whether the window has room for the response to a call.

    Attributes:
        calls: calls that have begun, then the others in the order of their records.
        pacer: paces attempts by the rate, or None.
    """

    def __init__(
        self, plan: ApiPlan, endpoints: Endpoints, may_start: Callable[[Call], bool]
    ) -> None:
        self.calls: deque[Call] = deque()
        self.pacer = Pacer(plan.rate) if plan.rate else None
        self._endpoints = endpoints
        self._may_start = may_start
        self._patience = plan.breaker.wait if plan.breaker else math.inf
        self._is_sorted = not plan.after

    def __repr__(self) -> str:
        return f"<Queue: {len(self.calls)} calls>"

    @property
    def is_free(self) -> bool:
        """Whether nothing but slots and the window delays calls."""
        return self.pacer is None and self._endpoints.is_calm

    def add(self, call: Call) -> None:
        """Queue a new call."""
        self.calls.append(call)
        if not self._is_sorted:
            self._move_up()

    def _move_up(self) -> None:
        """Move the last call to its position in the order of the records.

        Calls that come after others are queued in any order.  The head of the line must be in front
        of the others, or in an overfull window it would wait forever.
        """
        call = self.calls.pop()
        index = len(self.calls)
        while index and _goes_before(call, self.calls[index - 1]):
            index -= 1
        self.calls.insert(index, call)

    def add_again(self, call: Call) -> None:
        """Queue a call for another attempt, in front of the others.

        A call whose first attempt could not begin goes to its position among the new ones.
        """
        index = 0
        if not call.attempts:
            behind = (i for i, other in enumerate(self.calls) if _goes_before(call, other))
            index = next(behind, len(self.calls))
        self.calls.insert(index, call)

    def has_next(self) -> bool:
        """Return whether the first call may go now."""
        if not self.calls:
            return False
        call = self.calls[0]
        if not self._may_start(call):
            return False
        if self._endpoints.is_calm and self.pacer is None:
            return True
        return self._wait(trio.current_time()) <= AT_ONCE

    def held_by(self, now: float) -> HeldBy | None:
        """Return what delays the first call, apart from slots; None if nothing does."""
        if not self.calls:
            return None
        call = self.calls[0]
        if not self._may_start(call):
            return "window"
        if self.is_free:
            return None
        rate = self.pacer.wait(now) if self.pacer else 0.0
        endpoints = self._endpoints.wait(now)
        if max(rate, endpoints) <= AT_ONCE:
            return None
        if rate > endpoints:
            return "rate"
        return self._endpoints.held_by(now)

    def pop(self) -> Call:
        """Remove and return the call that goes next.

        While all breakers are open the next attempt is a probe: the call with the fewest attempts
        makes it, since it can best spare one.
        """
        if self._endpoints.is_calm or self._endpoints.broken_since() is None:
            call = self.calls.popleft()
        else:
            call = min(self.calls, key=lambda waiting: waiting.attempts)
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

    def attention_in(self, now: float) -> float:
        """Return the seconds until the first call may go, or one has waited too long for a breaker.

        Infinite if neither happens before something else does.
        """
        if not self.calls or self.is_free:
            return math.inf
        wait = self._wait(now)
        if wait <= AT_ONCE:
            wait = math.inf  # it may go, and only lacks a slot
        return max(0.0, min(wait, self._next_expiry() - now))

    def _wait(self, now: float) -> float:
        rate = self.pacer.wait(now) if self.pacer else 0.0
        return max(rate, self._endpoints.wait(now))

    def _next_expiry(self) -> float:
        since = self._endpoints.broken_since()
        if since is None:
            return math.inf
        new = (call for call in self.calls if not call.attempts)
        return max(since, next((call.started for call in new), math.inf)) + self._patience

    def take_expired(self, now: float) -> list[Call]:
        """Remove and return the calls that have waited too long for a breaker."""
        expired = []
        while self._next_expiry() <= now + AT_ONCE:
            call = next(call for call in self.calls if not call.attempts)
            self.calls.remove(call)
            call.end_pause()
            expired.append(call)
        return expired


def _goes_before(call: Call, other: Call) -> bool:
    return not other.attempts and call.pending.record.index < other.pending.record.index
