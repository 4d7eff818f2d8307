"""The endpoints of one API: the state of each, and the choice of one for each attempt.

An endpoint may ask not to be called for a while (Retry-After, RateLimit), and its breaker may be
open.  As long as neither is the case anywhere, which is nearly always, `is_calm` spares all checks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Endpoint, Request, RequestHead, Response
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.core.http.rate_headers import may_pause, pause_of
from tmux_fanout.core.policy.answers import Repeatable, repeatable
from tmux_fanout.core.policy.balance import Balancer
from tmux_fanout.core.policy.breaker import Breaker
from tmux_fanout.core.policy.rate import Pacer
from tmux_fanout.core.report.statistics import HeldBy
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Answer, Attempt


class _State:
    """The state of one endpoint.

    Args:
        breaker: its circuit breaker, or None.
        endpoint: its settings; None where the API has only one endpoint, without bounds of its own.

    Attributes:
        in_flight: number of attempts under way.
        pacer: paces the attempts there, or None.
        paused_until: when it may be called again.
        last_failure: a description of its last failure, or "".
        reported_at: when it was reported as not available; None if it is available.
    """

    __slots__ = (
        *("_is_bounded", "_limit", "breaker", "in_flight", "last_failure", "pacer"),
        *("paused_until", "reported_at"),
    )

    def __init__(self, breaker: Breaker | None, endpoint: Endpoint | None = None) -> None:
        limit, rate = (endpoint.limit, endpoint.rate) if endpoint else (None, None)
        self._limit = math.inf if limit is None else limit
        self.pacer = None if rate is None else Pacer(rate)
        self._is_bounded = bool(endpoint and endpoint.is_bounded)
        self.breaker = breaker
        self.in_flight = 0
        self.paused_until = 0.0
        self.last_failure = ""
        self.reported_at: float | None = None

    @property
    def is_broken(self) -> bool:
        return self.breaker is not None and self.breaker.open_since is not None

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin here."""
        wait = self.breaker.wait(now) if self.breaker else 0.0
        wait = max(wait, self.paused_until - now)
        return max(wait, self._wait_for_bounds(now)) if self._is_bounded else wait

    def _wait_for_bounds(self, now: float) -> float:
        """Return the seconds until its limit and rate allow an attempt."""
        if self.in_flight >= self._limit:
            return math.inf  # until an attempt there ends
        return self.pacer.wait(now) if self.pacer else 0.0

    def held_by(self, now: float) -> HeldBy:
        """Return what delays attempts here, given that something does."""
        if self.is_broken:
            return "breaker"
        if self.paused_until - now > AT_ONCE:
            return "paused"
        return "limit" if self.in_flight >= self._limit else "rate"

    def is_calm(self, now: float) -> bool:
        return (
            not self._is_bounded
            and self.paused_until <= now
            and (self.breaker is None or self.breaker.is_calm)
        )


