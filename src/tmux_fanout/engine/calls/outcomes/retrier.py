"""What follows an attempt that is not ok: another one, or the outcome of the call.

A call that has to wait before its next attempt makes way for others: it sleeps in a task of its
own, without a slot, and then returns to the front of the queue.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import trio

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import Says, says
from tmux_fanout.core.policy.retry import Retry, decide
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.report.waits import NOTEWORTHY, Wait
from tmux_fanout.engine.calls.attempts import Attempts
from tmux_fanout.engine.calls.batching import Batcher
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.outcomes.settler import Settler
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.queue import Queue


class Retrier:
    """Retry the failed calls of one API, or settle them.

    Args:
        plan: the API.
        random: for jitter.
        attempts: makes the attempts.
        endpoints: know what they refused and served.
        queue: takes the calls that are due again.
        payloads: drops large requests while calls wait.
        batcher: halves batches, or None.
        settler: settles the calls that are not retried.
        statistics: counts the time spent backing off.
        nursery: runs the tasks of the calls that wait.
        start: starts what may go from the queue.
    """

    def __init__(
        self,
        plan: ApiPlan,
        random: Random,
        *,
        attempts: Attempts,
        endpoints: Endpoints,
        queue: Queue,
        payloads: Payloads,
        batcher: Batcher | None,
        settler: Settler,
        statistics: ApiStatistics,
        nursery: trio.Nursery,
        start: Callable[[], object],
    ) -> None:
        self._policy = plan.retry
        self._fallback = plan.fallback
        self._timeout = plan.retry.timeout
        self._random = random
        self._attempts = attempts
        self._queue = queue
        self._payloads = payloads
        self._batcher = batcher
        self._settler = settler
        self._statistics = statistics
        self._nursery = nursery
        self._start = start
        self._endpoints = endpoints
        self._rate_headers = plan.rate_headers
        self._max_pause = plan.max_pause
        self._due: dict[Call, float] = {}  # when each call that waits goes back to the queue
        self._starved_since = self._last_short = -math.inf
        self._responses_then = 0

    def __repr__(self) -> str:
        return f"<Retrier: {self._policy}>"

    def retry_or_fail(
        self, call: Call, answer: Response | TransportError, jitter: float | None = None
    ) -> None:
        """Prepare another attempt of a call, or settle it as not ok.

        Args:
            call: the call.
            answer: the result of its last attempt, which is not ok.
            jitter: a number from 0 to 1, the same for members of a batch that are to be retried
                together; None: a new one.
        """
        if call.members and self._split(call, answer):
            return
        if isinstance(answer, TransportError) and answer.shortage and self._waits_out(call):
            self._attempts.withdraw(call)
            self._retry(call, answer, 0.0)
            return
        if self._batcher and call.members and self._batcher.is_mixed(call):
            self._part(self._batcher, call, answer)
            return
        decision: Retry | ErrorInfo
        try:
            decision = self.decide(call, answer, jitter)
        except Exception as exc:
            decision = internal_error(exc)
        if isinstance(decision, Retry):
            call.needs_fresh = decision.fresh
            call.failures += decision.counts
            if decision.is_timed:
                call.used += decision.delay
            self._retry(call, answer, decision.delay)
        else:
            if call.refusals:
                self._endpoints.acquit(call)
            if not call.was_sent and decision.kind == "template":
                self._attempts.withdraw(call)  # there was no request
            self._settler.settle_with(call, answer, decision)

    def repeat(self, call: Call, answer: Response) -> bool:
        """Make the last attempt of a call once more, unless the time of the call is over.

        It does not count as another one.
        """
        if call.used >= self._timeout:
            return False
        self._attempts.withdraw(call)
        self._retry(call, answer, 0.0)
        return True

    def _split(self, batch: Call, answer: Response | TransportError) -> bool:
        """Replace a refused batch by its halves; return whether it has any."""
        if self._batcher is None or batch.used >= self._timeout:
            return False
        halves = self._batcher.halves(batch, answer)
        for half in halves:
            self._nursery.start_soon(self._pause, half, 0.0)
        return bool(halves)

    def _part(self, batcher: Batcher, batch: Call, answer: Response | TransportError) -> None:
        """Retry or fail each member of a batch that failed as a whole."""
        self._settler.keep(batch, 0)
        jitter = self._random.random()
        for member, _, _ in batcher.divide(batch, None, None):
            self.retry_or_fail(member, answer, jitter)

    def settle_items(self, batcher: Batcher, batch: Call, answer: Response) -> None:
        """Settle or retry each member of a batch as the API's rules say of its own item.

        The members that are retried wait equally long, so that they can share a batch again.

        Args:
            batcher: takes the batch apart.
            batch: the batch.
            answer: the result of its last attempt; the status is ok.
        """
        self._settler.keep(batch, 0)
        jitter = self._random.random()
        for member, own, error in batcher.divide(batch, answer, None):
            item = self._payloads.judge(own) if isinstance(own, Response) and not error else own
            is_ok = isinstance(item, Response) and not item.never_ok
            if item is not None and error is None and not is_ok:
                self.retry_or_fail(member, item, jitter)
            else:
                self._settler.settle(member, self._settler.outcome_of(member, item, error))

    def decide(
        self, call: Call, answer: Response | TransportError, jitter: float | None = None
    ) -> Retry | ErrorInfo:
        """Decide between another attempt and the error that the call ends with."""
        now = trio.current_time()
        asked = answer.retry_after if isinstance(answer, TransportError) else call.asked_pause
        series = call.series
        decision = decide(
            self._policy if series is None else series.policy,
            answer,
            attempts=call.tries,
            used=call.used,
            jitter=self._random.random() if jitter is None else jitter,
            failures=call.failures,
            refusals=call.refusals,
            is_refusal=says(answer, self._rate_headers) is Says.REFUSES,
            evidence=self._endpoints.evidence(call, now, self._queue.remaining(now)),
            retry_after=min(asked or 0.0, self._max_pause),
            fresh=call.needs_fresh,
            has_fallback=bool(self._fallback and self._fallback.takes(answer, call.attempts)),
        )
        if series is not None and isinstance(decision, Retry):
            return series.why_late(now + decision.delay) or decision
        return decision

    def _retry(self, call: Call, answer: Response | TransportError, delay: float) -> None:
        """Make another attempt in `delay` seconds; the call keeps its last answer until then."""
        call.last_answer = answer
        kept = self._payloads.drop_if_large(call)
        if isinstance(answer, Response):
            kept += len(answer.body)
        if kept:
            self._settler.keep(call, kept)
        self._nursery.start_soon(self._pause, call, delay)

    async def _pause(self, call: Call, delay: float) -> None:
        """Return a call to the front of the queue after a pause."""
        if call.outcome is None:
            self._statistics.spent.backing_off += delay
        self._due[call] = trio.current_time() + delay
        try:
            is_queued = await self._queue.pause(call, delay)
        finally:
            del self._due[call]
        if is_queued:
            self._start()

    def describe_wait(self, now: float) -> Wait | None:
        """Return for the live display how long the calls back off; None if not for long."""
        seconds = min(self._due.values(), default=now) - now
        if seconds < NOTEWORTHY:
            return None
        return Wait("retry", self._endpoints.last_failure(), seconds, calls=len(self._due))

    def _waits_out(self, call: Call) -> bool:
        """Return whether a call that met a shortage on this machine waits until that is over."""
        return call.used < self._timeout and not self.is_starved()

    def is_starved(self) -> bool:
        """Record a shortage on this machine; return whether it has lasted too long.

        Too long is the time that a call may take, without any response.  From then on calls do not
        wait for its end, but fail as they do where there is no server.
        """
        now, responses = trio.current_time(), self._attempts.responses
        is_another = now - self._last_short > self._timeout
        self._last_short = now
        if is_another or responses > self._responses_then:
            self._starved_since, self._responses_then = now, responses
        return now - self._starved_since > self._timeout
