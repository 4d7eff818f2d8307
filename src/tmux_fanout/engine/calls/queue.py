"""The calls of an API that wait for their turn, and whether the first of them may go.

Who waits here costs neither a task nor a socket.  A call may go when there is room in the window
for its response, and as soon as the rate, the pauses that the endpoints asked for and their
breakers let it; of the latter three the queue knows how long that will take.
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
        plan: of the API.
        endpoints: of the API.
        may_start: whether there is room for what an attempt of a call may bring.

    Attributes:
        calls: those that have begun before the others, of which the record read first is first.
        pacer: of the rate, or None.
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
        """Whether nothing but slots and the window holds calls up."""
        return self.pacer is None and self._endpoints.is_calm

    def add(self, call: Call) -> None:
        """A new call waits."""
        self.calls.append(call)
        if not self._is_sorted:
            self._move_up()

    def _move_up(self) -> None:
        """Move the last call to its place by the order of the records, behind those that began.

        Calls that come after others are queued in any order.  The head of the line must be in front
        of its fellows, or in an overfull window it would wait for ever.
        """
        call = self.calls.pop()
        place = len(self.calls)
        while place and _goes_before(call, self.calls[place - 1]):
            place -= 1
        self.calls.insert(place, call)

    def add_again(self, call: Call) -> None:
        """A call that has begun waits for its next attempt, in front of the others.

        One that could not begin after all goes to its place among those that have not.
        """
        place = 0
        if not call.attempts:
            behind = (i for i, other in enumerate(self.calls) if _goes_before(call, other))
            place = next(behind, len(self.calls))
        self.calls.insert(place, call)

    def has_next(self) -> bool:
        """Whether the first call may go now."""
        if not self.calls:
            return False
        call = self.calls[0]
        if not self._may_start(call):
            return False
        if self._endpoints.is_calm and self.pacer is None:
            return True
        return self._wait(trio.current_time()) <= AT_ONCE

    def held_by(self, now: float) -> HeldBy | None:
        """What keeps the first call waiting, where there are slots; None if nothing does."""
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
        return "paused" if self._endpoints.broken_since() is None else "breaker"

    def pop(self) -> Call:
        """The call that goes next, no longer waiting.

        As a probe goes the one that can best spare an attempt.
        """
        if self._endpoints.is_calm or self._endpoints.broken_since() is None:
            call = self.calls.popleft()
        else:
            call = min(self.calls, key=lambda waiting: waiting.attempts)
            self.calls.remove(call)
        if call.pause:
            call.pause.cancel()
        return call

    def remove(self, call: Call) -> bool:
        """Whether a call was waiting; it no longer is."""
        if call not in self.calls:
            return False
        self.calls.remove(call)
        return True

    def attention_in(self, now: float) -> float:
        """Seconds until the first call may go, or a call has waited too long for a breaker.

        Infinite where neither will be, before something else happens.
        """
        if not self.calls or self.is_free:
            return math.inf
        wait = self._wait(now)
        if wait <= AT_ONCE:
            wait = math.inf  # it may go, and only wants a slot
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
        """The calls that have waited too long for a breaker, no longer waiting."""
        expired = []
        while self._next_expiry() <= now + AT_ONCE:
            call = next(call for call in self.calls if not call.attempts)
            self.calls.remove(call)
            if call.pause:
                call.pause.cancel()
            expired.append(call)
        return expired


def _goes_before(call: Call, other: Call) -> bool:
    return not other.attempts and call.row.record.index < other.row.record.index
