"""What the calls of an API send and receive: records into requests, responses into outcomes.

The window counts the bytes of a record, not those of its request.  A request that is large is
therefore dropped while its call waits, and built again when it is needed; what it is built from
does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmux_fanout.core.boundary import internal_error, internal_failure
from tmux_fanout.core.config.dependencies import results_of
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.json_text import Body, encode_json
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.requests.compression.gzip import is_compressed
from tmux_fanout.core.requests.response_body import embed, in_utf8
from tmux_fanout.core.requests.response_reader import is_nothing
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.spending.units import Cost, CostReader
from tmux_fanout.core.uploads.form import Upload
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.wall import Wall, wall_clock

_MAX_WAITING = 4096  # bytes of a request that is kept while its call waits
_EXCERPT = 800  # bytes of a response that a warning may show
_NO_BODY = b"null"  # as the output has it
_SKIPPED = Outcome(True, skipped=True)


class Payloads:
    """Build the requests of one API's calls, and read their responses.

    Args:
        plan: the API.
        statistics: record which settings have had an effect.
        clock: returns seconds since 1970, for `now()`; None: that of the run.

    Attributes:
        are_built: whether requests are built, rather than being the records as they came.
    """

    def __init__(
        self,
        plan: ApiPlan,
        statistics: ApiStatistics,
        clock: Wall | None = None,
    ) -> None:
        self._name = plan.name
        self._after = plan.after
        self._batch = plan.batch
        self._requests = plan.requests
        self._responses = plan.responses
        self._cost = plan.spending.cost if plan.spending else None
        self._statistics = statistics
        self._clock = clock or wall_clock()
        self._unseen_fields = set(plan.requests.fields)
        self._is_plain = self._needs_no_more()
        self._read = self._content_now if plan.responses.tells_time else plan.responses.content
        selects = plan.responses.select is not None
        self._content = self._content_until_found if selects else self._read
        self.are_built = not plan.requests.passes_record

    def __repr__(self) -> str:
        return f"<Payloads: {self._name}>"

    def prepare(self, call: Call) -> Request | Outcome:
        """Build the request of a call, or return the outcome of a call that makes none."""
        results: Mapping[str, Any] | None = None
        if self._after:
            seen = self.results_of(call)
            if isinstance(seen, ErrorInfo):
                return Outcome(False, error=seen, skipped=True)
            results = seen
        if self._requests.tells_time:
            request = self._requests.build(call.pending.record, results, self._time_of(call))
        else:
            request = self._requests.build(call.pending.record, results)
        if isinstance(request, Request):
            return request if self._is_plain else self._prepared(call, request, results)
        if isinstance(request, ErrorInfo):
            self._look_for_fields(call, results)
            return Outcome(False, error=request)
        return _SKIPPED

    def results_of(self, call: Call) -> Mapping[str, Any] | ErrorInfo | None:
        """Return what expressions see as `_results`, or why there is no such thing; or None."""
        if not self._after:
            return None
        # A record drops its calls, and keeps only their outcomes, once all are settled.
        outcomes = [other.outcome for other in call.pending.calls] or call.pending.outcomes
        return results_of(self._after, outcomes)

    def _prepared(
        self, call: Call, request: Request, results: Mapping[str, Any] | None
    ) -> Request | Outcome:
        self._look_for_fields(call, results)
        return self._with_key_and_cost(call, request)

    def _look_for_fields(self, call: Call, results: Mapping[str, Any] | None) -> None:
        """Record which fields of the templates have a value, until all have had one."""
        if self._unseen_fields:
            found = self._requests.fields_of(self._unseen_fields, call.pending.record, results)
            self._unseen_fields -= found
            self._statistics.fields_seen |= found
            self._is_plain = self._needs_no_more()

    def _needs_no_more(self) -> bool:
        """Return whether a request is all that a call needs, now and from now on."""
        return not (self._batch or self._cost or self._unseen_fields)

    def _time_of(self, call: Call) -> float:
        """Return when a request was first built: a repeated one has to be the same."""
        if not hasattr(call, "built"):
            call.built = self._clock()
        return call.built

    def _with_key_and_cost(self, call: Call, request: Request) -> Request | Outcome:
        """Set the key that identifies a call in its batch, and what it will spend."""
        if self._batch:
            key = self._batch.key_of(request)
            if isinstance(key, ErrorInfo):
                return Outcome(False, error=key)
            call.key = key
            if self._batch.measures:
                size = self._batch.size_of(request)
                if isinstance(size, ErrorInfo):
                    return Outcome(False, error=size)
                call.size = size
        if self._cost:
            cost = self._cost_of(self._cost, request)
            if isinstance(cost, ErrorInfo):
                return Outcome(False, error=cost)
            call.cost = cost
        return request

    def _cost_of(self, reader: CostReader, request: Request) -> Cost | ErrorInfo:
        body = request.body
        if isinstance(body, Upload):
            return reader.read(encode_json(body.fields), is_json=True)
        content = None if body is None else request.content
        return reader.read(content, is_json=self._requests.body_format == "json")

    def request_of(self, call: Call) -> Request:
        """Return the request of a queued call or batch, and build it again if it was dropped."""
        if call.request is None:
            call.request = self._rebuilt(call)
        return call.request

    def _rebuilt(self, call: Call) -> Request:
        if self._batch and call.members:
            # The requests of the members are not kept: that of the batch contains them.
            request = self._batch.request([m.request or self._rebuilt(m) for m in call.members])
            if isinstance(request, ErrorInfo):
                raise TransportError(request.kind, request.message, sent=False)
            return request
        prepared = self.prepare(call)
        assert isinstance(prepared, Request)  # as when the call was submitted
        return prepared

    def drop_if_large(self, call: Call) -> int:
        """Drop the request of a call that has to wait, if it is large and was not compressed.

        Returns:
            The bytes of a compressed body, which is kept.
        """
        request = call.request
        if request is None or (request.head.is_shared and request.body is call.pending.record.json):
            return 0
        if isinstance(request.body, Upload):
            return 0  # its next attempt has to send the same files; the rest is as the record is
        head = request.head
        size = 0 if head.is_shared else len(head.target) + sum(len(v) for _, v in head.headers)
        if size + request.size <= _MAX_WAITING:
            return 0
        if is_compressed(request):
            return request.size
        call.request = None
        return 0

    def judge(self, answer: Response) -> Response | TransportError:
        """Return an answer with what the API's rules say of it; an `internal` failure for a bug."""
        try:
            return self._responses.judge(answer)
        except Exception as exc:
            return internal_failure(exc, sent=True)

    def _content_until_found(self, answer: Response) -> Body | ErrorInfo:
        """Return the body to keep, and record whether `select` has found anything, until it has."""
        content = self._read(answer)
        if isinstance(content, Body):
            if is_nothing(content):
                start = in_utf8(answer.body[:_EXCERPT], answer.headers)
                self._statistics.nothing_in = start or _NO_BODY
            else:
                self._statistics.has_found = True
                self._content = self._read
        return content

    def _content_now(self, answer: Response) -> Body | ErrorInfo:
        return self._responses.content(answer, self._clock())

    def outcome_of(
        self, call: Call, answer: Response | TransportError | None, error: ErrorInfo | None
    ) -> Outcome:
        """Return the outcome of a call that ends with `answer`; it is ok if there is no error."""
        elapsed = 0.0
        if call.attempts or call.last_answer is not None:
            elapsed = call.ended - call.started
        if not isinstance(answer, Response):
            return Outcome(False, None, None, error, call.attempts, elapsed)
        try:
            content = self._content(answer) if error is None else self._read(answer)
            if not isinstance(content, Body):
                error, content = content, embed(answer.body, answer.headers)
            headers = self._responses.captured(answer)
        except Exception as exc:
            error = internal_error(exc)
            return Outcome(False, answer.status, None, error, call.attempts, elapsed)
        return Outcome(
            error is None, answer.status, content, error, call.attempts, elapsed, headers
        )
