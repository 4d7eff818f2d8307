"""The attempts of one API's calls: each in a task of its own, or without one.

An attempt is made without a task where the transport can do that (`TasklessTransport`), since a
task costs as much as sending and receiving do.  Either way `Attempt.handle` cancels it, and its end
is reported once.

From top to bottom: an attempt begins, departs, arrives and is released.  Between begin and depart
a task is started, which may find that the call was settled or the run stopped.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.spending.meter import Meter
from tmux_fanout.engine.calls.alarm import AlarmLike, Deadlines
from tmux_fanout.engine.calls.call import Answer, Attempt, Call
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.hedging import Hedger
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.sharing.fence import Fence
from tmux_fanout.engine.calls.slots import Slots
from tmux_fanout.transports.base import TasklessTransport, Transport


class Attempts:
    """Make the attempts of one API's calls.

    Args:
        plan: the API.
        transport: sends the requests.
        payloads: builds them.
        slots: has a slot for each attempt.
        meter: counts what they take of the rate and the budget, or None.
        endpoints: chooses where they go.
        hedger: watches them, or None.
        fence: keeps them from beginning once a share of the limits is over, or None.
        statistics: counts what is reported.
        nursery: runs the tasks.
        alarm: returns an alarm that calls a function.
        attends: whether to attend to the attempts without a task, which the transport can make.
        ended: called with each attempt that has ended and its result.
        resume: begins other attempts; called when some have ended.

    Attributes:
        begun: number of attempts begun.
        responses: number of responses received.
    """

    def __init__(
        self,
        plan: ApiPlan,
        transport: Transport,
        *,
        payloads: Payloads,
        slots: Slots,
        meter: Meter | None,
        endpoints: Endpoints,
        hedger: Hedger | None,
        fence: Fence | None,
        statistics: ApiStatistics,
        nursery: trio.Nursery,
        alarm: Callable[[Callable[[], None]], AlarmLike],
        attends: bool,
        ended: Callable[[Attempt, Answer], None],
        resume: Callable[[], object],
    ) -> None:
        self.begun = 0
        self.responses = 0
        self._attempt_timeout = plan.attempt_timeout
        self._call_timeout = plan.retry.timeout
        self._transport = transport
        self._taskless = transport if isinstance(transport, TasklessTransport) else None
        self._payloads = payloads
        self._slots = slots
        self._meter = meter
        self._counts_spending = meter is not None and meter.is_counting
        self._endpoints = endpoints
        self._hedger = hedger
        self._fence = fence
        self._statistics = statistics
        self._nursery = nursery
        self._ended = ended
        self._resume = resume
        self._now = trio.lowlevel.current_clock().current_time  # a third of the cost of trio's own
        self._deadlines = Deadlines(alarm, self.cancel)
        if self._taskless and attends:
            nursery.start_soon(self._taskless.attend, resume)

    def __repr__(self) -> str:
        return f"<Attempts: {self.in_flight} in flight, {self.begun} begun>"

    @property
    def in_flight(self) -> int:
        """The number of attempts under way."""
        return len(self._deadlines)

    def begin(self, call: Call) -> None:
        """Make an attempt, a slot being free."""
        now = self._now()
        # A call that has an attempt under way was queued for its hedge.
        attempt = Attempt(call, call.attempt is not None)
        if attempt.is_hedge:
            call.hedge = attempt
        else:
            call.attempt = attempt
        self._slots.take(attempt)
        if self._meter:
            self._meter.take(attempt, now)
        self._endpoints.enter(attempt, now)
        try:
            request = call.request
            if request is None or attempt.endpoint:
                request = self._request_for(attempt)
            attempt.request = request
            if self._taskless:
                attempt.handle = self._taskless.begin(request, attempt, self._answered, now)
        except Exception as exc:
            self._depart(attempt, now)
            self._answered(attempt, _failure_of(exc, sent=attempt.sent))
            return
        if attempt.handle:
            self._depart(attempt, now)
        else:
            attempt.handle = scope = trio.CancelScope()
            self._nursery.start_soon(self._run, attempt, request, scope)

    def _request_for(self, attempt: Attempt) -> Request:
        """Return what an attempt sends to its endpoint."""
        request = self._payloads.request_of(attempt.call)
        # Requests are built for the first endpoint.
        return self._endpoints.route(request, attempt) if attempt.endpoint else request

    async def _run(self, attempt: Attempt, request: Request, scope: trio.CancelScope) -> None:
        """Make an attempt in this task."""
        answer: Answer = None
        try:
            with scope:
                # If the call was settled meanwhile, or the run is over, nothing is sent.
                await trio.lowlevel.checkpoint_if_cancelled()
                if self._fence:
                    await self._fence.passed()
                self._depart(attempt, self._now())
                try:
                    answer = await self._transport.send(request, attempt)
                except TransportError as failure:
                    answer = failure.detached()
                except Exception as exc:
                    answer = internal_failure(exc, sent=attempt.sent)
                except BaseExceptionGroup as group:  # a nursery was cancelled while a task failed
                    unforeseen, others = group.split(Exception)
                    if unforeseen:
                        answer = internal_failure(unforeseen, sent=attempt.sent)
                    if others:
                        raise others from None
                finally:
                    self._arrive(attempt, answer)
        finally:
            answer = self._release(attempt, answer, self._now())
        self._ended(attempt, answer)
        await trio.lowlevel.checkpoint_if_cancelled()
        self._resume()

    def _answered(self, attempt: Attempt, answer: Response | TransportError) -> float:
        """Record the end of an attempt without a task; the transport resumes after several.

        Returns:
            The time.
        """
        now = self._arrive(attempt, answer)
        self._ended(attempt, self._release(attempt, answer, now))
        return now

    def _depart(self, attempt: Attempt, now: float) -> None:
        """Record that an attempt begins."""
        call, statistics = attempt.call, self._statistics
        if not call.attempts and call.last_answer is None:  # else its first one met a shortage
            statistics.spent.queueing += now - call.started
            call.started = now
        if not attempt.is_hedge:  # else the first attempt may have failed just now
            call.last_answer = None
        attempt.began = now
        call.attempts += 1
        self._deadlines.watch(
            attempt, now + min(self._attempt_timeout, self._call_timeout - call.used)
        )
        self.begun += 1
        statistics.attempts += 1
        statistics.in_flight += 1
        if self._hedger:
            self._hedger.begin(attempt, now)
            statistics.hedges += attempt.is_hedge

    def _arrive(self, attempt: Attempt, answer: Answer) -> float:
        """Record that an attempt ends, and return the time."""
        call, statistics = attempt.call, self._statistics
        now = call.ended = self._now()
        call.was_sent = attempt.sent
        if not attempt.is_hedge:
            call.used += now - attempt.began
        self._deadlines.forget(attempt)
        statistics.in_flight -= 1
        statistics.spent.attempt(
            attempt.began, attempt.connected_at, attempt.first_byte_at, now, sent=attempt.sent
        )
        if isinstance(answer, Response):
            self.responses += 1
            statistics.bytes_received += answer.wire_size
        if attempt.sent and attempt.request and attempt.request.body:
            body = attempt.request.body
            statistics.bytes_sent += len(body) if type(body) is bytes else attempt.request.size
        if self._slots.is_adaptive:
            self._slots.observe(attempt, now, self.in_flight + 1, answer)
            statistics.limit = self._slots.limit
        if self._hedger:
            self._hedger.end(attempt)
        return now

    def _release(self, attempt: Attempt, answer: Answer, now: float) -> Answer:
        """Give back what an attempt has taken; `resume` has to follow.

        Returns:
            The answer, or an `internal` failure if it causes an unforeseen error.
        """
        call = attempt.call
        if attempt.is_hedge:
            call.hedge = None
            if self._hedger:
                self._hedger.withdraw_hedge(call)  # unless it has departed
        else:
            call.attempt = None
        if self._meter and self._counts_spending:
            more = self._meter.end(attempt, answer, now)
            self._endpoints.correct(attempt, more, now)
        answer = self._endpoints.leave(attempt, answer, now)
        self._slots.give_back(attempt)
        return answer

    def withdraw(self, call: Call) -> None:
        """Uncount the last attempt of a call: it met a shortage, and has not really begun."""
        call.attempts -= 1
        self.begun -= 1
        self._statistics.attempts -= 1
        if self._hedger:
            self._hedger.withdraw_attempt()

    def cancel(self, attempt: Attempt) -> None:
        """Cancel an attempt; its end is reported soon, with None as its result."""
        handle, attempt.handle = attempt.handle, None
        if handle is None:
            return  # it was cancelled before
        handle.cancel()
        if not isinstance(handle, trio.CancelScope):  # a task records its end itself
            self._nursery.start_soon(self._record_cancelled, attempt)

    async def _record_cancelled(self, attempt: Attempt) -> None:
        now = self._arrive(attempt, None)
        self._ended(attempt, self._release(attempt, None, now))
        await trio.lowlevel.checkpoint_if_cancelled()
        self._resume()

    def abandon(self) -> None:
        """Cancel the attempts without a task; the end of the nursery has cancelled all others."""
        for attempt in self._deadlines.attempts:
            if attempt.handle:
                attempt.handle.cancel()
            now = self._arrive(attempt, None)
            self._release(attempt, None, now)
        self._slots.release_spare()


def _failure_of(exc: Exception, *, sent: bool) -> TransportError:
    """Return why an attempt could not begin: there is no request for it, or a bug."""
    if isinstance(exc, TransportError):
        return exc.detached()
    return internal_failure(exc, sent=sent)
