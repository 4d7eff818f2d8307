"""A job that is submitted, and then asked for until it is done.

The first request submits the job.  Once that was answered, the same call asks for the job with GET,
at a URL that comes from the answer, until the body of a poll says that the job is done, or has
failed.  That body is the body of the outcome.  The job is never submitted again because a poll
failed: polls are repeated by themselves, as any GET is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.core.http.redirects import get_request, resolve
from tmux_fanout.core.json_text import NotJSON, decode_spelled
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.advice.bodies import advise_on_body
from tmux_fanout.core.requests.answer_rules import excerpt, value_of
from tmux_fanout.core.requests.builder import KEY_HEADER, values_of
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.fields import MissingField, as_text, find_field
from tmux_fanout.core.requests.response_body import json_of
from tmux_fanout.core.requests.series.steps import Next
from tmux_fanout.core.requests.url_template import UnsafeExpansion, UrlTemplate
from tmux_fanout.core.text import describe, printable
from tmux_fanout.core.units import show_duration

SUBMITTED, HEADERS = "_submitted", "_headers"
"""What a template sees of the answer to the submission: its body, and its headers by name."""

_OURS = re.compile(rf"(?:{SUBMITTED}|{HEADERS})(?:\..*)?", re.DOTALL)


class PollPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the jobs of one API are asked for.

    Attributes:
        url: the target of polls; or the name of the field that has the URL.
        until: whether a job is done, over the body of a poll.
        failed: whether it has failed; None: that is not known.
        every: seconds between two polls.
        max: seconds from the answer to the submission until the last poll.
        policy: how often a poll is repeated.
        is_idempotent: whether a job may be submitted twice.
        shown: the URL of polls, for `explain`.
    """

    url: UrlTemplate | str
    until: Expression
    failed: Expression | None
    every: float
    max: float
    policy: RetryPolicy
    is_idempotent: bool
    shown: str

    def begin(
        self, request: Request, record: Record, results: Mapping[str, Any] | None = None
    ) -> Poll:
        """Return the series of a call, whose submission was answered.

        Args:
            request: the submission.
            record: that it was made from.
            results: what templates see as `_results`, or None.
        """
        return Poll(self, request.head, record, results)

    @property
    def has_record_in_url(self) -> bool:
        """Whether polls depend on the record, beside the answer to the submission."""
        names = (self.url,) if isinstance(self.url, str) else self.url.names
        return not all(map(_OURS.fullmatch, names))

    def remark_on(self, body: Any) -> str:
        """Return what the body of a poll shows to be wrong with `until` or `failed`, or "".

        A field may be missing until the job is done, but hardly one that is compared.

        Args:
            body: of a poll of a job that is neither done nor has failed.
        """
        for key, expression in (("until", self.until), ("failed", self.failed)):
            missing = expression and expression.missing_in(body)
            if expression and missing:
                advice = advise_on_body(expression.text, missing.path)
                if advice or (key == "until" and "==" in expression.text):
                    what = f"poll.{key} {describe(expression.text)}: the first poll has no field"
                    return printable(f"{what} {missing.path}{advice and '; '}{advice}")
        return ""

    @property
    def summary(self) -> str:
        """What follows the first request, for `explain`."""
        every, limit = show_duration(self.every), show_duration(self.max)
        return f"then GET {self.shown} every {every}, for up to {limit}, until poll.until is true"


