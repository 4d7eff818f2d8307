"""What is done about an attempt that went wrong."""

from __future__ import annotations

import math
import time
from random import Random

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import parse_retry_after
from tmux_fanout.core.policy.retry import Again, decide, final_error
from tmux_fanout.core.policy.retry_budget import RetryBudget
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.call import Call


class Retrier:
    """Knows the policy and the budget of one API.

    Args:
        plan: of the API.
        statistics: of the API.
        random: for jitter.
    """

    def __init__(self, plan: ApiPlan, statistics: ApiStatistics, random: Random) -> None:
        self._policy = plan.retry
        self._is_ok = plan.responses.is_ok
        self._statistics = statistics
        self._random = random
        self._budget = RetryBudget(plan.budget_share)
        self._starved_since = self._last_short = -math.inf
        self._received_then = 0

    def __repr__(self) -> str:
        return f"<Retrier: {self._policy}, {self._budget!r}>"

    def verdict(self, call: Call, answer: Response | TransportError) -> ErrorInfo | float | None:
        """What to do now that a call has got this answer.

        Returns:
            None if it is ok; after how many seconds to try again, for which the call is prepared;
            or the error that it ends with.
        """
        if isinstance(answer, Response) and self._is_ok(answer):
            return None
        now = trio.current_time()
        elapsed = now - call.started
        is_short = isinstance(answer, TransportError) and bool(answer.shortage)
        if is_short and elapsed < self._policy.timeout and not self.is_starved():
            call.attempts -= 1  # it has not really begun, but the time of the call runs
            self._statistics.attempts -= 1
            call.trouble = answer
            return 0.0  # it waits for a slot, of which there are fewer now
        verdict = decide(
            self._policy,
            answer,
            attempts=call.attempts,
            elapsed=elapsed,
            jitter=self._random.random(),
            retry_after=_retry_after(answer),
            fresh=call.fresh,
            free=call.free,
        )
        if not isinstance(verdict, Again):
            return verdict
        call.trouble = answer
        call.sent = False
        call.connected_at = call.first_byte_at = 0.0
        call.fresh = verdict.fresh
        if verdict.free:
            call.free += 1
            return verdict.delay
        return max(verdict.delay, self._budget.spend(now, self._statistics.attempts))

    def is_starved(self) -> bool:
        """Whether a shortage has lasted for as long as a call may take, without any response.

        Then calls do not wait for its end, but fail as they do where there is no server.
        """
        now, received = trio.current_time(), self._statistics.bytes_received
        is_another = now - self._last_short > self._policy.timeout
        self._last_short = now
        if is_another or received > self._received_then:
            self._starved_since, self._received_then = now, received
        return now - self._starved_since > self._policy.timeout

    def no_turn(self, call: Call) -> ErrorInfo:
        """The error of a call that waited for its next attempt until its time was over."""
        assert call.trouble is not None  # or it would not have waited
        time = show_duration(self._policy.timeout)
        why = f"the turn for another did not come within the call's {time}"
        return final_error(self._policy, call.trouble, call.attempts, why)


def _retry_after(answer: Response | TransportError) -> float | None:
    if isinstance(answer, TransportError):
        return answer.retry_after
    value = answer.header(b"retry-after")
    return None if value is None else parse_retry_after(value, time.time())
