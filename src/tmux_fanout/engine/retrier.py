"""What is done about an attempt that went wrong."""

from __future__ import annotations

import time
from random import Random

import trio

from tmux_fanout.core.budget import RetryBudget
from tmux_fanout.core.errors import CallError, Failure
from tmux_fanout.core.http import Response
from tmux_fanout.core.plan import ApiPlan
from tmux_fanout.core.retry import Again, decide, final_error, parse_retry_after
from tmux_fanout.core.statistics import ApiStatistics
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.call import Call

_SHORTAGE_PAUSE = 0.1  # seconds, in which files may have been closed


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
        self._starved_since: float | None = None
        self._calls_then = 0

    def __repr__(self) -> str:
        return f"<Retrier: {self._policy}, {self._budget!r}>"

    def verdict(self, call: Call, answer: Response | Failure) -> CallError | float | None:
        """What to do now that a call has got this answer.

        Returns:
            None if it is ok; after how many seconds to try again, for which the call is prepared;
            or the error that it ends with.
        """
        if isinstance(answer, Response) and self._is_ok(answer):
            return None
        now = trio.current_time()
        if isinstance(answer, Failure) and answer.shortage and not self._is_starved(now):
            call.attempts -= 1
            self._statistics.attempts -= 1
            return _SHORTAGE_PAUSE * (1 + self._random.random())
        verdict = decide(
            self._policy,
            answer,
            attempts=call.attempts,
            elapsed=now - call.started,
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
        if verdict.fresh:
            call.free += 1
            return verdict.delay
        return max(verdict.delay, self._budget.spend(now, self._statistics.attempts))

    def _is_starved(self, now: float) -> bool:
        """Whether no file could be opened for as long as a call may take, and no call has ended."""
        if self._starved_since is None or self._statistics.calls > self._calls_then:
            self._starved_since, self._calls_then = now, self._statistics.calls
        return now - self._starved_since > self._policy.timeout

    def no_turn(self, call: Call) -> CallError:
        """The error of a call that waited for its next attempt until its time was over."""
        assert call.trouble is not None  # or it would not have waited
        time = show_duration(self._policy.timeout)
        why = f"the turn for another did not come within the call's {time}"
        return final_error(self._policy, call.trouble, call.attempts, why)


def _retry_after(answer: Response | Failure) -> float | None:
    if isinstance(answer, Failure):
        return answer.retry_after
    value = answer.header(b"retry-after")
    return None if value is None else parse_retry_after(value, time.time())
