"""Who of the calls of one API goes when.

A call goes when it is its turn in the queue, which knows of the rate, of pauses and of breakers,
and when there is a slot for it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from tmux_fanout.core.adaptive import AdaptiveLimit
from tmux_fanout.core.errors import CallError
from tmux_fanout.core.http import Response
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.core.rate_limit import THROTTLED
from tmux_fanout.core.statistics import ApiStatistics
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.alarm import Alarm
from tmux_fanout.engine.call import Call
from tmux_fanout.engine.endpoints import Answer, Endpoints
from tmux_fanout.engine.queue import Queue
from tmux_fanout.engine.settler import Settler

if TYPE_CHECKING:
    from tmux_fanout.engine.row import Row


class Dispatcher(Settler):
    """Starts tasks for the calls of one API, as many as may run, and keeps account of what waits.

    Args:
        plan, statistics, settled: as for `Settler`.
        may_start: whether a row may have a call started now; `start` tries again later.
        tell: called with what a user had better know at once.

    Attributes:
        limiter: of which each task holds a slot.
        nursery: where its tasks run; set before anything is started.
    """

    nursery: trio.Nursery

    def __init__(
        self,
        plan: ApiPlan,
        statistics: ApiStatistics,
        *,
        may_start: Callable[[Row], bool],
        settled: Callable[[Call, int], None],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(plan, statistics, settled)
        bounds = plan.adaptive
        self._adaptive = AdaptiveLimit(bounds.min, bounds.max) if bounds else None
        self.limiter = trio.CapacityLimiter(self._adaptive.limit if self._adaptive else plan.limit)
        statistics.limit = int(self.limiter.total_tokens)
        self._endpoints = Endpoints(plan, tell)
        self._queue = Queue(plan, self._endpoints, may_start)
        self._alarm = Alarm(self._look_after_queue)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.plan.name}: {self._queue!r}, {self.limiter!r}>"

    @abstractmethod
    async def _work(self, slot: object) -> None:
        """Make calls on a slot as long as there are any that may go, and release it."""

    def start(self) -> None:
        """Start as many tasks as there are slots free and calls that may go."""
        is_short = False
        if self._queue.has_next():
            # Under a rate one goes after another, and each starts the next.
            wanted = 1 if self._queue.pacer else self._tasks_wanted()
            free = int(self.limiter.available_tokens)
            for _ in range(min(wanted, free)):
                slot = object()
                self.limiter.acquire_on_behalf_of_nowait(slot)
                self.nursery.start_soon(self._work, slot)
            is_short = wanted > free
        self._note_what_holds(is_short=is_short)

    def _tasks_wanted(self) -> int:
        return len(self._queue.calls)

    def _note_what_holds(self, *, is_short: bool) -> None:
        """Account for what keeps the first call from going, and see to it when that is over."""
        now = trio.current_time()
        cause = "limit" if is_short else self._queue.held_by(now)
        self._statistics.held.note(cause, now)
        if not self._queue.is_free:
            time = now + self._queue.attention_in(now)
            if time < math.inf:
                self._alarm.set(self.nursery, time)

    def _look_after_queue(self) -> None:
        for call in self._queue.take_expired(trio.current_time()):
            self._settle_with(call, None, self._breaker_open())
        self.start()

    def _breaker_open(self) -> CallError:
        patience = show_duration(float(self.plan.breaker.wait)) if self.plan.breaker else ""
        trouble = self._endpoints.trouble()
        return CallError("breaker_open", f"not sent: no server for {patience}; the last: {trouble}")

    def _may_go_on(self) -> bool:
        is_over_limit = self._adaptive is not None and self.limiter.available_tokens < 0
        return not is_over_limit and self._queue.has_next()

    def _next(self) -> Call:
        call = self._queue.pop()
        if not self._queue.calls:
            self._statistics.held.note(None, trio.current_time())
        return call

    def _adapt(self, began: float, now: float, deadline: float, answer: Answer) -> None:
        """An attempt is over: the limit may be another for it."""
        assert self._adaptive  # or there is nothing to adapt
        if isinstance(answer, Response):
            refused = answer.status in THROTTLED
        elif answer is None and now >= deadline:
            refused = True
        else:
            return  # cancelled, or no server: which says nothing of how many it can take
        in_flight = self._statistics.in_flight + 1
        if self._adaptive.observe(began, now, in_flight=in_flight, refused=refused):
            self.limiter.total_tokens = self._statistics.limit = self._adaptive.limit
            self.start()
