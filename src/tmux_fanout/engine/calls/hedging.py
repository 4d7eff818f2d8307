"""Hedges: second attempts beside first ones that are slow.

The call of a hedge waits at the front of the queue once more while its first attempt is under way.
The hedge holds a slot, and the rate, pauses and breakers apply to it as to any attempt.  The first
of the two to get a response that is not worth a retry settles the call, and the other one is
cancelled.  Where one of them fails, the other is waited for before anything else is tried.

When an attempt is slow, and how many hedges there may be, is decided in `core.policy.hedging`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.histogram import Histogram
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import Repeatable, repeatable
from tmux_fanout.core.policy.hedging import is_affordable, patience
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.alarm import AT_ONCE, Alarm
from tmux_fanout.engine.calls.call import Attempt, Call, PendingRecord
from tmux_fanout.engine.calls.queue import Queue

_LOOKS_PER_DOUBLING = 16  # how often the patience is computed while the number of calls doubles


class Hedger:
    """Decide which calls of an API are hedged, and which of two attempts settles a call.

    Args:
        plan: the API, which has `hedge`.
        queue: takes the calls that are to be hedged.
        nursery: runs the alarm.
        start: starts what may go from the queue.
    """

    def __init__(
        self, plan: ApiPlan, queue: Queue, nursery: trio.Nursery, start: Callable[[], object]
    ) -> None:
        assert plan.hedge is not None  # only made where hedging is wanted
        self._hedge = plan.hedge
        self._is_ok = plan.responses.is_ok
        self._rate_headers = plan.rate_headers
        self._queue = queue
        self._start = start
        self._alarm = Alarm(nursery, self._hedge_due)
        self._due: OrderedDict[Call, float] = OrderedDict()  # when first attempts become slow
        self._waiting: set[Call] = set()  # calls whose hedge was queued and has not begun
        self._head: PendingRecord | None = None
        self._hedges = 0  # queued or begun
        self._firsts = 0  # attempts begun that are no hedges
        self._settled = 0
        self._latency = Histogram()
        self._patience = patience(self._hedge, self._latency)
        self._next_look = 0.0  # number of settled calls at which the patience is computed again

    def __repr__(self) -> str:
        return f"<Hedger: {len(self._due)} watched, {len(self._waiting)} waiting>"

    @property
    def watched(self) -> int:
        """The number of first attempts that get a hedge if they take much longer."""
        return len(self._due)

    @property
    def waiting(self) -> int:
        """The number of hedges that have not begun yet."""
        return len(self._waiting)

    def holds_up(self, call: Call) -> None:
        """Watch the first attempt of a call that the output waits for."""
        if self._hedge == "head":
            self._head = call.pending
            if call.attempt and call.attempts == 1:
                self._watch(call, call.started)

    def begin(self, attempt: Attempt, now: float) -> None:
        """Record that an attempt begins at `now`, and watch it if it may be hedged."""
        call = attempt.call
        if attempt.is_hedge:
            self._waiting.discard(call)
            return
        self._firsts += 1
        if self._hedge != "head" or call.pending is self._head:
            self._watch(call, now)

    def withdraw_attempt(self) -> None:
        """Take back a first attempt that turned out not to have begun."""
        self._firsts -= 1

    def withdraw_hedge(self, call: Call) -> bool:
        """Take back the hedge of a call if it has not begun; return whether there was one."""
        if call not in self._waiting:
            return False
        self._waiting.discard(call)
        self._hedges -= 1
        return True

    def end(self, attempt: Attempt) -> None:
        """Stop watching an attempt, as it has ended."""
        if not attempt.is_hedge:
            self._due.pop(attempt.call, None)

    def settle(self, outcome: Outcome) -> None:
        """Learn from a call how long calls take."""
        self._settled += 1
        if outcome.attempts:
            self._latency.add(outcome.seconds)

    def choose(
        self, attempt: Attempt, answer: Response | TransportError
    ) -> Response | TransportError | None:
        """Return the answer that counts for a call, one of whose attempts has ended.

        Args:
            attempt: the attempt.
            answer: its result.

        Returns:
            The answer; None while the other attempt may still bring a better one.
        """
        call = attempt.call
        if self._is_final(answer):
            return answer
        if attempt.is_hedge:
            return None if call.attempt else call.last_answer
        if call.hedge:
            call.last_answer = answer
            return None
        return answer

    def _is_final(self, answer: Response | TransportError) -> bool:
        """Whether an answer settles a call, whatever the other attempt may bring."""
        if isinstance(answer, TransportError):
            return False
        return self._is_ok(answer) or repeatable(answer, self._rate_headers) is Repeatable.NEVER

    def _watch(self, call: Call, began: float) -> None:
        if self._settled >= self._next_look:
            self._patience = patience(self._hedge, self._latency)
            self._next_look = self._settled * (1 + 1 / _LOOKS_PER_DOUBLING) + 1
        if self._patience < math.inf:
            self._due[call] = began + self._patience
            self._alarm.set(self._next_due())

    def _next_due(self) -> float:
        return next(iter(self._due.values()))

    def _hedge_due(self) -> None:
        now = trio.current_time()
        while self._due and self._next_due() <= now + AT_ONCE:
            call, _ = self._due.popitem(last=False)
            is_under_way = call.attempt and call.attempt.handle  # and was not cancelled
            if is_under_way and not call.hedge and call not in self._waiting:
                self._try_to_hedge(call)
        if self._due:
            self._alarm.set(self._next_due())
        self._start()

    def _try_to_hedge(self, call: Call) -> None:
        if is_affordable(self._hedges, self._firsts):
            self._hedges += 1
            self._waiting.add(call)
            self._queue.add_again(call)
