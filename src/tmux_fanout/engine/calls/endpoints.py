"""The endpoints of one API while a run lasts: how each is, and which an attempt goes to.

An endpoint may ask not to be called for a while (Retry-After, RateLimit), and its breaker may be
open.  As long as none of that is so, which is nearly always, `is_calm` says it in one look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from tmux_fanout.core.boundary import internal_failure
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.core.http.rate_headers import pause_of
from tmux_fanout.core.policy.balance import choose
from tmux_fanout.core.policy.breaker import Breaker
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.call import Call

Answer = Response | TransportError | None


class _State:
    """How one endpoint is.

    Attributes:
        in_flight: attempts under way.
        paused_until: when it wants to be called again.
        last: what its last failure was, in words.
        told_at: when it was said that its breaker is open; None if it is not.
    """

    __slots__ = ("breaker", "in_flight", "last", "paused_until", "told_at")

    def __init__(self, breaker: Breaker | None) -> None:
        self.breaker = breaker
        self.in_flight = 0
        self.paused_until = 0.0
        self.last = ""
        self.told_at: float | None = None

    @property
    def is_broken(self) -> bool:
        return self.breaker is not None and self.breaker.open_since is not None

    def wait(self, now: float) -> float:
        """Seconds until an attempt may begin here."""
        wait = self.breaker.wait(now) if self.breaker else 0.0
        return max(wait, self.paused_until - now)

    def is_calm(self, now: float) -> bool:
        return self.paused_until <= now and (self.breaker is None or self.breaker.is_calm)


class Endpoints:
    """Spreads attempts over endpoints, and keeps them from those that want none.

    Args:
        plan: of the API.
        tell: called when calls begin to wait because no endpoint is well, and when one is again.

    Attributes:
        is_calm: whether all is well everywhere.
    """

    def __init__(self, plan: ApiPlan, tell: Callable[[str], None]) -> None:
        self._name = plan.name
        self._patience = show_duration(plan.breaker.wait) if plan.breaker else ""
        self._tell = tell
        self._endpoints = plan.endpoints
        self._balance = plan.balance
        self._longest_pause = plan.retry.timeout
        self._turn = 0
        breaker = plan.breaker
        self._states = [
            _State(
                Breaker(breaker.failures, breaker.open, breaker.max_open)
                if breaker
                else None
            )
            for _ in range(max(1, len(plan.endpoints)))
        ]
        self.is_calm = True
        self._silent: Sequence[tuple[bytes, bytes]] = ()
        # By endpoint.  Shared heads are moved once, since transports prepare them once as well.
        self._moved = [
            Prepared(partial(RequestHead.moved, old=plan.endpoints[0], new=endpoint))
            for endpoint in plan.endpoints
        ]

    def __repr__(self) -> str:
        return f"<Endpoints: {[state.in_flight for state in self._states]} in flight>"

    def wait(self, now: float) -> float:
        """Seconds until an attempt may begin at one of them; infinite while a probe tells."""
        return min(state.wait(now) for state in self._states)

    def broken_since(self) -> float | None:
        """When the last of the breakers opened, if all of them are open."""
        if self.is_calm:
            return None
        times = [state.breaker.open_since if state.breaker else None for state in self._states]
        return None if None in times else max(time for time in times if time is not None)

    def trouble(self) -> str:
        """What the last failure was."""
        return next((state.last for state in self._states if state.last), "")

    def enter(self, call: Call, now: float) -> None:
        """Choose an endpoint for an attempt of a call, not where it has just failed; and `leave`
        it afterwards.
        """
        place = 0
        if self._endpoints:
            place = choose(
                self._balance,
                [state.in_flight for state in self._states],
                self._turn,
                usable=[state.wait(now) <= AT_ONCE for state in self._states],
                avoid=call.endpoint,
            )
            self._turn = (place + 1) % len(self._states)
        state = self._states[place]
        state.in_flight += 1
        call.endpoint = place
        call.is_probe = not self.is_calm and state.breaker is not None and state.breaker.begin()

    def leave(self, call: Call, answer: Answer, now: float) -> Answer:
        """Record an attempt's end, and update the breaker and the pause of its endpoint.

        Args:
            answer: what the attempt came to; None if it was cancelled, or out of time.
            now: the time.

        Returns:
            The answer, or an `internal` failure where its headers cannot be understood.
        """
        state = self._states[call.endpoint or 0]
        state.in_flight -= 1
        try:
            if not (self.is_calm and (answer is None or self._says_nothing(answer))):
                self._learn(state, call, answer, now)
        except Exception as exc:
            answer = internal_failure(exc, sent=True)
        return answer

    def _learn(self, state: _State, call: Call, answer: Answer, now: float) -> None:
        """Update the pause and the breaker of an endpoint by what an attempt came to."""
        if isinstance(answer, TransportError) and _is_no_fault(answer):
            if call.is_probe and state.breaker:
                state.breaker.withdraw_probe()
            return
        if isinstance(answer, Response):
            pause = min(pause_of(answer, time.time()) or 0.0, self._longest_pause)
            state.paused_until = max(state.paused_until, now + pause)
        if self._is_down(answer) or (answer is None and call.is_probe):
            state.last = _in_words(answer)
            if state.breaker:
                state.breaker.failed(now, is_probe=call.is_probe)
        elif answer is not None and state.breaker:
            state.breaker.succeeded()
        self.is_calm = all(each.is_calm(now) for each in self._states)
        self._tell_of_breakers(now)

    def _says_nothing(self, answer: Response | TransportError) -> bool:
        """Whether an answer tells nothing about how its endpoint is; nearly all are so."""
        if isinstance(answer, TransportError):
            return _is_no_fault(answer)
        if answer.status >= 429:
            return False
        if answer.headers is self._silent:  # the very same, as a transport knows heads again
            return True
        if b"ratelimit" in [name for name, _ in answer.headers]:
            return False
        self._silent = answer.headers
        return True

    def _is_down(self, answer: Answer) -> bool:
        """Whether there was no server, or one that says that it cannot serve.

        One that has enough (429) is as good as none, where there are others.
        """
        if isinstance(answer, TransportError):
            is_lost = answer.transient and answer.kind == "protocol"
            return is_lost or answer.kind in ("connect", "tls")
        has_enough = answer is not None and answer.status == 429 and len(self._states) > 1
        return has_enough or (answer is not None and answer.status >= 500)

    def _tell_of_breakers(self, now: float) -> None:
        """Say which endpoints are not called any more, and which are again."""
        for place, state in enumerate(self._states):
            name = self._name
            if self._endpoints:
                origin = self._endpoints[place].origin
                name += f": {origin.scheme}://{origin.authority}"
            self._tell_of(state, name, now)

    def _tell_of(self, state: _State, name: str, now: float) -> None:
        if state.is_broken and state.told_at is None:
            waits = self.broken_since() is not None
            how_long = f"calls not begun wait up to {self._patience} (breaker.wait)"
            what = how_long if waits else "calls go elsewhere"
            self._tell(f"{name} is not available ({state.last}); {what}")
            state.told_at = now
        elif not state.is_broken and state.told_at is not None:
            self._tell(f"{name} is available again, after {show_duration(now - state.told_at)}")
            state.told_at = None

    def route(self, request: Request, call: Call) -> Request:
        """The request of a call, which was built for the first endpoint, for that it goes to."""
        assert call.endpoint is not None  # `enter` chose it
        return Request(self._moved[call.endpoint][request.head], request.body)


def _is_no_fault(failure: TransportError) -> bool:
    """Whether a failure tells nothing of a server.

    A healthy one may close a kept-alive connection at any time, just as it is used again included
    (RFC 9112, section 9.5); and what this machine is short of is not the server's doing.
    """
    return failure.stale or bool(failure.shortage)


def _in_words(answer: Answer) -> str:
    if isinstance(answer, Response):
        return f"HTTP {answer.status}"
    return answer.message if answer else "no answer"
