"""The spans of calls, for OpenTelemetry; see `core.tracing.spans` for what they are.

A span is passed on once it has ended.  Its parent may end later, but has its id from the beginning.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

import trio

from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.join import JoinPolicy
from tmux_fanout.core.tracing.spans import Span, SpanId, Value, attempt_attributes, error_of
from tmux_fanout.core.tracing.traceparent import PARENT_ID_SIZE, TRACE_ID_SIZE
from tmux_fanout.engine.calls.call import Answer, Attempt, Call, PendingRecord
from tmux_fanout.engine.calls.outcomes.timings import Ended

Settled = Callable[[Call, int], None]
Export = Callable[[Span], None]


class Spans:
    """Passes on the spans of a run.

    Args:
        export: takes them.
        urandom: returns as many random bytes as asked for.
        clock: returns seconds since 1970.
    """

    def __init__(
        self,
        export: Export,
        urandom: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._export = export
        self._urandom = urandom
        self._since_1970 = clock() - trio.current_time()

    def __repr__(self) -> str:
        return f"<Spans for {self._export!r}>"

    def of_attempts(self, ended: Ended) -> Ended:
        """Return a function that passes on an attempt that has ended, and calls `ended`."""

        def pass_on(attempt: Attempt, answer: Answer) -> None:
            if hasattr(attempt, "span_id"):  # else it was cancelled before it began
                self._pass_on_attempt(attempt, answer)
            ended(attempt, answer)

        return pass_on

    def _pass_on_attempt(self, attempt: Attempt, answer: Answer) -> None:
        call, request = attempt.call, attempt.request
        assert request is not None  # it was sent
        attributes = attempt_attributes(request, call.attempts)
        error = error_of(answer)
        if answer is None and call.ended >= attempt.deadline:
            error = "timeout"
        if error:
            attributes["error.type"] = error
        if isinstance(answer, Response):
            attributes["http.response.status_code"] = answer.status
        trace = call.trace_id or self._trace_of(call.pending)
        parent = None if call.members else SpanId(trace, self._id_of(call))
        self._pass_on(
            Span(
                request.head.method,
                SpanId(trace, attempt.span_id),
                parent,
                attempt.began,
                call.ended,
                attributes,
                error,
                is_client=True,
            )
        )
        for each in call.members:
            each.span_id = attempt.span_id  # what they link to

    def of_calls(self, name: str, settled: Settled) -> Settled:
        """Return a function that passes on a call that is settled, and calls `settled`.

        Args:
            name: of the API.
            settled: called with each call that has its outcome.
        """

        def pass_on(call: Call, size: int) -> None:
            if hasattr(call, "trace_id") and call.outcome is not None:  # it was sent
                self._pass_on_call(name, call)
            settled(call, size)

        return pass_on

    def _pass_on_call(self, name: str, call: Call) -> None:
        pending, outcome = call.pending, call.outcome
        assert outcome is not None
        trace, own, link = self._trace_of(pending), self._id_of(call), None
        if call.trace_id and call.trace_id != trace:  # that of a batch, or of the user's own header
            link = SpanId(call.trace_id, own)
            own = self._urandom(PARENT_ID_SIZE).hex()
        pending.began = min(getattr(pending, "began", math.inf), call.started)
        error = outcome.error.kind if outcome.error else ""
        attributes: dict[str, Value] = {
            "tmux_fanout.api": name,
            "tmux_fanout.attempts": call.attempts,
        }
        if error:
            attributes["error.type"] = error
        self._pass_on(
            Span(
                f"call {name}",
                SpanId(trace, own),
                SpanId(trace, self._id_of(pending)),
                call.started,
                call.ended,
                attributes,
                error,
                link=link,
            )
        )

    def of_records(self, join: JoinPolicy, settled: Settled) -> Settled:
        """Return a function that calls `settled`, and passes on a record that is complete then.

        Args:
            join: decides whether a record is ok.
            settled: called with each call that has its final outcome.
        """

        def pass_on(call: Call, size: int) -> None:
            settled(call, size)
            pending = call.pending
            if pending.complete and hasattr(pending, "began"):
                self._pass_on_record(pending, is_ok=join.is_ok(pending.outcomes))

        return pass_on

    def _pass_on_record(self, pending: PendingRecord, *, is_ok: bool) -> None:
        error = ""
        if not is_ok:
            found = (outcome.error.kind for outcome in pending.outcomes if outcome.error)
            error = next(found, "")
        attributes: dict[str, Value] = {
            "tmux_fanout.record.index": pending.record.index,
        }
        if error:
            attributes["error.type"] = error
        own = SpanId(self._trace_of(pending), self._id_of(pending))
        now = trio.current_time()
        self._pass_on(Span("record", own, None, pending.began, now, attributes, error))

    def _id_of(self, owner: Call | PendingRecord) -> str:
        if not hasattr(owner, "span_id"):
            owner.span_id = self._urandom(PARENT_ID_SIZE).hex()
        return owner.span_id

    def _trace_of(self, pending: PendingRecord) -> str:
        if not hasattr(pending, "trace_id"):
            pending.trace_id = self._urandom(TRACE_ID_SIZE).hex()
        return pending.trace_id

    def _pass_on(self, span: Span) -> None:
        """Pass on a span whose times are those of trio's clock."""
        began, ended = span.began + self._since_1970, span.ended + self._since_1970
        self._export(span._replace(began=began, ended=ended))
