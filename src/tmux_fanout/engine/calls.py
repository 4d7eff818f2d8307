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
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import trio

from tmux_fanout.core.errors import CallError, ErrorKind, Failure
from tmux_fanout.core.http import Request, Response
from tmux_fanout.core.jsontext import embed
from tmux_fanout.core.outcome import Outcome
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.core.retry import Again, decide, parse_retry_after
from tmux_fanout.core.statistics import ApiStatistics
from tmux_fanout.core.units import show_duration
from tmux_fanout.transports.base import Transport

if TYPE_CHECKING:
    from tmux_fanout.engine.row import Row


class Call:
    """One record to one API, from admission to its outcome.

    `sent` and `fresh` are what a transport sees of it; see `transports.base.Progress`.  `pause` is
    the scope in which it waits for its next attempt.
    """

    __slots__ = ("attempts", "fresh", "outcome", "pause", "request", "row", "sent", "started")

    def __init__(self, row: Row, request: Request) -> None:
        self.row = row
        self.request = request
        self.outcome: Outcome | None = None
        self.attempts = 0
        self.started = 0.0
        self.pause: trio.CancelScope | None = None
        self.sent = False
        self.fresh = False

    def __repr__(self) -> str:
        return f"<Call: record {self.row.record.index}, {self.attempts} attempts, {self.outcome}>"


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

    def __repr__(self) -> str:
        return f"<Caller {self.plan.name}: {len(self._waiting)} waiting, {self.limiter!r}>"

    def submit(self, call: Call) -> None:
        """Queue a call; `start` has to follow."""
        self._waiting.append(call)

    def start(self, nursery: trio.Nursery) -> None:
        """Start as many tasks as there are slots free and calls waiting."""
        if not self._has_next():
            return
        for _ in range(min(len(self._waiting), int(self.limiter.available_tokens))):
            slot = object()
            self.limiter.acquire_on_behalf_of_nowait(slot)
            nursery.start_soon(self._work, slot, nursery)

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
                    self._conclude(call, self._overrun(call), nursery)
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
        scope.deadline = math.inf
        async with self._total:
            return await self._send(call, scope)

    async def _send(self, call: Call, scope: trio.CancelScope) -> Response | Failure:
        now = trio.current_time()
        if not call.attempts:
            call.started = now
        call.attempts += 1
        call.sent = False
        plan, statistics = self.plan, self._statistics
        scope.deadline = min(now + plan.attempt_timeout, call.started + plan.retry.timeout)
        statistics.attempts += 1
        statistics.in_flight += 1
        try:
            return await self._transport.send(call.request, call)
        except Failure as failure:
            return failure
        finally:
            statistics.in_flight -= 1

    def _overrun(self, call: Call) -> Failure:
        """The failure of an attempt that its scope has stopped."""
        elapsed = trio.current_time() - call.started
        limit, what = self.plan.attempt_timeout, "attempt"
        if elapsed >= self.plan.retry.timeout:
            limit, what = self.plan.retry.timeout, "call"
        message = f"no whole response within the {what}'s {show_duration(limit)}"
        return Failure("timeout", message, sent=call.sent, transient=True)

    def _conclude(self, call: Call, answer: Response | Failure, nursery: trio.Nursery) -> None:
        """Settle a call with what its attempt brought, or prepare the next attempt."""
        elapsed = trio.current_time() - call.started
        error: CallError | None = None
        if isinstance(answer, Failure) or not 200 <= answer.status < 300:
            verdict = decide(
                self.plan.retry,
                answer,
                attempts=call.attempts,
                elapsed=elapsed,
                jitter=self._random.random(),
                retry_after=_retry_after(answer),
                fresh=call.fresh,
            )
            if isinstance(verdict, Again):
                call.fresh = verdict.fresh
                nursery.start_soon(self._call_again, call, verdict.delay, nursery)
                return
            error = verdict
        status = content = None
        if isinstance(answer, Response):
            status, content = answer.status, embed(answer.body)
            self._statistics.bytes_received += answer.wire_size
        self._settle(call, Outcome(error is None, status, content, error, call.attempts, elapsed))

    async def _call_again(self, call: Call, delay: float, nursery: trio.Nursery) -> None:
        """Put a call back in front of the queue after a pause; the call's own time runs on."""
        with trio.CancelScope(deadline=call.started + self.plan.retry.timeout) as call.pause:
            await trio.sleep(delay)
            self._waiting.appendleft(call)
            self.start(nursery)
            await trio.sleep_forever()
        if call in self._waiting:  # no slot came free in time
            self._waiting.remove(call)
            self._conclude(call, self._overrun(call), nursery)

    def _settle(self, call: Call, outcome: Outcome) -> None:
        call.outcome = outcome
        if call.request.body is not None:
            self._statistics.bytes_sent += len(call.request.body) * call.attempts
        self._statistics.settled(outcome)
        self._settled(call, len(outcome.content.json) if outcome.content else 0)

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        """Settle a call that the end of the run has stopped, or kept from starting."""
        elapsed = 0.0
        message = f"{why}; not sent"
        ambiguous = False
        if call.attempts:
            elapsed = trio.current_time() - call.started
            ambiguous = call.sent and not self.plan.retry.idempotent
            message = f"{why} during attempt {call.attempts}"
        error = CallError(kind, message, ambiguous)
        self._settle(call, Outcome(False, error=error, attempts=call.attempts, seconds=elapsed))


def _retry_after(answer: Response | Failure) -> float | None:
    if isinstance(answer, Failure):
        return None
    value = answer.header(b"retry-after")
    return None if value is None else parse_retry_after(value, time.time())
