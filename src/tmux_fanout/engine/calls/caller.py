"""The calls of one API, each from its submission to its outcome.

A call that waits is an entry in a queue: it costs neither a task nor a socket.  When its turn comes
and a slot is free, an attempt is made; the slot then passes to the next call.  A call that has to
wait before its next attempt makes way for others: it sleeps in a task of its own, without a slot,
and then returns to the front of the queue.

A call passes these methods:

    Caller.submit -> Queue.add ... Caller.start -> Attempts.begin ... Caller._conclude
        -> Settler.settle_with                            the call has its outcome
        or Retrier.retry_or_fail -> Queue.add_again ...   and from `Caller.start` again

Where an API has rules of its own on what answers mean, or streams, `Caller._judge` comes before
`_conclude`.

The parts decide and act on the way:

    Payloads             what is sent, and what a response means
    Queue                whose turn it is
    Slots                how many attempts may be under way
    Endpoints            where an attempt goes
    Attempts             makes it, and times it out
    Retrier              whether there is another one
    Denials, Outages     what becomes of calls while the API denies all, refuses or is down
    Settler              gives the call its outcome
    Sequencer            makes its next request instead, where the API has pages or jobs
    Batcher, Hedger      where the API has them
    Sharing              gives it the answer to an identical request, where the API has `share`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import NamedTuple, Protocol

import trio

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorKind, TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.policy.answers import is_denied
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.results.timings import Starts
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.spending.meter import Meter
from tmux_fanout.core.tuning.tuning import ApiTuning
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.alarm import AT_ONCE, Alarm, AlarmLike
from tmux_fanout.engine.calls.attempts import Attempts
from tmux_fanout.engine.calls.batching import Batcher
from tmux_fanout.engine.calls.call import Answer, Attempt, Call
from tmux_fanout.engine.calls.compression.compression import Compression
from tmux_fanout.engine.calls.compression.transport import compressing
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.hedging import Hedger
from tmux_fanout.engine.calls.lifecycle.listener import Listener
from tmux_fanout.engine.calls.outcomes.denials import Denials
from tmux_fanout.engine.calls.outcomes.outages import Outages
from tmux_fanout.engine.calls.outcomes.retrier import Retrier
from tmux_fanout.engine.calls.outcomes.series import Sequencer, SeriesPayloads, releasing
from tmux_fanout.engine.calls.outcomes.settler import OutcomeOf, Settler
from tmux_fanout.engine.calls.outcomes.timings import (
    Ended,
    attaching_timings,
    keeping_timings,
)
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.queue import Queue
from tmux_fanout.engine.calls.reuse.reuse import Reuse, plan_reuse
from tmux_fanout.engine.calls.reuse.sharing import leader_of
from tmux_fanout.engine.calls.reuse.store import Store
from tmux_fanout.engine.calls.sharing.fence import Fence
from tmux_fanout.engine.calls.sharing.others import Others
from tmux_fanout.engine.calls.sharing.slots import SharedSlots
from tmux_fanout.engine.calls.slots import Slots, TotalLimit
from tmux_fanout.engine.calls.tracing.spans import Spans
from tmux_fanout.engine.calls.tracing.transport import attaching_traces, tracing
from tmux_fanout.transports.base import Transport


class CallerStatistics(NamedTuple):
    """What a `Caller` holds at one moment.

    Attributes:
        waiting: calls and hedges in the queue.
        in_flight: attempts under way.
        slots: slots taken.
        total_slots: slots taken of those that all APIs share.
        endpoints: attempts under way at each endpoint.
        watched: attempts that get a hedge if they take much longer.
        hedges_waiting: hedges that have not begun.
    """

    waiting: int
    in_flight: int
    slots: int
    total_slots: int
    endpoints: Sequence[int]
    watched: int
    hedges_waiting: int


class Shared(Protocol):
    """What the caller of one of an API's hosts shares with the others.

    Attributes:
        payloads: builds the requests.
        outcome_of: turns answers into outcomes.
        resume: begins attempts at all hosts that may; called when some have ended.
    """

    @property
    def payloads(self) -> Payloads: ...
    @property
    def outcome_of(self) -> OutcomeOf: ...
    @property
    def resume(self) -> Callable[[], None]: ...

    def alarm(self, ring: Callable[[], None]) -> AlarmLike:
        """Return an alarm that calls a function."""
        ...

    def ended(self, conclude: Ended) -> Ended:
        """Return what is called with each attempt that has ended, in place of `conclude`."""
        ...


class Caller:
    """Make the calls of one API.

    Args:
        plan: the API.
        transport: sends the requests.
        total: the slots that all APIs share, or None.
        statistics: counts what is reported; no decision reads it.
        nursery: runs the tasks.
        scope: a scope around the nursery; once it is cancelled, no attempt begins any more.
        may_start: returns whether the window has room for the response to a call; `start` asks
            again later.
        has_room: returns whether the window has room for another record.
        is_head: returns whether the output waits for a call.
        settled: called with each call that has its outcome, and the bytes of that.
        kept: called with the change in the bytes that calls keep between attempts.
        held_back: called when the endpoints begin to hold calls back.
        lost: called when all endpoints have been down for longer than calls wait.
        idle: called after `close` when no attempt is under way.
        notify: called with one line that the user should see at once.
        meter: allows attempts by the rate and the budget, or None.
        start_peers: starts the calls of this API and of those that it shares its meter's rate or
            budget with; None if it shares nothing.
        give_up: ends the run, as nothing more can be paid for.
        others: know of the calls of this API that other processes have.
        fence: knows until when this process has a share of the limits; None: they are its own.
        random: for jitter.
        timings: whether outcomes have the timings of the last attempts.
        starts: where to note when records are begun, too; or None.
        spans: passes on the spans of calls, or None.
        store: the cache of the API's answers, or None.
        shared: what the callers of an API's hosts share; None: it has a caller of its own.

    Attributes:
        plan: the API.
        sharing: has calls with identical requests share one answer, or None.
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
        has_room: Callable[[], bool],
        is_head: Callable[[Call], bool],
        settled: Callable[[Call, int], None],
        kept: Callable[[int], None],
        held_back: Callable[[], None],
        lost: Callable[[Caller], None],
        idle: Callable[[], None],
        notify: Callable[[str], None],
        meter: Meter | None,
        start_peers: Callable[[], object] | None,
        give_up: Callable[[], object],
        others: Others,
        fence: Fence | None,
        random: Random,
        timings: bool = False,
        starts: Starts | None = None,
        spans: Spans | None = None,
        store: Store | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.plan = plan
        if plan.traceparent or spans:
            transport = tracing(transport, sends_header=plan.traceparent)
        compression = Compression(plan.name, statistics, notify) if plan.compress else None
        if compression:
            transport = compressing(transport, compression)
        make_payloads = SeriesPayloads if plan.series else Payloads
        payloads = shared.payloads if shared else make_payloads(plan, statistics)
        self._payloads = payloads
        reuse = (
            Reuse(payloads.prepare, shared.outcome_of, settled, is_head, None)
            if shared
            else plan_reuse(
                plan,
                payloads,
                statistics,
                store,
                settled=settled,
                is_head=is_head,
                may_start=may_start,
                settle=self._settle,
                submit=self.submit,
                withdraw=self.withdraw,
                start=self.start,
                notify=notify,
                nursery=nursery,
            )
        )
        self._prepare, outcome_of, settled, is_head, self.sharing = reuse
        settled = _completing(
            plan,
            settled,
            starts=starts,
            kept=kept,
            timings=timings,
            spans=None if shared else spans,
        )
        self._is_closed = False  # whether no attempt begins any more
        self._is_paused = False  # by the user
        self._is_shut = False  # either
        self._was_held = False
        self._held_back = held_back
        self._idle = idle
        self._statistics = statistics
        self._scope = scope
        self._timeout = plan.retry.timeout
        self._is_ok = plan.responses.is_ok
        self._endpoints = Endpoints(plan, notify, Listener(plan.name, statistics, notify))
        self._meter = meter
        self._start_due = start_peers or self.start
        self._give_up = give_up
        self._queue = Queue(plan, self._endpoints, may_start, meter, others)
        make_slots = partial(SharedSlots, fence) if fence and not shared else Slots
        self._slots = make_slots(
            plan, total, nursery, start=self.start, resume=self.resume, notify=notify
        )
        alarm = shared.alarm if shared else partial(Alarm, nursery)
        self._alarm = alarm(self._look_after_queue)
        self._batcher = Batcher(plan, self._queue) if plan.batch else None
        self._hedger = Hedger(plan, self._queue, nursery, self.start) if plan.hedge else None
        self._settler = Settler(
            plan,
            outcome_of,
            self._batcher,
            self._hedger,
            statistics,
            settled=_counting(meter, settled) if meter and meter.is_counting else settled,
            kept=kept,
        )
        self._sequencer = (
            Sequencer(
                plan.series,
                payloads,
                self._settler,
                self._queue,
                meter=meter,
                statistics=statistics,
                notify=notify,
                nursery=nursery,
                start=self._start_due,
                kept=kept,
            )
            if plan.series and isinstance(payloads, SeriesPayloads)
            else None
        )
        self._served: Callable[[Call, Response, None], None] = (
            self._sequencer.served if self._sequencer else self._settler.settle_with
        )
        self._denials = Denials(plan, self._endpoints, self._queue, self._settler, is_head=is_head)
        self._denied = self._denials.held
        self._outages = Outages(
            plan,
            self._endpoints,
            self._queue,
            self._denials,
            self._settler,
            has_room=has_room,
            lost=partial(lost, self),
        )
        statistics.limit = self._slots.limit
        ended = self._conclusion(compression, shared, spans)
        self._attempts = Attempts(
            plan,
            transport,
            payloads=self._payloads,
            slots=self._slots,
            meter=meter,
            endpoints=self._endpoints,
            hedger=self._hedger,
            fence=fence,
            statistics=statistics,
            nursery=nursery,
            alarm=alarm,
            attends=shared is None,
            ended=keeping_timings(ended) if timings else ended,
            resume=shared.resume if shared else self.resume,
        )
        self._retrier = Retrier(
            plan,
            random,
            attempts=self._attempts,
            endpoints=self._endpoints,
            queue=self._queue,
            payloads=self._payloads,
            batcher=self._batcher,
            settler=self._settler,
            statistics=statistics,
            nursery=nursery,
            start=self.start,
        )

    def _conclusion(
        self, compression: Compression | None, shared: Shared | None, spans: Spans | None
    ) -> Ended:
        """Return what is called with each attempt that has ended."""
        ended: Ended = self._judge if self.plan.responses.judges else self._conclude
        if compression:
            ended = compression.ended(ended, self._repeat)
        if shared:
            ended = shared.ended(ended)
        return spans.of_attempts(ended) if spans else ended

    def __repr__(self) -> str:
        return f"<Caller {self.plan.name}: {self._queue!r}, {self._slots!r}>"

    @property
    def limiter(self) -> trio.CapacityLimiter:
        """The limiter of the API; each attempt under way holds one of its tokens."""
        return self._slots.limiter

    @property
    def waiting(self) -> int:
        """The number of calls in the queue."""
        return len(self._queue.calls)

    @property
    def in_flight(self) -> int:
        """The number of attempts under way."""
        return self._attempts.in_flight

    @property
    def has_calls(self) -> bool:
        """Whether calls wait, back off or are under way."""
        return bool(self._queue.calls or self._queue.backing_off or self.in_flight)

    @property
    def have_all_begun(self) -> bool:
        """Whether no call is left here that has not been tried."""
        return self._queue.have_all_begun

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of the API."""
        return self._endpoints

    def change_limit(self, limit: int) -> None:
        """Change the number of slots, or their maximum if it adapts itself."""
        self._slots.change(limit)
        for state in self._endpoints.states:
            state.health.throttle.limit = self._slots.maximum
        self._statistics.limit = self._slots.limit

    def tune(self, tuning: ApiTuning) -> None:
        """Use more or fewer slots, and pause or resume; `start` has to follow."""
        self._slots.tune(tuning.limit)
        for state in self._endpoints.states:
            state.health.throttle.limit = self._slots.maximum
        self._statistics.limit = self._slots.limit
        self._is_paused = tuning.paused
        self._is_shut = self._is_closed or tuning.paused

    def hear(self, condition: Condition) -> None:
        """Take over what another process has found out about an endpoint."""
        self._endpoints.hear(condition, trio.current_time())
        self.resume()

    def statistics(self) -> CallerStatistics:
        """Return what the caller holds now."""
        return CallerStatistics(
            waiting=self.waiting,
            in_flight=self.in_flight,
            slots=self.limiter.borrowed_tokens,
            total_slots=self._slots.total_taken,
            endpoints=self._endpoints.in_flight,
            watched=self._hedger.watched if self._hedger else 0,
            hedges_waiting=self._hedger.waiting if self._hedger else 0,
        )

    def load(self, now: float) -> Load:
        """Return what waits, and the condition of the endpoints, for reports."""
        return Load(self.waiting, [state.load(now) for state in self._endpoints.states])

    def describe_wait(self, now: float) -> Wait | None:
        """Return for the live display what the next call waits for, apart from slots; or None."""
        if self._is_paused and self.waiting:
            return Wait("paused", "the user")
        if not self.waiting:
            wait = None if self.in_flight else self._describe_pauses(now)
            return (
                self._endpoints.describe_wait(now)
                if wait and self._endpoints.are_closed(now)
                else wait
            )
        match self._statistics.held.cause:
            case "paused" | "breaker" | "throttled":
                return self._endpoints.describe_wait(now)
            case "rate":
                seconds = self._meter.wait(self._queue.calls[0], now) if self._meter else math.inf
                return Wait("rate", seconds=seconds if seconds < math.inf else None)
            case "cost" | "window" as cause:
                return Wait(cause)
        return None

    def _describe_pauses(self, now: float) -> Wait | None:
        polls = self._sequencer.describe_wait(now) if self._sequencer else None
        return self._retrier.describe_wait(now) or polls

    def submit(self, call: Call, now: float) -> None:
        """Queue a call, for `start` to begin; settle one that makes no request, unless it waits."""
        prepared: Request | Outcome | None
        try:
            prepared = self._prepare(call)
        except Exception as exc:
            prepared = Outcome(False, error=internal_error(exc))
        if isinstance(prepared, Request):
            call.request = prepared
            call.is_queued = True
            if self._payloads.are_built:
                self._payloads.drop_if_large(call)
            call.started = now
            self._queue.add(call)
        elif prepared is not None:
            self._settler.settle(call, prepared)

    def _settle(self, call: Call, outcome: Outcome) -> None:
        self._settler.settle(call, outcome)

    def withdraw(self, call: Call) -> bool:
        """Take a call out of the queue unless it has begun; return whether that was done."""
        if call.attempts or not self._queue.remove(call):
            return False
        call.is_queued = False
        call.request = None
        return True

    def take_over(self, call: Call, request: Request, now: float) -> None:
        """Queue a call whose request was built elsewhere, for `start` to begin."""
        call.request = request
        call.is_queued = True
        if call.attempts:
            self._queue.add_again(call)
        else:
            self._payloads.drop_if_large(call)
            call.started = now
            self._queue.add(call)

    def holds_up(self, call: Call) -> None:
        """Note that the output waits for a call, which may be hedged for that."""
        if self._hedger:
            self._hedger.holds_up(leader_of(call))

    def start(self) -> None:
        """Begin as many attempts as there are free slots and calls that may go."""
        if self._is_shut or self._scope.cancel_called:
            if self._is_closed and not self.in_flight:
                self._idle()
            return
        while (has_next := self._queue.has_next()) and self._slots.has_free():
            call = self._next()
            if call.last_answer is None:
                self._attempts.begin(call)
            else:
                self._begin_again(call)
        self._slots.release_spare()
        self._note_delay(is_short_of_slots=has_next)

    def resume(self) -> None:
        """Begin attempts on slots that became free; other APIs that share them come first."""
        if self._denied:
            self._denials.review()
        self._slots.pass_on()
        self._start_due()

    def _next(self) -> Call:
        call = self._queue.pop()
        if not self._queue.calls:
            self._statistics.held.note(None, trio.current_time())
        return self._batcher.gather(call) if self._batcher else call

    def _note_delay(self, *, is_short_of_slots: bool) -> None:
        """Record what delays the first call, and set the alarm for when that ends."""
        now = trio.current_time()
        cause = "limit" if is_short_of_slots else self._queue.held_by(now)
        was_held, self._was_held = self._was_held, cause in ("paused", "breaker", "throttled")
        if self._was_held and not was_held:
            self._held_back()
        self._statistics.held.note(cause, now)
        if cause == "cost" and self._meter and self._meter.gives_up(self._queue.calls[0]):
            self._give_up()
        if not self._queue.is_free:
            time = now + self._outages.attention_in(now)
            if not is_short_of_slots and self._queue.has_next():
                time = now  # it may go by now, though it could not when that was looked at
            if time < math.inf:
                self._alarm.set(time)

    def _look_after_queue(self) -> None:
        self._outages.act(trio.current_time())
        self._start_due()

    @property
    def is_held(self) -> bool:
        """Whether the endpoints refuse, pause or are down."""
        endpoints = self._endpoints
        return not endpoints.is_calm and endpoints.pause(trio.current_time()) > AT_ONCE

    @property
    def is_down(self) -> bool:
        """Whether all endpoints are down."""
        return self._endpoints.are_down

    def describe_loss(self) -> str:
        """Say why calls no longer wait for the endpoints; see `Outages.describe_loss`."""
        return self._outages.describe_loss()

    def fail_waiting(self) -> None:
        """Settle the calls that wait while all endpoints are down; see `Outages.fail_waiting`."""
        self._outages.fail_waiting()

    def close(self) -> None:
        """Begin no more attempts."""
        self._is_closed = self._is_shut = True

    def _begin_again(self, call: Call) -> None:
        """Make another attempt, which needs the last answer no more."""
        self._settler.keep(call, 0)
        for member in call.members:
            self._settler.keep(member, 0)
        self._attempts.begin(call)

    def _judge(self, attempt: Attempt, answer: Answer) -> None:
        """Conclude an attempt of an API that has rules of its own on what answers mean."""
        call = attempt.call
        if isinstance(answer, Response) and call.outcome is None:
            if self._batcher and call.members and self._is_ok(answer):
                self._retrier.settle_items(self._batcher, call, answer)
                return
            answer = self._payloads.judge(answer)
        self._conclude(attempt, answer)

    def _conclude(self, attempt: Attempt, answer: Answer) -> None:
        """Settle or retry a call after one of its attempts, unless the other one may do better."""
        if (
            isinstance(answer, TransportError)
            and answer.shortage
            and not self._retrier.is_starved()
        ):
            self._slots.reduce(answer.shortage)
        call = attempt.call
        if call.outcome is not None:
            return  # lost to others meanwhile
        if answer is None:
            if trio.current_time() < attempt.deadline:
                return  # stopped, as the other attempt of the call has decided what comes next
            answer = self._timed_out(attempt)
        if self._hedger:
            chosen = self._hedger.choose(attempt, answer)
            if chosen is None:
                return
            answer = chosen
            self._stop_attempts(call)
        if isinstance(answer, Response) and self._is_ok(answer):
            self._served(call, answer, None)
        elif isinstance(answer, Response) and is_denied(answer):
            self._denials.hold(attempt, answer)
        else:
            self._retrier.retry_or_fail(call, answer)
            if attempt.is_probe and self._endpoints.are_down:
                self._outages.fail_those_at_fault()

    def _repeat(self, call: Call, answer: Response) -> bool:
        """Make the last attempt of a call once more; see `Retrier.repeat`."""
        self._stop_attempts(call)
        return self._retrier.repeat(call, answer)

    def _timed_out(self, attempt: Attempt) -> TransportError:
        limit, what = self.plan.attempt_timeout, "attempt"
        if attempt.call.used >= self._timeout:
            limit, what = self._timeout, "call"
        message = f"no complete response within the {what}'s timeout of {show_duration(limit)}"
        return TransportError("timeout", message, sent=attempt.sent, transient=True)

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        """Settle a call that was stopped or kept from starting; see `Settler.cut_short`."""
        self._settler.cut_short(call, kind, why)

    def lose(self, call: Call, why: str) -> None:
        """Settle a call that is no longer needed, and stop its attempts.

        Args:
            call: the call; a batch goes on as long as any of its members is open.
            why: the reason, for the message.
        """
        self.cut_short(call, "lost", why)
        batch = call.batch
        if batch is None:
            self._stop(call)
        elif left := [member.pending for member in batch.members if member.outcome is None]:
            batch.pending = left[0]  # decides whether the batch may start
        else:
            batch.outcome = call.outcome
            self._settler.keep(batch, 0)
            self._stop(batch)

    def _stop(self, call: Call) -> None:
        """Stop everything that a call waits for."""
        self._queue.remove(call)
        self._denials.remove(call)
        call.end_pause()
        self._stop_attempts(call)

    def _stop_attempts(self, call: Call) -> None:
        if self._hedger and self._hedger.withdraw_hedge(call):
            self._queue.remove(call)
        for attempt in (call.attempt, call.hedge):
            if attempt:
                self._attempts.cancel(attempt)

    def abandon(self) -> None:
        """Cancel what is left under way after the end of the nursery."""
        self._attempts.abandon()


def _completing(
    plan: ApiPlan,
    settled: Callable[[Call, int], None],
    *,
    starts: Starts | None,
    kept: Callable[[int], None],
    timings: bool,
    spans: Spans | None,
) -> Callable[[Call, int], None]:
    """Return a function that completes the outcome of a call before it passes the call on."""
    if timings:
        settled = attaching_timings(settled, starts)
    if spans:
        settled = spans.of_calls(plan.name, settled)
    if plan.traceparent:
        settled = attaching_traces(settled)
    return releasing(settled, kept) if plan.series else settled


def _counting(meter: Meter, settled: Callable[[Call, int], None]) -> Callable[[Call, int], None]:
    """Return a function that has a call's spending counted before it passes the call on."""

    def count(call: Call, size: int) -> None:
        meter.settled(call)
        settled(call, size)

    return count