class Poll:
    """The polls of one call; see `steps.Series`.

    Args:
        plan: how jobs are asked for.
        head: of the submission.
        record, results: as for `PollPlan.begin`.
    """

    is_paid = True
    noun = "poll"

    def __init__(
        self,
        plan: PollPlan,
        head: RequestHead,
        record: Record,
        results: Mapping[str, Any] | None,
    ) -> None:
        self.policy = plan.policy
        self.before = 0
        self.answer: Response | None = None
        self._plan = plan
        self._head = head
        self._record = record
        self._results = results
        self._request: Request | None = None  # until the submission is answered
        self._ends_at = 0.0
        self._polls = 0
        self.remark = ""
        self._has_failed = False

    def __repr__(self) -> str:
        return f"<Poll: {self._polls}>"

    @property
    def size(self) -> int:
        return 0

    def follow(
        self, answer: Response, now: float, asked_pause: float
    ) -> Next | Response | ErrorInfo:
        if self._request is None:
            request = self._request_for(answer)
            if isinstance(request, ErrorInfo):
                return request
            self._request = request
            self._ends_at = now + self._plan.max
        else:
            is_done = self._is_done(answer)
            if isinstance(is_done, ErrorInfo):
                return is_done
            if is_done:
                return answer
        delay = max(self._plan.every, asked_pause)
        if now + delay > self._ends_at:
            return self._timeout(f"the last answer is {excerpt(answer)}")
        self._polls += 1
        return Next(self._request, delay)

    def _request_for(self, answer: Response) -> Request | ErrorInfo:
        """Return what asks for a job, by the answer to its submission."""
        target = self._target(answer)
        if isinstance(target, ErrorInfo):
            return target
        request = get_request(self._head, target)
        head = request.head
        headers = tuple(each for each in head.headers if each[0] != KEY_HEADER)
        return Request(structs.replace(head, headers=headers), None)

    def _target(self, answer: Response) -> str | ErrorInfo:
        url = self._plan.url
        try:
            value = self._fields(answer)
            if isinstance(url, UrlTemplate):
                return url.expand(value)
            reference = as_text(find_field(value, url), url).strip()
        except MissingField as exc:
            return ErrorInfo("decode", printable(f"poll.url: {_why_missing(exc)}"))
        except (UnsafeExpansion, UnicodeEncodeError, RecursionError) as exc:
            why = str(exc) if isinstance(exc, UnsafeExpansion) else "url: its field cannot be sent"
            return ErrorInfo("decode", f"poll.{why}")
        target = resolve(self._head, reference.encode("utf-8", "surrogatepass"))
        if isinstance(target, str):
            return target
        return ErrorInfo("protocol", target.sentence("poll.url: a URL", "fetched"))

    def _fields(self, answer: Response) -> dict[str, Any]:
        """Return what the template of the URL sees; no record may forge an answer."""
        _, value = values_of(self._record, self._results)
        fields = value if isinstance(value, dict) else {"value": value}
        own = {name: each for name, each in fields.items() if not _OURS.fullmatch(name)}
        seen = value_of(answer)
        return {**own, SUBMITTED: seen["body"], HEADERS: seen["headers"]}

    def _is_done(self, answer: Response) -> bool | ErrorInfo:
        try:
            body = decode_spelled(json_of(answer))
            if self._plan.failed is not None and self._plan.failed.holds(body):
                self._has_failed = True
                rule = describe(self._plan.failed.text)
                return ErrorInfo("rejected", f"poll.failed {rule} is true of {excerpt(answer)}")
            is_done = self._plan.until.holds(body)
            if self._polls == 1 and not is_done:
                self.remark = self._plan.remark_on(body)
            return is_done
        except NotJSON as exc:
            why = f"the response is not JSON, which poll.until needs: {exc}"
        except ExpressionError as exc:
            why = str(exc)
        except RecursionError:
            why = "the response is nested too deeply"
        return ErrorInfo("decode", why)

    def _timeout(self, last: str) -> ErrorInfo:
        limit = show_duration(self._plan.max)
        rule = describe(self._plan.until.text)
        why = f"the job is not done within poll.max = {limit}: until {rule} is not true; {last}"
        return ErrorInfo("timeout", why)

    def why_late(self, time: float) -> ErrorInfo | None:
        return None if time <= self._ends_at else self._timeout("the last poll has failed")

    def describe(self, error: ErrorInfo) -> ErrorInfo:
        is_unknown = not (self._has_failed or self._plan.is_idempotent)
        what = f"poll {self._polls}" if self._polls else "submitted"
        message = f"{what}: {error.message}"
        return structs.replace(error, message=message, ambiguous=error.ambiguous or is_unknown)


def _why_missing(error: MissingField) -> str:
    """Say which field the URL of polls lacks, and whether it was looked for in the record."""
    if _OURS.fullmatch(error.path):
        return f"there is no field {error} in the answer to the submission"
    write = f"write {{{SUBMITTED}.{error.path}}}"
    return f"{error.sentence}; for a field of the answer to the submission, {write}"
