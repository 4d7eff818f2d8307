"""What an attempt that has ended means for its call.

another attempt of the call may do better    nothing yet
ok                                           its outcome, or its next request (`Sequencer`)
denied                                       held until it is clear whether all are (`Denials`)
anything else                                another attempt, or its outcome (`Retrier`)
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import is_denied
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.attempts import Attempts
from tmux_fanout.engine.calls.call import Answer, Attempt, Call
from tmux_fanout.engine.calls.callers.context import ApiContext, CallerLike
from tmux_fanout.engine.calls.callers.layers import Layers
from tmux_fanout.engine.calls.callers.parts import Parts
from tmux_fanout.engine.calls.outcomes.retrier import Retrier


class Concluder:
    """Settle or retry calls after their attempts, and stop those that are no longer needed.

    Args:
        plan: the API.
        context: what the caller is given.
        parts: of the caller.
        layers: go around the transport, and around the end of each attempt.
        caller: starts calls.

    Attributes:
        attempts: makes the attempts.
        retrier: decides whether there is another one.
    """

    def __init__(
        self,
        plan: ApiPlan,
        context: ApiContext,
        parts: Parts,
        layers: Layers,
        caller: CallerLike,
    ) -> None:
        run, statistics, shared = context.run, context.statistics, context.shared
        self._attempt_timeout = plan.attempt_timeout
        self._timeout = plan.retry.timeout
        self._is_ok = plan.responses.is_ok
        self._payloads = parts.payloads
        self._endpoints = parts.endpoints
        self._queue = parts.queue
        self._slots = parts.slots
        self._batcher = parts.batcher
        self._hedger = parts.hedger
        self._settler = parts.settler
        self._denials = parts.denials
        self._outages = parts.outages
        self._served: Callable[[Call, Response, None], None] = (
            parts.sequencer.served if parts.sequencer else parts.settler.settle_with
        )
        self.attempts = Attempts(
            plan,
            layers.around_transport(context.transport),
            payloads=parts.payloads,
            slots=parts.slots,
            meter=parts.meter,
            endpoints=parts.endpoints,
            hedger=parts.hedger,
            fence=run.fence,
            statistics=statistics,
            nursery=run.nursery,
            alarm=parts.alarm,
            attends=shared is None,
            ended=layers.around_ended(
                self.judge if plan.responses.judges else self.conclude, self._repeat
            ),
            resume=shared.resume if shared else caller.resume,
        )
        self.retrier = Retrier(
            plan,
            run.random,
            attempts=self.attempts,
            endpoints=parts.endpoints,
            queue=parts.queue,
            payloads=parts.payloads,
            batcher=parts.batcher,
            settler=parts.settler,
            statistics=statistics,
            nursery=run.nursery,
            start=caller.start,
        )

    def __repr__(self) -> str:
        return f"<Concluder: {self.attempts!r}, {self.retrier!r}>"

    def judge(self, attempt: Attempt, answer: Answer) -> None:
        """Conclude an attempt of an API that has rules of its own on what answers mean."""
        call = attempt.call
        if isinstance(answer, Response) and call.outcome is None:
            if self._batcher and call.members and self._is_ok(answer):
                self.retrier.settle_items(self._batcher, call, answer)
                return
            answer = self._payloads.judge(answer)
        self.conclude(attempt, answer)

    def conclude(self, attempt: Attempt, answer: Answer) -> None:
        """Settle or retry a call after one of its attempts, unless the other one may do better."""
        if isinstance(answer, TransportError) and answer.shortage and not self.retrier.is_starved():
            self._slots.reduce(answer.shortage)
        call = attempt.call
        if call.outcome is not None:
            return  # lost to others meanwhile
        if answer is None:
            if trio.current_time() < attempt.deadline:
                return  # stopped, as the other attempt of the call has decided what comes next
            answer = self._timed_out(attempt)
        if self._hedger:
            chosen = self._hedger.choose(attempt, answer)
            if chosen is None:
                return
            answer = chosen
            self._stop_attempts(call)
        if isinstance(answer, Response) and self._is_ok(answer):
            self._served(call, answer, None)
        elif isinstance(answer, Response) and is_denied(answer):
            self._denials.hold(attempt, answer)
        else:
            self.retrier.retry_or_fail(call, answer)
            if attempt.is_probe and self._endpoints.are_down:
                self._outages.fail_those_at_fault()

    def _repeat(self, call: Call, answer: Response) -> bool:
        """Make the last attempt of a call once more; see `Retrier.repeat`."""
        self._stop_attempts(call)
        return self.retrier.repeat(call, answer)

    def _timed_out(self, attempt: Attempt) -> TransportError:
        limit, what = self._attempt_timeout, "attempt"
        if attempt.call.used >= self._timeout:
            limit, what = self._timeout, "call"
        message = f"no complete response within the {what}'s timeout of {show_duration(limit)}"
        return TransportError("timeout", message, sent=attempt.sent, transient=True)

    def lose(self, call: Call, why: str) -> None:
        """Settle a call that is no longer needed, and stop its attempts.

        Args:
            call: the call; a batch goes on as long as any of its members is open.
            why: the reason, for the message.
        """
        self._settler.cut_short(call, "lost", why)
        batch = call.batch
        if batch is None:
            self._stop(call)
        elif left := [member.pending for member in batch.members if member.outcome is None]:
            batch.pending = left[0]  # decides whether the batch may start
        else:
            batch.outcome = call.outcome
            self._settler.keep(batch, 0)
            self._stop(batch)

    def _stop(self, call: Call) -> None:
        """Stop everything that a call waits for."""
        self._queue.remove(call)
        self._denials.remove(call)
        call.end_pause()
        self._stop_attempts(call)

    def _stop_attempts(self, call: Call) -> None:
        if self._hedger and self._hedger.withdraw_hedge(call):
            self._queue.remove(call)
        for attempt in (call.attempt, call.hedge):
            if attempt:
                self.attempts.cancel(attempt)
