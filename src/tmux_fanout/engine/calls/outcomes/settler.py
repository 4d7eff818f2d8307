"""Giving calls their outcomes."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.batching import Batcher
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.hedging import Hedger

OutcomeOf = Callable[[Call, Response | TransportError | None, ErrorInfo | None], Outcome]


class Settler:
    """Settle the calls of one API.

    Args:
        plan: the API.
        outcome_of: turns responses into outcomes.
        batcher: divides the results of batches, or None.
        hedger: learns how long calls take, or None.
        statistics: counts outcomes.
        settled: called with each call that has its outcome, and the bytes of its response.
        kept: called with the change in the bytes that calls keep between attempts.

    Attributes:
        outcome_of: as above.
    """

    def __init__(
        self,
        plan: ApiPlan,
        outcome_of: OutcomeOf,
        batcher: Batcher | None,
        hedger: Hedger | None,
        statistics: ApiStatistics,
        *,
        settled: Callable[[Call, int], None],
        kept: Callable[[int], None],
    ) -> None:
        self._name = plan.name
        self._is_idempotent = plan.retry.idempotent
        self.outcome_of = outcome_of
        self._batcher = batcher
        self._hedger = hedger
        self._statistics = statistics
        self._settled = settled
        self._kept = kept

    def __repr__(self) -> str:
        return f"<Settler: {self._name}>"

    def settle(self, call: Call, outcome: Outcome) -> None:
        """Give a call, which is no batch, its outcome."""
        assert call.outcome is None  # a call is settled once
        call.outcome = outcome
        if call.kept:
            self.keep(call, 0)
        call.request = None  # the other calls of the record may take long
        self._statistics.settled(outcome)
        if not outcome.ok:
            self._statistics.failed(outcome, call.pending.record.index)
        if self._hedger:
            self._hedger.settle(outcome)
        self._settled(call, len(outcome.content.json) if outcome.content else 0)

    def settle_with(
        self, call: Call, answer: Response | TransportError | None, error: ErrorInfo | None
    ) -> None:
        """Settle a call, or the members of a batch, with the result of the last attempt.

        Args:
            call: the call.
            answer: the result.
            error: why it is not ok, or None.
        """
        if self._batcher and call.members:
            self.keep(call, 0)
            for member, own, why in self._batcher.divide(call, answer, error):
                self.settle(member, self.outcome_of(member, own, why))
        else:
            self.settle(call, self.outcome_of(call, answer, error))

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        """Settle a call that was stopped, or kept from starting.

        Args:
            call: the call, which may be a member of a batch.
            kind: the kind of its error.
            why: the reason, for the message.
        """
        attempt = call.attempt
        if call.batch and self._batcher:
            self._batcher.catch_up(call, call.batch)
            attempt = call.batch.attempt
        ambiguous = False
        call.ended = trio.current_time()
        if not call.attempts:
            why += "; not sent"
        elif call.last_answer is not None:
            why += f" before attempt {call.attempts + 1}"
        else:
            why += f" during attempt {call.attempts}"
            was_sent = attempt.sent if attempt else call.was_sent
            ambiguous = was_sent and not self._is_idempotent
        self.settle_with(call, call.last_answer, ErrorInfo(kind, why, ambiguous))

    def keep(self, call: Call, size: int) -> None:
        """Count the bytes that a call keeps until its next attempt or its end."""
        self._kept(size - call.kept)
        call.kept = size
