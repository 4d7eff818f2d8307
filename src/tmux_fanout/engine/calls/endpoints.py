"""The endpoints of one API: the health of each, and the choice of one for each attempt.

An endpoint may refuse, ask not to be called for a while, or be down (`core.endpoints`).  As long as
no health is in doubt, which is nearly always, `is_calm` spares all checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.core.http.rate_headers import asked_by, may_pause, pause_of
from tmux_fanout.core.policy.answers import Says, says
from tmux_fanout.core.policy.balance import Balancer
from tmux_fanout.core.policy.retry import NO_EVIDENCE, Evidence
from tmux_fanout.core.report.statistics import HeldBy
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Answer, Attempt, Call, Setback
from tmux_fanout.engine.calls.endpoint import EndpointState
from tmux_fanout.engine.calls.lifecycle.listener import Listener
from tmux_fanout.engine.calls.sharing.others import Remaining
from tmux_fanout.engine.wall import wall_clock

# What was served just before the first refusal of a call is evidence, too.
_SERVED_BEFORE = 50  # attempts
_RECENTLY = 2.0  # seconds

_HUNG = TransportError("timeout", "no answer in time", sent=True, transient=True)


class Endpoints:
    """Spread attempts over endpoints, and keep them away from those that are not available.

    Args:
        plan: the API.
        notify: called with one line for the user when the health of an endpoint changes.
        listener: hears from responses that the API is deprecated, or None.

    Attributes:
        watch: called with the index of an endpoint about which something was learned; None: nobody.
        is_calm: whether the health of no endpoint is in doubt, and none has bounds of its own.
        limit_tokens: whether one of them limits units.
    """

    def __init__(
        self, plan: ApiPlan, notify: Callable[[str], None], listener: Listener | None = None
    ) -> None:
        self.watch: Callable[[int], object] | None = None
        self._notify = notify
        self._listener = listener
        self._clock = wall_clock()
        self._breaker = plan.breaker
        self._rate_headers = plan.rate_headers
        self._is_standard = not (plan.rate_headers and plan.rate_headers.remaining)
        endpoints = plan.endpoints or (None,)
        self._states = [EndpointState(plan, endpoint) for endpoint in endpoints]
        weights = [endpoint.weight for endpoint in plan.endpoints]
        self._balancer = Balancer(plan.balance, weights) if len(weights) > 1 else None
        self.is_calm = all(state.is_calm(0.0) for state in self._states)
        self.limit_tokens = any(endpoint.tokens is not None for endpoint in plan.endpoints)
        # By endpoint.  Shared heads are moved once, since transports prepare them once as well.
        self._moved = [
            Prepared(partial(RequestHead.moved, old=plan.endpoints[0], new=endpoint))
            for endpoint in plan.endpoints
        ]

    def __repr__(self) -> str:
        return f"<Endpoints: {self.in_flight} in flight>"

    @property
    def states(self) -> Sequence[EndpointState]:
        """What is known of each."""
        return self._states

    @property
    def in_flight(self) -> Sequence[int]:
        """The number of attempts under way at each endpoint."""
        return [state.in_flight for state in self._states]

    @property
    def are_down(self) -> bool:
        """Whether the breakers of all endpoints are open."""
        return not self.is_calm and all(state.health.is_down for state in self._states)

    @property
    def probes(self) -> int:
        """The number of probes made since they are down."""
        return sum(state.health.breaker.probes for state in self._states if state.health.breaker)

    def wait(self, now: float, units: float = 0.0) -> float:
        """Return the seconds until one endpoint takes an attempt; infinite while all are probed.

        Args:
            now: the time.
            units: what the attempt reserves; only needed if they `limit_tokens`.
        """
        return min(state.wait(now, units) for state in self._states)

    def pause(self, now: float) -> float:
        """Return the seconds until the health of one endpoint allows an attempt.

        Unlike `wait`, disregard limits and rates of their own.
        """
        return min(state.health.wait(now) for state in self._states)

    def held_by(self, now: float) -> HeldBy:
        """Return what delays attempts, given that no endpoint takes one."""
        return min(self._states, key=lambda state: state.wait(now)).held_by(now)

    def describe_wait(self, now: float) -> Wait:
        """Return for the live display what delays attempts, given that something does."""
        state = min(self._states, key=lambda state: state.health.closed_for(now))
        cause = state.health.held_by(now)
        if cause == "throttled":
            pace = sum(state.health.throttle.pace for state in self._states)
            return Wait(cause, state.last_failure, pace=pace if pace < math.inf else None)
        seconds = state.health.closed_for(now)
        why = state.paused_by if cause == "paused" else state.last_failure
        return Wait(cause, why, seconds if seconds < math.inf else None)

    def are_closed(self, now: float) -> bool:
        """Return whether pauses and breakers keep all endpoints from being called."""
        return not self.is_calm and all(state.health.closed_for(now) for state in self._states)

    def down_since(self) -> float:
        """Return since when all endpoints have been down, as they are now."""
        breakers = [state.health.breaker for state in self._states]
        return max((each.open_since or 0.0 for each in breakers if each), default=0.0)

    def patience(self) -> float:
        """Return how long calls wait for the endpoints, all of which are down.

        Infinite if one of them is not.
        """
        if self._breaker is None or not self.are_down:
            return math.inf
        return self._breaker.patience(has_served=self.have_served)

    @property
    def have_served(self) -> bool:
        """Whether one of them ever served."""
        return any(state.health.has_served for state in self._states)

    @property
    def failure(self) -> Response | TransportError | None:
        """The result of the last attempt that was not served, at the first endpoint with one."""
        return next((state.failure for state in self._states if state.failure), None)

    def last_failure(self) -> str:
        """Return a description of that failure, or ""."""
        return next((state.last_failure for state in self._states if state.failure), "")

    def evidence(self, call: Call, now: float, others: Remaining) -> Evidence:
        """Return what was refused and served since a call was first refused, here and elsewhere.

        Args:
            call: the call.
            now: the time.
            others: the calls beside it.  Where these tell nothing more, not even by waiting for as
                long as "just before" is, what was served just before the first refusal counts too.
        """
        first = call.setback
        if first is None:
            return NO_EVIDENCE
        healths = [state.health for state in self._states]
        is_past = now > first.at + _RECENTLY
        return Evidence(
            refused=max(call.refusals, self._refused() - first.refused),
            served=self._served() - first.served,
            has_served=self.have_served,
            is_down=self.are_down,
            is_paced=any(health.throttle.pace < math.inf for health in healths),
            is_absent=all(health.is_absent(now) for health in healths),
            served_before=first.served_recently if others.are_last and is_past else 0,
            are_last=others.are_last,
            others=others.waiting + sum(self.in_flight),
            elsewhere=others.elsewhere,
            is_partial=others.is_partial,
        )

    @property
    def are_suspicious(self) -> bool:
        """Whether an endpoint has denied requests, and it is not clear yet if it denies all."""
        breakers = [state.health.breaker for state in self._states]
        return any(breaker.is_suspicious for breaker in breakers if breaker)

    def has_denier(self) -> bool:
        """Return whether an endpoint is left alone that may have denied requests."""
        return not self.is_calm and any(state.health.is_down for state in self._states)

    def deny(self, attempt: Attempt, now: float) -> None:
        """Record that an attempt was denied by what its response says, not by its status."""
        breaker = self._states[attempt.endpoint].health.breaker
        if breaker:
            breaker.denied(now, is_probe=attempt.is_probe)
        if self.watch:
            self.watch(attempt.endpoint)

    def acquit(self, call: Call) -> None:
        """Discount the refusals of a call whose record was found to be at fault."""
        state = self._states[call.endpoint or 0]
        state.health.refused = max(0, state.health.refused - call.refusals)

    def enter(self, attempt: Attempt, now: float) -> None:
        """Choose an endpoint for an attempt, other than where its call has just failed.

        `leave` has to follow.
        """
        index = 0
        units = attempt.reserved.units.total if self.limit_tokens else 0.0
        if self._balancer:
            call = attempt.call
            index = self._balancer.choose(
                self.in_flight,
                now,
                usable=[state.wait(now, units) <= AT_ONCE for state in self._states],
                avoid=call.endpoint,
            )
            attempt.endpoint = index
            if not attempt.is_hedge:
                call.endpoint = index
        state = self._states[index]
        state.begun += 1
        if not self.is_calm:
            if state.pacer:
                state.pacer.take(now, units)
            attempt.is_probe = state.health.begin(now)

    def correct(self, attempt: Attempt, units: float, now: float) -> None:
        """Take units beyond what an attempt reserved at its endpoint, or give back if negative."""
        pacer = self._states[attempt.endpoint].pacer
        if pacer:
            pacer.correct(now, units)

    def leave(self, attempt: Attempt, answer: Answer, now: float) -> Answer:
        """Record an attempt's end, and what it says about its endpoint.

        Args:
            attempt: the attempt.
            answer: its result.
            now: the time.

        Returns:
            The answer, or an `internal` failure if its headers cause an unforeseen error.
        """
        state = self._states[attempt.endpoint]
        try:
            if self._balancer:
                self._time(attempt, answer, now)
            if self.is_calm and isinstance(answer, Response) and self._is_service(attempt, answer):
                state.health.served_at = now
            else:
                self._learn(state, attempt, answer, now)
        except Exception as exc:
            answer = internal_failure(exc, sent=True)
        state.ended += 1
        return answer

    def _is_service(self, attempt: Attempt, answer: Response) -> bool:
        """Whether an answer shows that its endpoint is well and asks for nothing, as most do."""
        if answer.status >= 401:
            return False
        if answer.is_plain and self._is_standard:
            return True
        self._listen(attempt, answer)
        return not may_pause(answer.headers, self._rate_headers)

    def _listen(self, attempt: Attempt, answer: Response) -> None:
        if self._listener and self._listener.has_heard(attempt, answer):
            self._listener = None

    def _learn(self, state: EndpointState, attempt: Attempt, answer: Answer, now: float) -> None:
        meaning = self._meaning(attempt, answer, now)
        call, health = attempt.call, state.health
        pause = None
        if isinstance(answer, Response):
            self._listen(attempt, answer)
            pause = pause_of(answer, self._clock(), self._rate_headers)
            if pause:
                state.paused_by = asked_by(answer)
        if meaning in (Says.REFUSES, Says.FAILS, Says.HANGS):
            state.failure = answer or _HUNG
            if call.setback is None:
                call.setback = self._first_setback(now)
            call.refusals += meaning is Says.REFUSES
        elif meaning is Says.DENIES:
            state.failure = answer
        call.asked_pause = pause or 0.0
        health.learn(
            meaning,
            began=attempt.began,
            now=now,
            is_probe=attempt.is_probe,
            pause=pause,
            in_flight=state.in_flight,
        )
        self.is_calm = all(each.is_calm(now) for each in self._states)
        self._report(state, now)
        if self.watch:
            self.watch(attempt.endpoint)

    def hear(self, condition: Condition, now: float) -> None:
        """Take over what another process has found out about an endpoint, and told the user."""
        state = self._states[condition.endpoint]
        state.hear(condition, now)
        self.is_calm = all(each.is_calm(now) for each in self._states)
        self._news_of(state, now)

    def _refused(self) -> int:
        """Return the number of attempts refused or failed, as far as that is known."""
        return sum(state.health.refused + state.refused_elsewhere for state in self._states)

    def _served(self) -> int:
        """Return the number of attempts served, as far as that is known."""
        return sum(state.served + state.served_elsewhere for state in self._states)

    def _first_setback(self, now: float) -> Setback:
        """Return what to hold the refusals of a call against, this one being its first."""
        served = sum(state.served for state in self._states)
        is_recent = now - max(state.health.served_at for state in self._states) <= _RECENTLY
        return Setback(
            at=now,
            refused=self._refused(),
            served=self._served(),
            served_recently=min(served, _SERVED_BEFORE) if is_recent else 0,
        )

    def _meaning(self, attempt: Attempt, answer: Answer, now: float) -> Says:
        if answer is not None:
            return says(answer, self._rate_headers)
        return Says.HANGS if now >= attempt.deadline else Says.NOTHING

    def _time(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """Record how long an attempt took, for the choice of endpoints."""
        if self._balancer is None or attempt.deadline == math.inf:
            return  # it has not departed
        latency, seconds = self._balancer.latency(attempt.endpoint), now - attempt.began
        if answer is None:
            latency.cancelled(seconds, now)
            if now >= attempt.deadline:
                latency.failed(now)
            return
        meaning = says(answer, self._rate_headers)
        if meaning is Says.SERVES and isinstance(answer, Response):
            latency.served(seconds, now)
        elif meaning is not Says.NOTHING:
            latency.failed(now)

    def _report(self, state: EndpointState, now: float) -> None:
        """Tell the user what has changed at an endpoint."""
        if line := self._news_of(state, now):
            self._notify(line)

    def _news_of(self, state: EndpointState, now: float) -> str:
        health = state.health
        return state.news.update(
            now,
            datetime.fromtimestamp(self._clock()),
            pace=health.throttle.pace,
            paused_until=health.paused_until,
            down_since=health.breaker.open_since if health.breaker else None,
            failure=state.last_failure,
            lost_at=self.down_since() + self.patience(),
            serves=health.served_at == now,
        )

    def route(self, request: Request, attempt: Attempt) -> Request:
        """Redirect a request, built for the first endpoint, to the endpoint of an attempt."""
        return Request(self._moved[attempt.endpoint][request.head], request.body)