class Endpoints:
    """Spread attempts over endpoints, and keep them away from those that are not available.

    Args:
        plan: the API.
        notify: called with one line for the user when an endpoint becomes unavailable, and when it
            is available again.

    Attributes:
        is_calm: whether no endpoint is paused or has bounds of its own, and none has failed since
            its last success.
    """

    def __init__(self, plan: ApiPlan, notify: Callable[[str], None]) -> None:
        self._name = plan.name
        self._patience = show_duration(plan.breaker.wait) if plan.breaker else ""
        self._notify = notify
        self._endpoints = plan.endpoints
        self._max_pause = plan.retry.timeout
        self._rate_headers = plan.rate_headers
        self._is_standard = not (plan.rate_headers and plan.rate_headers.remaining)
        breaker = plan.breaker
        endpoints = plan.endpoints or (None,)
        self._states = [
            _State(
                Breaker(breaker.failures, breaker.open, breaker.max_open) if breaker else None,
                endpoint,
            )
            for endpoint in endpoints
        ]
        weights = [endpoint.weight for endpoint in plan.endpoints]
        self._balancer = Balancer(plan.balance, weights) if len(weights) > 1 else None
        self.is_calm = all(state.is_calm(0.0) for state in self._states)
        # By endpoint.  Shared heads are moved once, since transports prepare them once as well.
        self._moved = [
            Prepared(partial(RequestHead.moved, old=plan.endpoints[0], new=endpoint))
            for endpoint in plan.endpoints
        ]

    def __repr__(self) -> str:
        return f"<Endpoints: {self.in_flight} in flight>"

    @property
    def in_flight(self) -> Sequence[int]:
        """The number of attempts under way at each endpoint."""
        return [state.in_flight for state in self._states]

    def wait(self, now: float) -> float:
        """Return the seconds until one endpoint takes an attempt; infinite while all are probed."""
        return min(state.wait(now) for state in self._states)

    def held_by(self, now: float) -> HeldBy:
        """Return what delays attempts, given that no endpoint takes one."""
        return min(self._states, key=lambda state: state.wait(now)).held_by(now)

    def broken_since(self) -> float | None:
        """Return when the last breaker opened, if all breakers are open, else None."""
        if self.is_calm:
            return None
        times = [state.breaker.open_since if state.breaker else None for state in self._states]
        return None if None in times else max(time for time in times if time is not None)

    def last_failure(self) -> str:
        """Return a description of the last failure, or ""."""
        return next((state.last_failure for state in self._states if state.last_failure), "")

    def enter(self, attempt: Attempt, now: float) -> None:
        """Choose an endpoint for an attempt, other than where its call has just failed.

        `leave` has to follow.
        """
        index = 0
        if self._balancer:
            call = attempt.call
            index = self._balancer.choose(
                self.in_flight,
                now,
                usable=[state.wait(now) <= AT_ONCE for state in self._states],
                avoid=call.endpoint,
            )
            attempt.endpoint = index
            if not attempt.is_hedge:
                call.endpoint = index
        state = self._states[index]
        state.in_flight += 1
        if not self.is_calm:
            if state.pacer:
                state.pacer.take(now)
            if state.breaker is not None:
                attempt.is_probe = state.breaker.begin()

    def leave(self, attempt: Attempt, answer: Answer, now: float) -> Answer:
        """Record an attempt's end, and update the breaker and the pause of its endpoint.

        Args:
            attempt: the attempt.
            answer: its result.
            now: the time.

        Returns:
            The answer, or an `internal` failure if its headers cause an unforeseen error.
        """
        state = self._states[attempt.endpoint]
        state.in_flight -= 1
        if self._balancer:
            self._time(attempt, answer, now)
        try:
            if not (self.is_calm and (answer is None or self._is_neutral(answer))):
                self._learn(state, attempt, answer, now)
        except Exception as exc:
            answer = internal_failure(exc, sent=True)
        return answer

    def _time(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """Record how long an attempt took, for the choice of endpoints."""
        if self._balancer is None or attempt.deadline == math.inf:
            return  # it has not departed
        latency, seconds = self._balancer.latency(attempt.endpoint), now - attempt.began
        if answer is None:
            latency.cancelled(seconds, now)
            if now >= attempt.deadline:
                latency.failed(now)
        elif isinstance(answer, Response) and repeatable(answer) is Repeatable.NEVER:
            latency.served(seconds, now)
        elif isinstance(answer, Response) or not _is_no_fault(answer):
            latency.failed(now)

    def _learn(self, state: _State, attempt: Attempt, answer: Answer, now: float) -> None:
        """Update the pause and the breaker of an endpoint with the result of an attempt."""
        if isinstance(answer, TransportError) and _is_no_fault(answer):
            if attempt.is_probe and state.breaker:
                state.breaker.withdraw_probe()
            return
        if isinstance(answer, Response):
            asked = pause_of(answer, time.time(), self._rate_headers)
            pause = min(asked or 0.0, self._max_pause)
            state.paused_until = max(state.paused_until, now + pause)
        if self._is_down(answer) or (answer is None and attempt.is_probe):
            state.last_failure = _describe(answer)
            if state.breaker:
                state.breaker.failed(now, is_probe=attempt.is_probe)
        elif answer is not None and state.breaker:
            state.breaker.succeeded()
        self.is_calm = all(each.is_calm(now) for each in self._states)
        self._report_breakers(now)

    def _is_neutral(self, answer: Response | TransportError) -> bool:
        """Whether an answer says nothing about the state of its endpoint, as nearly all do."""
        if isinstance(answer, TransportError):
            return _is_no_fault(answer)
        if answer.status >= 429 or answer.status == 403:
            return False
        if answer.is_plain and self._is_standard:
            return True
        return not may_pause(answer.headers, self._rate_headers)

    def _is_down(self, answer: Answer) -> bool:
        """Whether there was no server, or one that cannot serve.

        A server that refuses more requests (429) counts as down where there are others.
        """
        if isinstance(answer, TransportError):
            is_lost = answer.transient and answer.kind == "protocol"
            return is_lost or answer.kind in ("connect", "tls")
        is_overloaded = answer is not None and answer.status == 429 and len(self._states) > 1
        return is_overloaded or (answer is not None and answer.status >= 500)

    def _report_breakers(self, now: float) -> None:
        """Tell the user which endpoints have become unavailable or available."""
        for index, state in enumerate(self._states):
            name = self._name
            if self._endpoints:
                name += f": {self._endpoints[index].name}"
            self._report(state, name, now)

    def _report(self, state: _State, name: str, now: float) -> None:
        if state.is_broken and state.reported_at is None:
            waits = self.broken_since() is not None
            how_long = f"calls not begun wait up to {self._patience} (breaker.wait)"
            what = how_long if waits else "calls go elsewhere"
            self._notify(f"{name} is not available ({state.last_failure}); {what}")
            state.reported_at = now
        elif not state.is_broken and state.reported_at is not None:
            seconds = now - state.reported_at
            self._notify(f"{name} is available again, after {show_duration(seconds)}")
            state.reported_at = None

    def route(self, request: Request, attempt: Attempt) -> Request:
        """Redirect a request, built for the first endpoint, to the endpoint of an attempt."""
        return Request(self._moved[attempt.endpoint][request.head], request.body)


def _is_no_fault(failure: TransportError) -> bool:
    """Whether a failure says nothing about the server.

    A healthy server may close a kept-alive connection at any time, even as it is used again (RFC
    9112, section 9.5); and a shortage on this machine is not the server's doing.
    """
    return failure.stale or bool(failure.shortage)


def _describe(answer: Answer) -> str:
    if isinstance(answer, Response):
        return f"HTTP {answer.status}"
    return answer.message if answer else "no answer"
