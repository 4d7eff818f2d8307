"""One endpoint of an API: its health, its own bounds, and what the user was told of it."""

from __future__ import annotations

import math

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.endpoints.health import Health
from tmux_fanout.core.endpoints.news import News
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Endpoint, Response
from tmux_fanout.core.policy.answers import describe_status
from tmux_fanout.core.policy.rate import Pacer, rate_of
from tmux_fanout.core.report.load import EndpointCondition, EndpointLoad
from tmux_fanout.core.report.statistics import HeldBy
from tmux_fanout.core.sharing.conditions import Condition, Failure
from tmux_fanout.core.sharing.tallies import Tally
from tmux_fanout.engine.calls.alarm import AT_ONCE

_MAX_MESSAGE = 200  # characters


class EndpointState:
    """What is known of one endpoint, and what the user was told.

    Args:
        plan: the API.
        endpoint: its settings; None where the API has only one endpoint, without bounds of its own.

    Attributes:
        name: of the endpoint; empty if the API has only one.
        health: whether it may be called.
        news: what the user was told of it.
        begun, ended: number of attempts so far.
        pacer: paces the attempts there, or None.
        failure: the result of its last attempt that was not served, or None.
        paused_by: the header that asked for its last pause, or "".
        refused_elsewhere, served_elsewhere: number of attempts that other processes have reported.
    """

    __slots__ = (
        "_credentials",
        "_is_bounded",
        "_limit",
        "begun",
        "ended",
        "failure",
        "health",
        "name",
        "news",
        "pacer",
        "paused_by",
        "refused_elsewhere",
        "served_elsewhere",
    )

    def __init__(self, plan: ApiPlan, endpoint: Endpoint | None) -> None:
        limit = endpoint.limit if endpoint else None
        rate = rate_of(endpoint) if endpoint else None
        self._limit = math.inf if limit is None else limit
        self.pacer = None if rate is None else Pacer(rate)
        self._is_bounded = bool(endpoint and endpoint.is_bounded)
        self.health = Health(plan.breaker, plan.limit, plan.max_pause)
        fallback = plan.fallback
        self.name = endpoint.name if endpoint and plan.endpoints[1:] else ""
        self.news = News(
            self.name,
            plan.name,
            fallback=fallback.name if fallback and fallback.on.has_breaker_open else "",
        )
        self._credentials = endpoint.credentials if endpoint else plan.credentials
        self.begun = 0
        self.ended = 0
        self.failure: Response | TransportError | None = None
        self.paused_by = ""
        self.refused_elsewhere = self.served_elsewhere = 0

    def change_limit(self, limit: int) -> None:
        """Change the maximum number of attempts under way."""
        self._limit = limit

    @property
    def in_flight(self) -> int:
        """The number of attempts under way."""
        return self.begun - self.ended

    @property
    def last_failure(self) -> str:
        """A description of the failure, or ""."""
        if isinstance(self.failure, Response):
            return describe_status(self.failure.status, self._credentials)
        return self.failure.message if self.failure else ""

    @property
    def served(self) -> int:
        """The number of attempts served."""
        return self.ended - self.health.unserved

    def wait(self, now: float, units: float = 0.0) -> float:
        """Return the seconds until an attempt that reserves some units may begin here."""
        wait = self.health.wait(now)
        return max(wait, self._wait_for_bounds(now, units)) if self._is_bounded else wait

    def _wait_for_bounds(self, now: float, units: float) -> float:
        """Return the seconds until its limit and rate allow an attempt."""
        if self.in_flight >= self._limit:
            return math.inf  # until an attempt there ends
        return self.pacer.wait(now, units) if self.pacer else 0.0

    def held_by(self, now: float) -> HeldBy:
        """Return what delays attempts here, given that something does."""
        if self.health.wait(now) > AT_ONCE:
            return self.health.held_by(now)
        return "limit" if self.in_flight >= self._limit else "rate"

    def load(self, now: float) -> EndpointLoad:
        """Return its condition and what is under way there, for reports."""
        health = self.health
        closed, pace = health.closed_for(now), health.throttle.pace
        condition: EndpointCondition = "ready"
        if health.is_down:
            condition = "down"
        elif closed:
            condition = "paused"
        elif pace < math.inf:
            condition = "throttled"
        why = self.paused_by if condition == "paused" else self.last_failure
        return EndpointLoad(
            self.name,
            self.in_flight,
            condition,
            closed if closed < math.inf else None,
            pace if pace < math.inf else None,
            "" if condition == "ready" else why,
        )

    def condition(self, api: int, endpoint: int, now: float) -> Condition:
        """Return what others should know of it, apart from what is counted.

        Args:
            api: index of its API.
            endpoint: its own index.
            now: the time.
        """
        health = self.health
        pace = health.throttle.pace
        condition = Condition(
            api,
            endpoint,
            paused=max(0.0, health.paused_until - now),
            paused_by=self.paused_by,
            pace=pace if pace < math.inf else None,
        )
        breaker = health.breaker
        if breaker and breaker.failing_since is not None:
            return replace(condition, failing=now - breaker.failing_since)
        if breaker is None or breaker.open_since is None:
            return condition
        return replace(
            condition,
            down=now - breaker.open_since,
            probe=max(0.0, breaker.probe_at - now),
            failure=_describe(self.failure),
        )

    def hear(self, condition: Condition, now: float) -> None:
        """Take over what another process has found out."""
        self.health.hear(condition, now)
        if condition.paused:
            self.paused_by = condition.paused_by
        if condition.failure and self.failure is None:
            self.failure = _failure(condition.failure)

    def hear_tally(self, tally: Tally) -> None:
        """Take over what other processes have counted."""
        self.refused_elsewhere += tally.refused
        self.served_elsewhere += tally.served
        self.health.serves_others |= tally.has_served

    def is_calm(self, now: float) -> bool:
        return not self._is_bounded and self.health.is_calm(now)


def _describe(failure: Response | TransportError | None) -> Failure | None:
    if isinstance(failure, Response):
        return Failure(failure.status)
    if isinstance(failure, TransportError):
        return Failure(None, failure.kind, failure.message[:_MAX_MESSAGE])
    return None


def _failure(failure: Failure) -> Response | TransportError:
    if failure.status is not None:
        return Response(failure.status, (), b"", 0)
    return TransportError(failure.kind, failure.message, sent=False, transient=True)
