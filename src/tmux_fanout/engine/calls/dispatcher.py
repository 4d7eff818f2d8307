"""Who of the calls of one API goes when, and what it takes along.

A call goes when it is its turn in the queue, which knows of the rate, of pauses and of breakers,
and when there is a slot for it, of its API and of all together.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import THROTTLED
from tmux_fanout.core.policy.adaptive import AdaptiveLimit
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.alarm import Alarm
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.endpoints import Answer, Endpoints
from tmux_fanout.engine.calls.queue import Queue
from tmux_fanout.engine.calls.settler import Settler
from tmux_fanout.engine.calls.shortage import Squeeze
from tmux_fanout.engine.calls.total_limit import TotalLimit


class Dispatcher(Settler):
    """Begins the calls of one API, as many as may run, and keeps account of what waits.

    Args:
        plan, statistics, settled, kept: as for `Settler`.
        total: the slots that all APIs share, or None.
        may_start: whether a call may have an attempt begun now; `start` tries again later.
        tell: called with what a user had better know at once.

    Attributes:
        limiter: of which each attempt under way holds a slot.
    """

    _nursery: trio.Nursery
    _scope: trio.CancelScope
    _now: Callable[[], float]

    def __init__(
        self,
        plan: ApiPlan,
        total: TotalLimit | None,
        statistics: ApiStatistics,
        *,
        may_start: Callable[[Call], bool],
        settled: Callable[[Call, int], None],
        kept: Callable[[int], None],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(plan, statistics, settled, kept)
        self._total = total
        bounds = plan.adaptive
        self._adaptive = AdaptiveLimit(bounds.min, bounds.max) if bounds else None
        self.limiter = trio.CapacityLimiter(self._adaptive.limit if self._adaptive else plan.limit)
        statistics.limit = int(self.limiter.total_tokens)
        self._squeeze = Squeeze(
            plan.name, self.limiter, limit=self._full_limit, tell=tell, resume=self.resume
        )
        # What attempts have left for the next ones: to give a slot back and ask for another takes
        # the limiter 1 us.
        self._slots: list[object] = []
        self._endpoints = Endpoints(plan, tell)
        self._queue = Queue(plan, self._endpoints, may_start)
        self._alarm = Alarm(self._look_after_queue)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.plan.name}: {self._queue!r}, {self.limiter!r}>"

    @property
    def waiting(self) -> int:
        """How many calls have not gone yet."""
        return len(self._queue.calls)

    def open(self, nursery: trio.Nursery, scope: trio.CancelScope) -> None:
        """Begin calls from now on.

        Args:
            nursery: where tasks run.
            scope: around it; when that is cancelled, no call is begun any more.
        """
        self._nursery = nursery
        self._scope = scope
        self._now = trio.lowlevel.current_clock().current_time  # at a third of trio's own price

    @abstractmethod
    def _begin(self, call: Call) -> None:
        """Make an attempt of a call, on a slot that is free."""

    def start(self) -> None:
        """Begin as many attempts as there are slots free and calls that may go."""
        if self._scope.cancel_called:
            return
        while (has_next := self._queue.has_next()) and self._has_slot():
            self._begin(self._next())
        self._free_slots()
        self._note_what_holds(is_short=has_next)

    def resume(self) -> None:
        """Attempts are over: others may begin, and where all APIs share slots, theirs first."""
        if self._total:
            self._total.pass_on()
        self.start()

    def _has_slot(self) -> bool:
        if self._total and not self._total.has_slot(self.start):
            return False
        return bool(self._slots) or self.limiter.available_tokens >= 1

    def _reserve(self, call: Call, now: float) -> None:
        """Take what an attempt needs, there being a slot."""
        call.ended = now
        if self._slots:
            call.slot = self._slots.pop()
        else:
            call.slot = object()
            self.limiter.acquire_on_behalf_of_nowait(call.slot)
        if self._total:
            self._total.take(call)
        if self._queue.pacer:
            self._queue.pacer.take(now)
        self._endpoints.enter(call, now)

    def _release(self, call: Call, answer: Answer) -> Answer:
        """Give back what an attempt has taken; `resume` has to follow.

        Returns:
            The answer, or an `internal` failure where it cannot be understood.
        """
        call.scope = call.exchange = None
        answer = self._endpoints.leave(call, answer, call.ended)
        if self._adaptive:
            self.limiter.release_on_behalf_of(call.slot)  # of which there may be fewer now
        else:
            self._slots.append(call.slot)
        call.slot = None
        if self._total:
            self._total.give_back(call)
        if call.outcome is not None:
            call.request = None  # it was lost to others meanwhile
        return answer

    def _free_slots(self) -> None:
        """Give back to the limiter what no attempt has taken over."""
        while self._slots:
            self.limiter.release_on_behalf_of(self._slots.pop())

    def _note_what_holds(self, *, is_short: bool) -> None:
        """Account for what keeps the first call from going, and see to it when that is over."""
        now = trio.current_time()
        cause = "limit" if is_short else self._queue.held_by(now)
        self._statistics.held.note(cause, now)
        if not self._queue.is_free:
            time = now + self._queue.attention_in(now)
            if time < math.inf:
                self._alarm.set(self._nursery, time)

    def _look_after_queue(self) -> None:
        for call in self._queue.take_expired(trio.current_time()):
            self._settle_with(call, None, self._breaker_open())
        self.start()

    def _breaker_open(self) -> ErrorInfo:
        patience = show_duration(self.plan.breaker.wait) if self.plan.breaker else ""
        trouble = self._endpoints.trouble()
        return ErrorInfo("breaker_open", f"not sent: no server for {patience}; the last: {trouble}")

    def _next(self) -> Call:
        call = self._queue.pop()
        if not self._queue.calls:
            self._statistics.held.note(None, trio.current_time())
        return call

    def _full_limit(self) -> int:
        return self._adaptive.limit if self._adaptive else self.plan.limit

    def _make_do(self, what: str) -> None:
        """Run fewer attempts at once, as one has found that this machine is short of something."""
        self._free_slots()
        self._squeeze.tighten(self._nursery, what)

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
            self._statistics.limit = self._adaptive.limit
            if not self._squeeze.is_on:
                self.limiter.total_tokens = self._adaptive.limit
