"""The calls of one API, each from its submission to its outcome.

A call that waits is an entry in a queue: it costs neither a task nor a socket.  When its turn comes
and a slot is free, an attempt is made; the slot then passes to the next call.  A call that has to
wait before its next attempt makes way for others: it sleeps in a task of its own, without a slot,
and then returns to the front of the queue.

A call passes these methods:

    Caller.submit -> Queue.add ... Caller.start -> Attempts.begin ... Concluder.conclude
        -> Settler.settle_with                            the call has its outcome
        or Retrier.retry_or_fail -> Queue.add_again ...   and from `Caller.start` again

Where an API has rules of its own on what answers mean, or streams, `Concluder.judge` comes before
`conclude`.

`Layers` wraps these steps in what settings ask for.  The parts decide and act on the way:

    Payloads             what is sent, and what a response means
    Queue                whose turn it is
    Slots                how many attempts may be under way
    Endpoints            where an attempt goes
    Attempts             makes it, and times it out
    Concluder            what its end means for the call
    Retrier              whether there is another one
    Denials, Outages     what becomes of calls while the API denies all, refuses or is down
    Settler              gives the call its outcome
    Sequencer            makes its next request instead, where the API has pages or jobs
    Batcher, Hedger      where the API has them
    Sharing, Caching     give it the answer to an identical request, where the API has them
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import trio

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.tuning.tuning import ApiTuning
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.callers.context import ApiContext
from tmux_fanout.engine.calls.callers.layers import Layers
from tmux_fanout.engine.calls.callers.monitor import CallerStatistics, Monitor
from tmux_fanout.engine.calls.callers.parts import Parts
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.outcomes.concluder import Concluder
from tmux_fanout.engine.calls.outcomes.series import SeriesPayloads
from tmux_fanout.engine.calls.outcomes.timings import Settled
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.reuse.reuse import plan_reuse
from tmux_fanout.engine.calls.reuse.sharing import leader_of


class Caller:
    """Make the calls of one API.

    Args:
        plan: the API.
        context: what it is given by the run.
        settled: called with each call that has its outcome, and the bytes of that.
        lost: called when all endpoints have been down for longer than calls wait.

    Attributes:
        plan: the API.
        sharing: has calls with identical requests share one answer, or None.
    """

    def __init__(
        self,
        plan: ApiPlan,
        context: ApiContext,
        *,
        settled: Settled,
        lost: Callable[[Caller], None],
    ) -> None:
        run, statistics, shared = context.run, context.statistics, context.shared
        self.plan = plan
        self._is_closed = False  # whether no attempt begins any more
        self._is_paused = False  # by the user
        self._is_shut = False  # either
        self._was_held = False
        self._held_back = run.held_back
        self._idle = run.idle
        self._give_up = run.give_up
        self._scope = run.scope
        self._statistics = statistics
        self._meter = context.meter
        self._start_due = context.start_peers or self.start
        make_payloads = SeriesPayloads if plan.series else Payloads
        payloads = shared.payloads if shared else make_payloads(plan, statistics)
        reuse = plan_reuse(plan, payloads, context, self, settled)
        self._prepare, self.sharing = reuse.prepare, reuse.sharing
        layers = Layers(plan, context)
        parts = Parts(
            plan,
            context,
            payloads,
            reuse,
            caller=self,
            settled=layers.around_settled(reuse.settled),
            lost=partial(lost, self),
        )
        self._payloads = payloads
        self._endpoints = parts.endpoints
        self._queue = parts.queue
        self._slots = parts.slots
        self._batcher = parts.batcher
        self._hedger = parts.hedger
        self._settler = parts.settler
        self._denials, self._denied = parts.denials, parts.denials.held
        self._outages = parts.outages
        self._alarm = parts.alarm(self._look_after_queue)
        self._concluder = Concluder(plan, context, parts, layers, self)
        self._attempts = self._concluder.attempts
        self._monitor = Monitor(parts, self._attempts, self._concluder.retrier, statistics)
        statistics.limit = self._slots.limit

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
        self._pass_on_limit()

    def _pass_on_limit(self) -> None:
        for state in self._endpoints.states:
            state.health.throttle.limit = self._slots.maximum
        self._statistics.limit = self._slots.limit

    def tune(self, tuning: ApiTuning) -> None:
        """Use more or fewer slots, and pause or resume; `start` has to follow."""
        self._slots.tune(tuning.limit)
        self._pass_on_limit()
        self._is_paused = tuning.paused
        self._is_shut = self._is_closed or tuning.paused

    def hear(self, condition: Condition) -> None:
        """Take over what another process has found out about an endpoint."""
        self._endpoints.hear(condition, trio.current_time())
        self.resume()

    def statistics(self) -> CallerStatistics:
        """Return what the caller holds now."""
        return self._monitor.statistics()

    def load(self, now: float) -> Load:
        """Return what waits, and the condition of the endpoints, for reports."""
        return self._monitor.load(now)

    def describe_wait(self, now: float) -> Wait | None:
        """Return for the live display what calls wait for; see `Monitor.describe_wait`."""
        return self._monitor.describe_wait(now, is_paused=self._is_paused)

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

    def settle(self, call: Call, outcome: Outcome) -> None:
        """Give a call that makes no request its outcome."""
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

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        """Settle a call that was stopped or kept from starting; see `Settler.cut_short`."""
        self._settler.cut_short(call, kind, why)

    def lose(self, call: Call, why: str) -> None:
        """Settle a call that is no longer needed, and stop its attempts; see `Concluder.lose`."""
        self._concluder.lose(call, why)

    def abandon(self) -> None:
        """Cancel what is left under way after the end of the nursery."""
        self._attempts.abandon()
