"""One host of an API, from the first call that goes there until it is forgotten."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from tmux_fanout.core.config.hosts.host_plan import HostBreakerSettings
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.http.messages import Endpoint, Origin
from tmux_fanout.core.report.load import EndpointLoad
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Answer, Attempt
from tmux_fanout.engine.calls.caller import Caller
from tmux_fanout.engine.calls.endpoint import EndpointState
from tmux_fanout.engine.calls.hosts.alarms import Timer, Timers
from tmux_fanout.engine.calls.outcomes.settler import OutcomeOf
from tmux_fanout.engine.calls.outcomes.timings import Ended
from tmux_fanout.engine.calls.payloads import Payloads


def plan_host(plan: ApiPlan, origin: Origin) -> ApiPlan:
    """Return the plan of one host: an API of its own, with the bounds that each host has.

    Args:
        plan: the API, which has `hosts`.
        origin: of the host.
    """
    assert plan.hosts is not None  # only called for such an API
    name = str(origin)
    endpoint = Endpoint(name=name, origin=origin, prefix="", headers=(), rate=plan.hosts.rate)
    breaker = plan.breaker and HostBreakerSettings(
        failures=plan.breaker.failures,
        open=plan.breaker.open,
        max_open=plan.breaker.max_open,
        wait=plan.breaker.wait,
    )
    return replace(
        plan,
        name=f"{plan.name}: {name}",
        limit=min(plan.hosts.limit, plan.limit),
        endpoints=(endpoint,) if endpoint.is_bounded else (),
        breaker=breaker,
    )


class Host:
    """A host, and how many calls it has; it is what its caller shares with those of other hosts.

    Args:
        origin: of the host.
        payloads: build the requests of all hosts.
        outcome_of: turns answers into outcomes.
        timers: ring its alarms.
        resume: begins attempts at all hosts that may.
        ended: called with each attempt that has ended, its result, and what concludes it.

    Attributes:
        origin, payloads, outcome_of, resume: as above.
        caller: makes the calls; set once, right after this was made.
        open_calls: number of calls that have no outcome yet.
    """

    caller: Caller

    __slots__ = (
        "_ended",
        "_own_timers",
        "_timers",
        "caller",
        "open_calls",
        "origin",
        "outcome_of",
        "payloads",
        "resume",
    )

    def __init__(
        self,
        origin: Origin,
        payloads: Payloads,
        *,
        outcome_of: OutcomeOf,
        timers: Timers,
        resume: Callable[[], None],
        ended: Callable[[Host, Attempt, Answer, Ended], None],
    ) -> None:
        self.origin = origin
        self.payloads = payloads
        self.outcome_of = outcome_of
        self.resume = resume
        self.open_calls = 0
        self._timers = timers
        self._own_timers: list[Timer] = []
        self._ended = ended

    def __repr__(self) -> str:
        return f"<Host {self.origin}: {self.open_calls} calls>"

    def alarm(self, ring: Callable[[], None]) -> Timer:
        """Return an alarm of the caller."""
        timer = Timer(self._timers, ring)
        self._own_timers.append(timer)
        return timer

    def ended(self, conclude: Ended) -> Ended:
        """Return what is called with each attempt that has ended, in place of `conclude`."""

        def end(attempt: Attempt, answer: Answer) -> None:
            self._ended(self, attempt, answer, conclude)

        return end

    @property
    def state(self) -> EndpointState:
        """What is known of it."""
        return self.caller.endpoints.states[0]

    def is_busy(self) -> bool:
        """Return whether it has calls, or attempts that are being cancelled."""
        return bool(self.open_calls or self.state.in_flight)

    def is_held(self, now: float) -> bool:
        """Return whether its pause, breaker, pace or rate would delay another attempt."""
        return self.state.wait(now) > AT_ONCE

    def load(self, now: float) -> EndpointLoad:
        """Return its condition and what is under way there, for reports."""
        return replace(self.state.load(now), name=str(self.origin))

    def forget(self) -> None:
        """Set no alarm any more."""
        for timer in self._own_timers:
            timer.cancel()
