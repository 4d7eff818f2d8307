"""What becomes of the calls that wait while the endpoints of an API hold them back.

    there is a fallback for that            they go there at once
    each call was tried, and failed,
    though others were served just before   those end whose failures are evidence against them
    few calls are left, and no others come  they end
    the API stays down                      the run ends, or goes on without it

Whether a few calls are left that an API refuses for what they are, or it has just gone down, nobody
can tell as long as no other calls are there to try.  The more calls there are, the likelier is an
outage, and the longer they wait; an outage of up to a minute and a half costs none.  If the API has
never served, it is probably not there: then only one or two calls end as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.policy.retry import MAX_PAUSE_WITH_FALLBACK, final_error
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.outcomes.denials import Denials
from tmux_fanout.engine.calls.outcomes.settler import Settler
from tmux_fanout.engine.calls.queue import Queue

# How long the last calls wait for an endpoint that refuses them all, as shares of how long calls
# wait for one that is down: since that began, and since one was tried for the first time.  Where
# there are many, it takes long until all have been tried.
_LAST_CALLS = 0.4
_EACH_OF_THEM = 1 / 100
_AFTER_THE_LAST = 0.4
_LESS_FOR_EACH = 1 / 50
_AFTER_THE_LAST_OF_MANY = 0.1
_FEW = 2  # calls that end as they are where the endpoint never served


class Outages:
    """Decide what becomes of waiting calls, and do it.

    Args:
        plan: the API.
        endpoints: hold calls back.
        queue: the calls that wait.
        denials: holds calls that wait as well, but are not sent again.
        settler: settles those that wait no longer.
        has_room: returns whether the window has room, so that the queue has all calls there are.
        lost: called when all endpoints have been down for longer than calls wait.
    """

    def __init__(
        self,
        plan: ApiPlan,
        endpoints: Endpoints,
        queue: Queue,
        denials: Denials,
        settler: Settler,
        *,
        has_room: Callable[[], bool],
        lost: Callable[[], None],
    ) -> None:
        self._name = plan.name
        self._policy = plan.retry
        self._fallback = plan.fallback
        self._endpoints = endpoints
        self._queue = queue
        self._denials = denials
        self._settler = settler
        self._has_room = has_room
        self._lost = lost
        self._judged = 0.0  # when calls were last taken to be at fault
        # The outages in which that was, and in which calls waited for too long, by their beginning.
        self._judged_outage = self._given_up = math.nan

    def __repr__(self) -> str:
        return f"<Outages: {self._endpoints!r}, {self._queue!r}>"

    def attention_in(self, now: float) -> float:
        """Return the seconds until `act` has to be called, or the first call may go.

        Infinite if something else happens before.
        """
        if self._why_fail_over(now) or self._denials.keep_others_out:
            return 0.0
        latest = math.inf
        if self._endpoints.are_down:
            if self._is_given_up and self._surplus():
                return 0.0
            latest = min(self._judged_at(now), self._lost_at())
        return min(self._queue.attention_in(now), max(0.0, latest - now))

    def act(self, now: float) -> None:
        """Settle the calls that need not wait any longer."""
        self._denials.urge_others()
        if error := self._why_fail_over(now):
            for call in self._may_fail_over():
                self._end(call, error, has_answer=error.kind == "breaker_open")
        if self._endpoints.are_down:
            if now + AT_ONCE >= self._judged_at(now):
                self._judge(now)
            if self._is_given_up or now + AT_ONCE >= self._lost_at():
                self._given_up = self._endpoints.down_since()
                self._lost()

    @property
    def _is_given_up(self) -> bool:
        """Whether calls have waited too long in this outage."""
        return self._given_up == self._endpoints.down_since()

    def _lost_at(self) -> float:
        """Return when calls will have waited too long; infinite if they have."""
        first = next(chain(self._queue.calls, self._denials.held), None)
        if first is None or self._is_given_up:
            return math.inf
        return max(self._endpoints.down_since(), first.started) + self._endpoints.patience()

    def _judged_at(self, now: float) -> float:
        """Return when the waiting calls will be taken to be at fault; infinite if they are not.

        That happens once in an outage: calls that come later have not been there when it began.
        """
        endpoints, calls = self._endpoints, self._queue.calls
        down_since, patience = endpoints.down_since(), endpoints.patience()
        if self._judged_outage == down_since:
            return -math.inf if self._guilty() else math.inf
        if not (calls and self._has_room()):
            return math.inf
        count = self._queue.number(now)
        if not endpoints.have_served:
            return self._lost_at() if count <= _FEW else math.inf
        share = _LAST_CALLS + _EACH_OF_THEM * count
        if share >= 1.0:
            return math.inf
        if any(each.setback is None or each.last_answer is None for each in reversed(calls)):
            return math.inf
        last_tried = max(call.started for call in calls)
        quiet = max(_AFTER_THE_LAST - _LESS_FOR_EACH * count, _AFTER_THE_LAST_OF_MANY)
        return max(down_since + share * patience, last_tried + quiet * patience)

    def _judge(self, now: float) -> None:
        """Settle the calls that have been tried in an outage, as they are at fault."""
        if self._judged_outage != self._endpoints.down_since():
            self._judged_outage, self._judged = self._endpoints.down_since(), now
        for call in self._guilty():
            self._fail(call)

    def _guilty(self) -> Sequence[Call]:
        """Return the waiting calls that had been tried when calls were judged last."""
        idle = self._queue.idle(begun=True)
        return [
            call
            for call in idle
            if call.last_answer and not call.goes_on and call.started <= self._judged
        ]

    def _why_fail_over(self, now: float) -> ErrorInfo | None:
        """Return the error of calls that go to the fallback at once, rather than wait here."""
        fallback = self._fallback
        if fallback is None:
            return None
        wait = self._endpoints.pause(now)
        if wait <= AT_ONCE or not self._may_fail_over():
            return None
        failure = self._endpoints.last_failure()
        is_down = self._endpoints.are_down
        if is_down and fallback.on.has_breaker_open:
            return ErrorInfo("breaker_open", f"no endpoint available; last failure: {failure}")
        if is_down:
            kind = fallback.on.kind_of(self._endpoints.failure)
            return ErrorInfo(kind, f"no endpoint available ({failure})") if kind else None
        if fallback.on.has_refusals and wait > MAX_PAUSE_WITH_FALLBACK:
            return ErrorInfo("status", f"held back for {show_duration(wait)}, as it refuses more")
        return None

    def _may_fail_over(self) -> Sequence[Call]:
        """Return the waiting calls that the fallback may take; a guarded one takes no others."""
        fallback = self._fallback
        if fallback is None:
            return ()
        if fallback.is_guarded:
            return self._queue.idle(begun=False)
        return [*self._queue.idle(begun=True), *self._denials.held]

    def describe_loss(self) -> str:
        """Say why calls no longer wait for the endpoints, all of which are down."""
        seconds = show_duration(round(trio.current_time() - self._endpoints.down_since(), 1))
        failure = self._endpoints.last_failure()
        return f"{self._name} was not available for {seconds} ({failure})"

    def fail_waiting(self) -> None:
        """Settle the calls that wait while all endpoints are down, but for one to probe with."""
        for call in self._surplus():
            what = "not sent: " if not call.attempts else ""
            self._end(call, ErrorInfo("breaker_open", what + self.describe_loss()))

    def _surplus(self) -> Sequence[Call]:
        """Return the calls that wait, but for one to probe with.

        That one is new: a call that has been a probe is among those that are returned.
        """
        idle = self._queue.idle(begun=True)
        probe = next((call for call in idle if not call.attempts), None)
        return [call for call in chain(idle, self._denials.held) if call is not probe]

    def fail_those_at_fault(self) -> None:
        """Settle the waiting calls whose own refusals are evidence against them.

        Where only such calls are left, the endpoints seem to be down.
        """
        now = trio.current_time()
        for call in list(self._queue.calls):
            if call.refusals <= self._policy.retries or call.last_answer is None:
                continue
            remaining = self._queue.remaining(now)
            others = remaining._replace(waiting=remaining.waiting - 1)
            evidence = self._endpoints.evidence(call, now, others)
            if evidence.is_against(call.refusals):
                self._fail(call)

    def _fail(self, call: Call) -> None:
        """Settle a call that waits with the result of its last attempt, as it is at fault."""
        assert call.last_answer is not None
        self._endpoints.acquit(call)
        self._end(call, final_error(self._policy, call.last_answer, call.tries))

    def _end(self, call: Call, error: ErrorInfo, *, has_answer: bool = True) -> None:
        """Settle a call that waits, with this error in place of another attempt.

        Args:
            call: the call.
            error: the error.
            has_answer: whether the answer to its last attempt, if any, is kept.
        """
        self._queue.remove(call)
        self._denials.remove(call)
        call.end_pause()
        call.ended = trio.current_time()
        self._settler.settle_with(call, call.last_answer if has_answer else None, error)
