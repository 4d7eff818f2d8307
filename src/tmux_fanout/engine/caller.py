"""The calls of one API: a queue, a limiter, and tasks that each hold a slot.

A call that waits is an entry in a queue: it costs neither a task nor a socket.  A task is started
only once it owns a slot, and then makes one attempt after another on that slot until the queue is
empty, since starting a task, entering a cancel scope and taking a slot cost more than an attempt
may.  Its one cancel scope serves every attempt by moving its deadline; only a scope that has fired
is replaced.

A call that has to wait before its next attempt gives its place to others: it sleeps in a task of
its own, without a slot, and comes back to the front of the queue.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from tmux_fanout.core.budget import RetryBudget
from tmux_fanout.core.dependencies import results_of
from tmux_fanout.core.errors import CallError, ErrorKind, Failure
from tmux_fanout.core.http import Request, Response
from tmux_fanout.core.jsontext import embed
from tmux_fanout.core.outcome import Outcome
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.core.retry import Again, decide, final_error, parse_retry_after
from tmux_fanout.core.statistics import ApiStatistics
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.call import Call
from tmux_fanout.engine.endpoints import Endpoints
from tmux_fanout.engine.queue import AT_ONCE, Queue
from tmux_fanout.transports.base import Transport

if TYPE_CHECKING:
    from tmux_fanout.engine.row import Row


_SKIPPED = Outcome(True, skipped=True)


class Caller:
    """Makes the calls of one API.

    Args:
        plan: how.
        transport: with what.
        total: the limiter that all APIs share, or None.
        statistics: where to count.
        may_start: whether a row may have a call started now; `start` tries again later.
        settled: called with each call that has got its outcome, and that outcome's bytes.
        random: for jitter.

    Attributes:
        nursery: where its tasks run; set before anything is started.
    """

    nursery: trio.Nursery

    def __init__(
        self,
        plan: ApiPlan,
        transport: Transport,
        total: trio.CapacityLimiter | None,
        statistics: ApiStatistics,
        *,
        may_start: Callable[[Row], bool],
        settled: Callable[[Call, int], None],
        random: Random,
    ) -> None:
        self.plan = plan
        self.limiter = trio.CapacityLimiter(plan.limit)
        self._total = total
        self._transport = transport
        self._statistics = statistics
        self._settled = settled
        self._random = random
        self._budget = RetryBudget()
        self._endpoints = Endpoints(plan)
        self._queue = Queue(plan, self._endpoints, may_start)
        self._alarm_at = math.inf

    def __repr__(self) -> str:
        return f"<Caller {self.plan.name}: {self._queue!r}, {self.limiter!r}>"

    def submit(self, call: Call) -> None:
        """Queue a call, for `start` to begin; settle at once one that comes to no request."""
        prepared = self._prepare(call)
        if isinstance(prepared, Outcome):
            self._settle(call, prepared)
            return
        call.request = prepared
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

    def start(self) -> None:
        """Start as many tasks as there are slots free and calls that may go."""
        if self._queue.has_next():
            # Under a rate one goes after another, and each starts the next.
            wanted = 1 if self._queue.pacer else self._tasks_wanted()
            for _ in range(min(wanted, int(self.limiter.available_tokens))):
                slot = object()
                self.limiter.acquire_on_behalf_of_nowait(slot)
                self.nursery.start_soon(self._work, slot)
        self._set_alarm()

    def _tasks_wanted(self) -> int:
        return len(self._queue.calls)

    def _set_alarm(self) -> None:
        """See to it that calls that wait for a rate, a pause or a breaker go on in time."""
        if self._queue.is_free:
            return
        now = trio.current_time()
        time = now + self._queue.attention_in(now)
        if now + AT_ONCE < time < self._alarm_at:
            self._alarm_at = time
            self.nursery.start_soon(self._ring, time)

    async def _ring(self, time: float) -> None:
        await trio.sleep_until(time)
        if self._alarm_at == time:
            self._alarm_at = math.inf
        for call in self._queue.take_expired(trio.current_time()):
            self._settle(call, Outcome(False, error=self._breaker_open()))
        self.start()

    def _breaker_open(self) -> CallError:
        patience = show_duration(float(self.plan.breaker.wait)) if self.plan.breaker else ""
        trouble = self._endpoints.trouble()
        return CallError("breaker_open", f"not sent: no server for {patience}; the last: {trouble}")

    async def _work(self, slot: object) -> None:
        """Make waiting calls, one after another, on one slot."""
        try:
            while self._queue.has_next():
                call = self._next()
                with trio.CancelScope() as scope:
                    while True:
                        call.scope = scope
                        answer = await self._attempt(call, scope)
                        call.scope = None
                        self._conclude(call, answer)
                        # A scope may fire too late to stop its attempt, but not the next one.
                        if not self._queue.has_next() or scope.cancel_called:
                            break
                        call = self._next()
                if scope.cancelled_caught:
                    self._out_of_time(call)
        finally:
            self.limiter.release_on_behalf_of(slot)
        self._set_alarm()

    def _next(self) -> Call:
        return self._queue.pop()

    async def _attempt(self, call: Call, scope: trio.CancelScope) -> Response | Failure:
        if self._total is None:
            return await self._send(call, scope)
        scope.deadline = self._deadline(call) if call.attempts else math.inf
        async with self._total:
            return await self._send(call, scope)

    async def _send(self, call: Call, scope: trio.CancelScope) -> Response | Failure:
        request = call.request
        assert request is not None  # or it would not have been queued
        now = trio.current_time()
        if not call.attempts:
            call.started = now
        elif call.trouble is not None and now >= self._deadline(call):
            return call.trouble  # too late for another attempt: the last one is what it came to
        call.attempts += 1
        call.trouble = None
        call.sent = False
        statistics, endpoints = self._statistics, self._endpoints
        scope.deadline = min(now + self.plan.attempt_timeout, self._deadline(call))
        statistics.attempts += 1
        statistics.in_flight += 1
        if self._queue.pacer:
            self._queue.pacer.take(now)
            self.start()
        endpoints.enter(call, now)
        answer: Response | Failure | None = None
        try:
            if call.endpoint:  # requests are built for the first one
                request = endpoints.route(request, call)
            answer = await self._transport.send(request, call)
            statistics.bytes_received += answer.wire_size
        except Failure as failure:
            answer = failure
        finally:
            statistics.in_flight -= 1
            if call.sent and request.body is not None:
                statistics.bytes_sent += len(request.body)
            if endpoints.leave(call, answer):
                self.start()
        return answer

    def _deadline(self, call: Call) -> float:
        return call.started + self.plan.retry.timeout

    def _conclude(self, call: Call, answer: Response | Failure) -> None:
        """Settle a call with what its attempt brought, or prepare the next attempt."""
        if call.outcome is not None:
            return  # lost to others in the meantime
        error: CallError | None = None
        if isinstance(answer, Failure) or not self.plan.responses.is_ok(answer):
            verdict = decide(
                self.plan.retry,
                answer,
                attempts=call.attempts,
                elapsed=trio.current_time() - call.started,
                jitter=self._random.random(),
                retry_after=_retry_after(answer),
                fresh=call.fresh,
                free=call.free,
            )
            if isinstance(verdict, Again):
                call.trouble = answer
                call.sent = False
                call.fresh = verdict.fresh
                call.free += verdict.fresh
                delay = verdict.delay
                if not verdict.fresh:
                    spent = self._budget.spend(trio.current_time(), self._statistics.attempts)
                    delay = max(delay, spent)
                self.nursery.start_soon(self._call_again, call, delay)
                return
            error = verdict
        self._settle_with(call, answer, error)

    async def _call_again(self, call: Call, delay: float) -> None:
        """Put a call back in front of the queue after a pause; the call's own time runs on."""
        is_queued = False
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
        timeout = self.plan.retry.timeout
        if call.trouble is not None:
            why = f"the turn for another did not come within the call's {show_duration(timeout)}"
            error = final_error(self.plan.retry, call.trouble, call.attempts, why)
            self._settle_with(call, call.trouble, error)
            return
        limit, what = self.plan.attempt_timeout, "attempt"
        if trio.current_time() >= self._deadline(call):
            limit, what = timeout, "call"
        message = f"no whole response within the {what}'s {show_duration(limit)}"
        failure = Failure("timeout", message, sent=call.sent, transient=True)
        self._conclude(call, failure)

    def lose(self, call: Call, why: str) -> None:
        """Settle a call that its siblings have made needless, and stop what it does."""
        self.cut_short(call, "lost", why)
        self._stop(call)

    def _stop(self, call: Call) -> None:
        self._queue.remove(call)
        for scope in (call.pause, call.scope):
            if scope:
                scope.cancel()

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        """Settle a call that the end of the run has stopped, or kept from starting."""
        ambiguous = False
        if not call.attempts:
            why += "; not sent"
        elif call.trouble is not None:
            why += f" before attempt {call.attempts + 1}"
        else:
            why += f" during attempt {call.attempts}"
            ambiguous = call.sent and not self.plan.retry.idempotent
        self._settle_with(call, call.trouble, CallError(kind, why, ambiguous))

    def _settle_with(
        self, call: Call, answer: Response | Failure | None, error: CallError | None
    ) -> None:
        """Settle a call that ends with `answer`, not ok if there is an error."""
        elapsed = trio.current_time() - call.started if call.attempts else 0.0
        if not isinstance(answer, Response):
            self._settle(call, Outcome(False, None, None, error, call.attempts, elapsed))
            return
        content = self.plan.responses.content(answer)
        if isinstance(content, CallError):
            error, content = content, embed(answer.body)
        headers = self.plan.responses.captured(answer)
        outcome = Outcome(
            error is None, answer.status, content, error, call.attempts, elapsed, headers
        )
        self._settle(call, outcome)

    def _settle(self, call: Call, outcome: Outcome) -> None:
        assert call.outcome is None
        call.outcome = outcome
        self._statistics.settled(outcome)
        self._settled(call, len(outcome.content.json) if outcome.content else 0)


def _retry_after(answer: Response | Failure) -> float | None:
    if isinstance(answer, Failure):
        return answer.retry_after
    value = answer.header(b"retry-after")
    return None if value is None else parse_retry_after(value, time.time())
