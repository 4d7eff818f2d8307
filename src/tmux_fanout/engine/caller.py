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
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import trio

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
        random: Random,
    ) -> None:
        self.plan = plan
        self.limiter = trio.CapacityLimiter(plan.limit)
        self._total = total
        self._transport = transport
        self._statistics = statistics
        self._may_start = may_start
        self._settled = settled
        self._random = random
        self._waiting: deque[Call] = deque()
        self._endpoints = Endpoints(plan.endpoints, plan.balance) if plan.endpoints else None

    def __repr__(self) -> str:
        return f"<Caller {self.plan.name}: {len(self._waiting)} waiting, {self.limiter!r}>"

    def submit(self, call: Call) -> None:
        """Queue a call, for `start` to begin; settle at once one that comes to no request."""
        prepared = self._prepare(call)
        if isinstance(prepared, Outcome):
            self._settle(call, prepared)
            return
        call.request = prepared
        self._waiting.append(call)
        if self.plan.after:
            _move_up(self._waiting)

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

    def start(self, nursery: trio.Nursery) -> None:
        """Start as many tasks as there are slots free and calls waiting."""
        if not self._has_next():
            return
        for _ in range(min(self._tasks_wanted(), int(self.limiter.available_tokens))):
            slot = object()
            self.limiter.acquire_on_behalf_of_nowait(slot)
            nursery.start_soon(self._work, slot, nursery)

    def _tasks_wanted(self) -> int:
        return len(self._waiting)

    async def _work(self, slot: object, nursery: trio.Nursery) -> None:
        """Make waiting calls, one after another, on one slot."""
        try:
            while self._has_next():
                call = self._next()
                with trio.CancelScope() as scope:
                    while True:
                        self._conclude(call, await self._attempt(call, scope), nursery)
                        # A scope may fire too late to stop its attempt, but not the next one.
                        if not self._has_next() or scope.cancel_called:
                            break
                        call = self._next()
                if scope.cancelled_caught:
                    self._out_of_time(call, nursery)
        finally:
            self.limiter.release_on_behalf_of(slot)

    def _has_next(self) -> bool:
        """Whether the call at the front may be made now; one that has begun always may."""
        if not self._waiting:
            return False
        call = self._waiting[0]
        return call.attempts > 0 or self._may_start(call.row)

    def _next(self) -> Call:
        call = self._waiting.popleft()
        if call.pause:
            call.pause.cancel()
        return call

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
        statistics = self._statistics
        scope.deadline = min(now + self.plan.attempt_timeout, self._deadline(call))
        statistics.attempts += 1
        statistics.in_flight += 1
        try:
            send = self._send_to_endpoint if self._endpoints else self._transport.send
            response = await send(request, call)
            statistics.bytes_received += response.wire_size
            return response
        except Failure as failure:
            return failure
        finally:
            statistics.in_flight -= 1
            if call.sent and request.body is not None:
                statistics.bytes_sent += len(request.body)

    async def _send_to_endpoint(self, request: Request, call: Call) -> Response:
        """Send to one of several endpoints; to another one than where the call failed before."""
        endpoints = self._endpoints
        assert endpoints
        place = call.endpoint = endpoints.enter(call.endpoint)
        failure = None
        try:
            return await self._transport.send(endpoints.route(request, place), call)
        except Failure as exc:
            failure = exc
            raise
        finally:
            endpoints.leave(place, failure)

    def _deadline(self, call: Call) -> float:
        return call.started + self.plan.retry.timeout

    def _conclude(self, call: Call, answer: Response | Failure, nursery: trio.Nursery) -> None:
        """Settle a call with what its attempt brought, or prepare the next attempt."""
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
                nursery.start_soon(self._call_again, call, verdict.delay, nursery)
                return
            error = verdict
        self._settle_with(call, answer, error)

    async def _call_again(self, call: Call, delay: float, nursery: trio.Nursery) -> None:
        """Put a call back in front of the queue after a pause; the call's own time runs on."""
        await trio.sleep(delay)
        call.pause = trio.CancelScope(deadline=self._deadline(call))
        self._waiting.appendleft(call)
        self.start(nursery)
        with call.pause:
            await trio.sleep_forever()
        if call in self._waiting:  # no slot came free in time
            self._waiting.remove(call)
            self._out_of_time(call, nursery)

    def _out_of_time(self, call: Call, nursery: trio.Nursery) -> None:
        """Conclude a call whose attempt, or whose wait for the next, was too long."""
        timeout = self.plan.retry.timeout
        if call.trouble is not None:
            why = f"no slot came free for another within the call's {show_duration(timeout)}"
            error = final_error(self.plan.retry, call.trouble, call.attempts, why)
            self._settle_with(call, call.trouble, error)
            return
        limit, what = self.plan.attempt_timeout, "attempt"
        if trio.current_time() >= self._deadline(call):
            limit, what = timeout, "call"
        message = f"no whole response within the {what}'s {show_duration(limit)}"
        failure = Failure("timeout", message, sent=call.sent, transient=True)
        self._conclude(call, failure, nursery)

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
        call.outcome = outcome
        self._statistics.settled(outcome)
        self._settled(call, len(outcome.content.json) if outcome.content else 0)


def _move_up(waiting: deque[Call]) -> None:
    """Move the last call to its place by the order of the records, behind those that have begun.

    Calls that come after others are queued in any order.  The head of the line must be in front of
    its fellows, or in an overfull window it would wait for ever.
    """
    call = waiting.pop()
    place = len(waiting)
    while place and _goes_before(call, waiting[place - 1]):
        place -= 1
    waiting.insert(place, call)


def _goes_before(call: Call, other: Call) -> bool:
    return not other.attempts and call.row.record.index < other.row.record.index


def _retry_after(answer: Response | Failure) -> float | None:
    if isinstance(answer, Failure):
        return None
    value = answer.header(b"retry-after")
    return None if value is None else parse_retry_after(value, time.time())
