"""The calls of one API, each from its submission to its outcome.

A call that waits is an entry in a queue: it costs neither a task nor a socket.  Once it is its turn
and there is a slot for it (`dispatcher`) an attempt is made, without a task where the transport can
do that (`transports.base.TasklessTransport`), since a task costs as much as sending and receiving
do, and else in a task of its own.  Its slot then passes to the next.

A call that has to wait before its next attempt gives its place to others: it sleeps in a task of
its own, without a slot, and comes back to the front of the queue.

From top to bottom this is the way of a call: it is submitted, waits for its turn, is begun,
departs, arrives and is concluded, and comes around again, until it is settled (`settler`).  What is
decided on the way is decided by others: whether there is another attempt by the `retrier`, where it
goes by the `endpoints`.  Last come the ways out before the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import trio

from tmux_fanout.core.boundary import internal_error, internal_failure
from tmux_fanout.core.config.dependencies import results_of
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.dispatcher import Dispatcher
from tmux_fanout.engine.calls.endpoints import Answer
from tmux_fanout.engine.calls.retrier import Retrier
from tmux_fanout.engine.calls.time_limits import Overdue
from tmux_fanout.engine.calls.total_limit import TotalLimit
from tmux_fanout.transports.base import TasklessTransport, Transport

_MAX_WAITING = 4096  # bytes of a request that is kept while its call waits
_SKIPPED = Outcome(True, skipped=True)


class Caller(Dispatcher):
    """Makes the calls of one API.

    Args:
        plan, total, statistics, nursery, scope, may_start, settled, kept, tell: as for
            `Dispatcher`.
        transport: what sends requests.
        random: for jitter.
    """

    def __init__(
        self,
        plan: ApiPlan,
        transport: Transport,
        total: TotalLimit | None,
        statistics: ApiStatistics,
        *,
        nursery: trio.Nursery,
        scope: trio.CancelScope,
        may_start: Callable[[Call], bool],
        settled: Callable[[Call, int], None],
        kept: Callable[[int], None],
        tell: Callable[[str], None],
        random: Random,
    ) -> None:
        super().__init__(
            plan,
            total,
            statistics,
            nursery=nursery,
            scope=scope,
            may_start=may_start,
            settled=settled,
            kept=kept,
            tell=tell,
        )
        self._transport = transport
        self._prompt = transport if isinstance(transport, TasklessTransport) else None
        self._builds_requests = not plan.requests.passes_record
        self._attempt_timeout = plan.attempt_timeout
        self._timeout = plan.retry.timeout
        self._retrier = Retrier(plan, statistics, random)
        self._overdue = Overdue(self._cancel)
        if self._prompt:
            nursery.start_soon(self._prompt.attend, self.resume)

    def submit(self, call: Call, now: float) -> None:
        """Queue a call, for `start` to begin; settle at once one that comes to no request."""
        prepared: Request | Outcome
        try:
            prepared = self._prepare(call)
        except Exception as exc:
            prepared = Outcome(False, error=internal_error(exc))
        if isinstance(prepared, Request):
            call.request = prepared
            call.is_queued = True
            if self._builds_requests:
                self._drop_large_request(call)
            call.started = now
            self._queue.add(call)
        else:
            self._settle(call, prepared)

    def _drop_large_request(self, call: Call) -> None:
        """Keep no large request while a call waits: the window counts only the record.

        It is built again when it is needed; what it depends on does not change.
        """
        request = call.request
        if request is None or (request.head.is_shared and request.body is call.row.record.json):
            return
        head = request.head
        size = 0 if head.is_shared else len(head.target) + sum(len(v) for _, v in head.headers)
        if size + len(request.body or b"") > _MAX_WAITING:
            call.request = None

    def _built(self, call: Call) -> Request:
        """Return the request of a call that was queued, built again if it was dropped."""
        request = call.request or self._prepare(call)
        assert isinstance(request, Request)  # as it was when the call was submitted
        return request

    def _request_for(self, call: Call) -> Request:
        """Return what an attempt sends to the endpoint that it goes to."""
        request = call.request = self._built(call)
        # Requests are built for the first endpoint.
        return self._endpoints.route(request, call) if call.endpoint else request

    def _prepare(self, call: Call) -> Request | Outcome:
        """The request of a call, or what it comes to without one."""
        results: Mapping[str, Any] | None = None
        if self.plan.after:
            open_ = [other.outcome for other in call.row.calls]  # none, once all are settled
            seen = results_of(self.plan.after, open_ or call.row.outcomes)
            if isinstance(seen, ErrorInfo):
                return Outcome(False, error=seen, skipped=True)
            results = seen
        request = self.plan.requests.build(call.row.record, results)
        if isinstance(request, Request):
            return request
        return Outcome(False, error=request) if isinstance(request, ErrorInfo) else _SKIPPED

    def _begin(self, call: Call) -> None:
        """Make an attempt, in a task of its own unless the transport needs none."""
        now = self._now()
        if call.trouble is not None and now >= self._deadline(call):
            self._conclude(call, call.trouble)  # too late for another: the last one is the outcome
            return
        self._reserve(call, now)
        try:
            request = call.request
            if request is None or call.endpoint:
                request = self._request_for(call)
            if self._prompt:
                call.exchange = self._prompt.begin(request, call, self._answered, now)
        except Exception as exc:
            self._depart(call, now)
            self._answered(call, internal_failure(exc, sent=call.sent))
            return
        if call.exchange:
            self._depart(call, now)
        else:
            call.scope = trio.CancelScope()
            self._nursery.start_soon(self._attempt, call, request, call.scope)

    async def _attempt(self, call: Call, request: Request, scope: trio.CancelScope) -> None:
        answer: Answer = None
        try:
            with scope:
                # Of what was lost in the meantime, or in a run that is over, nothing is sent.
                await trio.lowlevel.checkpoint_if_cancelled()
                self._depart(call, self._now())
                try:
                    answer = await self._transport.send(request, call)
                except TransportError as failure:
                    answer = failure.detached()
                except Exception as exc:
                    answer = internal_failure(exc, sent=call.sent)
                except BaseExceptionGroup as group:  # of a nursery, cancelled as a task failed
                    unforeseen, others = group.split(Exception)
                    if unforeseen:
                        answer = internal_failure(unforeseen, sent=call.sent)
                    if others:
                        raise others from None
                finally:
                    self._arrive(call, answer)
        finally:
            answer = self._release(call, answer)
        if (
            isinstance(answer, TransportError)
            and answer.shortage
            and not self._retrier.is_starved()
        ):
            self._make_do(answer.shortage)
        if answer is None:
            self._out_of_time(call)
        else:
            self._conclude(call, answer)
        await trio.lowlevel.checkpoint_if_cancelled()
        self.resume()

    def _answered(self, call: Call, answer: Response | TransportError) -> float:
        """What became of an attempt without a task; others are begun once all are heard.

        Returns:
            The time.
        """
        self._arrive(call, answer)
        self._conclude(call, self._release(call, answer) or answer)
        return call.ended

    def _depart(self, call: Call, now: float) -> None:
        """An attempt begins."""
        statistics = self._statistics
        if not call.attempts and call.trouble is None:  # else its first one met a shortage
            statistics.spent.queueing += now - call.started
            call.started = now
        call.began = now
        call.attempts += 1
        call.trouble = None
        if call.kept:
            self._keep(call, 0)
        self._overdue.watch(
            self._nursery, call, min(now + self._attempt_timeout, call.started + self._timeout)
        )
        statistics.attempts += 1
        statistics.in_flight += 1

    def _arrive(self, call: Call, answer: Answer) -> None:
        """An attempt is over: tell all who take an interest in it."""
        now = call.ended = self._now()
        self._overdue.forget(call)
        statistics = self._statistics
        statistics.in_flight -= 1
        statistics.spent.attempt(
            call.began, call.connected_at, call.first_byte_at, now, sent=call.sent
        )
        if isinstance(answer, Response):
            statistics.bytes_received += answer.wire_size
        if call.sent and call.request and call.request.body:
            statistics.bytes_sent += len(call.request.body)
        if self._adaptive:
            self._adapt(call.began, now, call.deadline, answer)

    def _conclude(self, call: Call, answer: Response | TransportError) -> None:
        """Settle a call with what its attempt brought, or prepare the next attempt."""
        if call.outcome is not None:
            return  # lost to others in the meantime
        try:
            verdict = self._retrier.verdict(call, answer)
        except Exception as exc:
            verdict = internal_error(exc)
        if isinstance(verdict, float):
            self._drop_large_request(call)
            if isinstance(answer, Response):
                self._keep(call, len(answer.body))
            self._nursery.start_soon(self._call_again, call, verdict)
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
            await trio.lowlevel.checkpoint()  # whoever wakes at the same time is in front as well
            self.start()
            await trio.sleep_forever()
        if self._queue.remove(call) or not is_queued:
            self._out_of_time(call)  # its turn did not come

    def _deadline(self, call: Call) -> float:
        has_begun = call.attempts or call.trouble is not None
        return call.started + self._timeout if has_begun else math.inf

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
        failure = TransportError("timeout", message, sent=call.sent, transient=True)
        self._conclude(call, failure)

    def lose(self, call: Call, why: str) -> None:
        """Settle a call that its siblings have made needless, and stop what it does."""
        self.cut_short(call, "lost", why)
        self._stop(call)

    def _stop(self, call: Call) -> None:
        self._queue.remove(call)
        if call.pause:
            call.pause.cancel()
        self._cancel(call)

    def _cancel(self, call: Call) -> None:
        """Stop the attempt of a call that is under way, if there is one; soon others may go."""
        if call.scope:
            call.scope.cancel()
        elif call.exchange:
            call.exchange.cancel()
            self._nursery.start_soon(self._cancelled, call)
        call.scope = call.exchange = None

    async def _cancelled(self, call: Call) -> None:
        self._arrive(call, None)
        self._release(call, None)
        self._out_of_time(call)
        await trio.lowlevel.checkpoint_if_cancelled()
        self.resume()

    def holds_up(self, call: Call) -> None:
        """The output waits for the record of this call."""

    def abandon(self) -> None:
        """The run is over: stop the attempts that no task makes, which would be stopped itself."""
        for call in self._overdue.watched:
            if call.exchange:
                call.exchange.cancel()
            self._arrive(call, None)
            self._release(call, None)
        self._free_slots()
