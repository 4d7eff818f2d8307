"""Giving calls their outcomes."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import Body, embed
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Call


class Settler:
    """Settles the calls of one API, each once.

    Args:
        plan: of the API.
        statistics: where to count.
        settled: called with each call that has got its outcome, and that outcome's bytes.
        kept: called with how many bytes more, or fewer, calls keep between attempts.
    """

    def __init__(
        self,
        plan: ApiPlan,
        statistics: ApiStatistics,
        settled: Callable[[Call, int], None],
        kept: Callable[[int], None],
    ) -> None:
        self.plan = plan
        self._statistics = statistics
        self._settled = settled
        self._kept = kept

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        """Settle a call that was stopped, or kept from starting."""
        ambiguous = False
        call.ended = trio.current_time()
        if not call.attempts:
            why += "; not sent"
        elif call.trouble is not None:
            why += f" before attempt {call.attempts + 1}"
        else:
            why += f" during attempt {call.attempts}"
            ambiguous = call.sent and not self.plan.retry.idempotent
        self._settle_with(call, call.trouble, ErrorInfo(kind, why, ambiguous))

    def _settle_with(
        self, call: Call, answer: Response | TransportError | None, error: ErrorInfo | None
    ) -> None:
        """Settle a call that ends with `answer`, not ok if there is an error."""
        elapsed = 0.0
        if call.attempts or call.trouble is not None:
            elapsed = call.ended - call.started
        if not isinstance(answer, Response):
            outcome = Outcome(False, None, None, error, call.attempts, elapsed)
        else:
            try:
                outcome = self._outcome_of(answer, error, call.attempts, elapsed)
            except Exception as exc:
                error = internal_error(exc)
                outcome = Outcome(False, answer.status, None, error, call.attempts, elapsed)
        self._settle(call, outcome)

    def _outcome_of(
        self, answer: Response, error: ErrorInfo | None, attempts: int, elapsed: float
    ) -> Outcome:
        content = self.plan.responses.content(answer)
        if not isinstance(content, Body):
            error, content = content, embed(answer.body)
        headers = self.plan.responses.captured(answer)
        return Outcome(error is None, answer.status, content, error, attempts, elapsed, headers)

    def _keep(self, call: Call, size: int) -> None:
        """Count the bytes of a response that a call keeps until its next attempt or its end."""
        self._kept(size - call.kept)
        call.kept = size

    def _settle(self, call: Call, outcome: Outcome) -> None:
        assert call.outcome is None
        call.outcome = outcome
        if call.kept:
            self._keep(call, 0)
        if call.slot is None:  # else its attempt has yet to arrive
            call.request = None  # the others of its record may take long
        self._statistics.settled(outcome)
        self._settled(call, len(outcome.content.json) if outcome.content else 0)
