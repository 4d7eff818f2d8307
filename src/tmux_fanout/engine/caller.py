"""The calls of one API: a queue, a limiter, and tasks that each hold a slot.

A call that waits is an entry in a queue: it costs neither a task nor a socket.  A task is started
only once it owns a slot, and then makes one attempt after another on that slot until the queue is
empty, since starting a task, entering a cancel scope and taking a slot cost more than an attempt
may.  Its one cancel scope serves every attempt, and is cancelled when an attempt is `overdue`; only
a scope that was cancelled is replaced.

A call that has to wait before its next attempt gives its place to others: it sleeps in a task of
its own, without a slot, and comes back to the front of the queue.

From top to bottom this is the way of a call: it is submitted, waits for its turn (`dispatcher`),
is worked on, attempted, sent and concluded, and comes around again, until it is settled
(`settler`).  What is decided on the way is decided by others: whether there is another attempt by
the `retrier`, where it goes by the `endpoints`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from tmux_fanout.core.dependencies import results_of
from tmux_fanout.core.errors import CallError, Failure
from tmux_fanout.core.http import Request, Response
from tmux_fanout.core.outcome import Outcome
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.core.statistics import ApiStatistics
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.call import Call
from tmux_fanout.engine.dispatcher import Dispatcher
from tmux_fanout.engine.endpoints import Answer
from tmux_fanout.engine.overdue import Overdue
from tmux_fanout.engine.retrier import Retrier
from tmux_fanout.transports.base import Transport

if TYPE_CHECKING:
    from tmux_fanout.engine.row import Row


_SKIPPED = Outcome(True, skipped=True)


class Caller(Dispatcher):
    """Makes the calls of one API.

    Args:
        plan, statistics, may_start, settled, tell: as for `Dispatcher`.
        transport: what sends requests.
        total: the limiter that all APIs share, or None.
        random: for jitter.
    """

    def __init__(
        self,
        plan: ApiPlan,
        transport: Transport,
        total: trio.CapacityLimiter | None,
        statistics: ApiStatistics,
        *,
        may_start: Callable[[Row], bool],
        settled: Callable[[Call, int], None],
        tell: Callable[[str], None],
        random: Random,
    ) -> None:
        super().__init__(plan, statistics, may_start=may_start, settled=settled, tell=tell)
        self._total = total
        self._turn: AbstractAsyncContextManager[None] = total or nullcontext()
        self._transport = transport
        self._retrier = Retrier(plan, statistics, random)
        self._overdue = Overdue()

    def submit(self, call: Call, now: float) -> None:
        """Queue a call, for `start` to begin; settle at once one that comes to no request."""
        prepared = self._prepare(call)
        if isinstance(prepared, Outcome):
            self._settle(call, prepared)
            return
        call.request = prepared
        call.started = now
        self._queue.add(call)

    def _prepare(self, call: Call) -> Request | Outcome:
        """The request of a call, or what it comes to without one."""
        results: Mapping[str, Any] | None = None
        if self.plan.after:
            seen = results_of(self.plan.after, [other.outcome for other in call.row.calls])
            if isinstance(seen, CallError):
                return Outcome(False, error=seen, skipped=True)
            results = seen
        request = self.plan.requests.build(call.row.record, results)
        if isinstance(request, CallError):
            return Outcome(False, error=request)
        return request if isinstance(request, Request) else _SKIPPED

    async def _work(self, slot: object) -> None:
        """Make waiting calls, one after another, on one slot; in turn with other APIs."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()  # a run that is over begins nothing
            while self._may_go_on():
                async with self._turn:  # calls wait in the queue: whose turn it is may yet change
                    if not self._may_go_on():
                        break
                    call = self._next()
                    with trio.CancelScope() as scope:
                        while True:
                            call.scope = scope
                            answer = await self._send(call)
                            was_cancelled = call.scope is None  # too late for it, not for the next
                            call.scope = None
                            self._conclude(call, answer)
                            if was_cancelled or self._total or not self._may_go_on():
                                break
                            call = self._next()
                    if scope.cancelled_caught:
                        self._out_of_time(call)
        finally:
            self.limiter.release_on_behalf_of(slot)
        self._note_what_holds(is_short=self._queue.has_next())

    async def _send(self, call: Call) -> Response | Failure:
        request = call.request
        assert request is not None  # or it would not have been queued
        now = trio.current_time()
        if not call.attempts:
            self._statistics.spent.queueing += now - call.started
            call.started = now
        elif call.trouble is not None and now >= self._deadline(call):
            return call.trouble  # too late for another attempt: the last one is what it came to
        call.attempts += 1
        call.trouble = None
        self._overdue.watch(
            self.nursery, call, min(now + self.plan.attempt_timeout, self._deadline(call))
        )
        self._statistics.attempts += 1
        self._statistics.in_flight += 1
        if self._queue.pacer:
            self._queue.pacer.take(now)
            self.start()
        self._endpoints.enter(call, now)
        answer: Answer = None
        try:
            if call.endpoint:  # requests are built for the first one
                request = self._endpoints.route(request, call)
            answer = await self._transport.send(request, call)
        except Failure as failure:
            answer = failure
        finally:
            self._overdue.forget(call)
            self._account_for(call, now, answer)
        return answer

    def _account_for(self, call: Call, began: float, answer: Answer) -> None:
        """An attempt is over: tell all who take an interest in it."""
        now = trio.current_time()
        call.ended = now
        statistics = self._statistics
        statistics.in_flight -= 1
        statistics.spent.attempt(began, call.connected_at, call.first_byte_at, now, sent=call.sent)
        if isinstance(answer, Response):
            statistics.bytes_received += answer.wire_size
        if call.sent and call.request and call.request.body:
            statistics.bytes_sent += len(call.request.body)
        if self._endpoints.leave(call, answer, now):
            self.start()
        if self._adaptive:
            self._adapt(began, now, call.deadline, answer)

    def _deadline(self, call: Call) -> float:
        return call.started + self.plan.retry.timeout if call.attempts else math.inf

    def _conclude(self, call: Call, answer: Response | Failure) -> None:
        """Settle a call with what its attempt brought, or prepare the next attempt."""
        if call.outcome is not None:
            return  # lost to others in the meantime
        verdict = self._retrier.verdict(call, answer)
        if isinstance(verdict, float):
            self.nursery.start_soon(self._call_again, call, verdict)
        else:
            self._settle_with(call, answer, verdict)

    async def _call_again(self, call: Call, delay: float) -> None:
        """Put a call back in front of the queue after a pause; the call's own time runs on."""
        if call.outcome is not None:
            return  # lost to others before it came to that
        is_queued = False
        self._statistics.spent.backing_off += delay
        with trio.CancelScope(deadline=self._deadline(call)) as call.pause:
            await trio.sleep(delay)
            self._queue.add_again(call)
            is_queued = True
            self.start()
            await trio.sleep_forever()
        if self._queue.remove(call) or not is_queued:
            self._out_of_time(call)  # its turn did not come

    def _out_of_time(self, call: Call) -> None:
        """Conclude a call whose attempt, or whose wait for the next, was too long."""
        if call.outcome is not None:
            return  # lost to others in the meantime
        if call.trouble is not None:
            call.ended = trio.current_time()
            self._settle_with(call, call.trouble, self._retrier.no_turn(call))
            return
        limit, what = self.plan.attempt_timeout, "attempt"
        if trio.current_time() >= self._deadline(call):
            limit, what = self.plan.retry.timeout, "call"
        message = f"no whole response within the {what}'s {show_duration(limit)}"
        failure = Failure("timeout", message, sent=call.sent, transient=True)
        self._conclude(call, failure)

    def lose(self, call: Call, why: str) -> None:
        """Settle a call that its siblings have made needless, and stop what it does."""
        self.cut_short(call, "lost", why)
        self._stop(call)

    def _stop(self, call: Call) -> None:
        self._queue.remove(call)
        if call.pause:
            call.pause.cancel()
        call.cancel()
