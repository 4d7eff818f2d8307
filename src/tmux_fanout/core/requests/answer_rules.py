"""The user's own rules on what an answer means: `ok_when`, `retry_on` and `retry_when`.

Many APIs answer 200 and report the failure in the body, or use statuses of their own.  The two
expressions see an answer as `{status, headers, body}`:

    ok_when      of an answer whose status is ok: false means that it is not ok after all, for good
    retry_when   of an answer that is not ok: whether it is worth another attempt
    retry_on     statuses that are, beside the usual ones

None of them can have a request repeated that must not be (`core.policy.answers`).  A response is
judged once, where its attempt ends, and keeps the judgement (`Judged`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import WELL_KNOWN, RateHeaders
from tmux_fanout.core.json_text import NotJSON, decode_spelled
from tmux_fanout.core.policy.answers import (
    Judged,
    Repeatable,
    repeatable,
    repeatable_on_request,
)
from tmux_fanout.core.redaction import redact_response
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.response_body import json_of, text_of
from tmux_fanout.core.text import describe, printable

_EXCERPT = 100  # characters of a body that a message shows


class Decoded(Response, frozen=True, gc=False, kw_only=True):
    """A response that is ok, with the value of its body, so that `select` need not decode it."""

    value: Any


class AnswerRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one API; at least one is given.

    Attributes:
        ok_when: whether an answer with an ok status is ok; None: it is.  If it is not, that is
            final unless the others say that it is worth another attempt.
        retry_on: statuses that are worth another attempt, beside the usual ones.
        retry_when: whether an answer that is not ok is worth another attempt; None: its status
            decides.
        rate_headers: the rate-limit headers that count beside Retry-After; None: no others.
    """

    rate_headers: RateHeaders | None = WELL_KNOWN
    ok_when: Expression | None = None
    retry_on: frozenset[int] = frozenset()
    retry_when: Expression | None = None

    def judge(self, response: Response, *, is_ok: bool) -> Response:
        """Return a response with what the rules say of it: `Judged` if it is not ok.

        Args:
            response: an answer, or one item of the answer to a batch.
            is_ok: whether its status is ok.
        """
        if is_ok:
            return response if self.ok_when is None else self._judge_ok(response, self.ok_when)
        value = None if self.retry_when is None else value_of(response)
        return self._judge_failure(response, value, "status")

    def _judge_ok(self, response: Response, ok_when: Expression) -> Response:
        value = value_of(response)
        try:
            if not ok_when.holds(value):
                why = f"ok_when {describe(ok_when.text)} is not true of {excerpt(response)}"
                return self._judge_failure(response, value, "rejected", why)
        except ExpressionError as exc:
            return _judged(response, Repeatable.NEVER, "decode", str(exc))
        body = value["body"]
        # Text may not be JSON, in which case `select` has to say so.
        return response if isinstance(body, str) else _decoded(response, body)

    def _judge_failure(
        self, response: Response, value: Any, kind: ErrorKind, why: str = ""
    ) -> Judged:
        """Return a response that is not ok with whether its request may be repeated.

        Args:
            response: the response.
            value: what `retry_when` sees, if there is one.
            kind: why it is not ok.
            why: the same for people, or "" if the status says it.
        """
        if self.retry_when is not None:
            try:
                is_worth_it = self.retry_when.holds(value)
            except ExpressionError as exc:
                return _judged(response, Repeatable.NEVER, "decode", why, str(exc))
            rule = repeatable_on_request(response) if is_worth_it else Repeatable.NEVER
        elif response.status in self.retry_on:
            rule = repeatable_on_request(response)
        else:
            is_final = kind == "rejected"
            rule = Repeatable.NEVER if is_final else repeatable(response, self.rate_headers)
        return _judged(response, rule, kind, why)


def _judged(response: Response, rule: Repeatable, kind: ErrorKind, *remarks: str) -> Judged:
    fields = structs.asdict(response)
    fields["never_ok"] = True
    fields["note"] = "; ".join(filter(None, [response.note, *remarks]))
    return Judged(**fields, repeatable=rule, kind=kind)


def _decoded(response: Response, value: Any) -> Decoded:
    return Decoded(**structs.asdict(response), value=value)


def value_of(response: Response) -> dict[str, Any]:
    """Return what expressions over an answer see.

    A body that is not JSON is text, and an empty one null.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, text = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    body: Any
    try:
        body = decode_spelled(json_of(response))
    except (NotJSON, RecursionError):
        body = text_of(response.body, response.headers)
        if body is None:
            body = response.body.decode("utf-8", "replace")
    return {"status": response.status, "headers": headers, "body": body}


def excerpt(response: Response) -> str:
    """Return the beginning of a body for a message."""
    text = text_of(response.body, response.headers)
    if text is None:
        text = response.body[: 4 * _EXCERPT].decode("utf-8", "replace")
    return printable(redact_response(text[: 4 * _EXCERPT]), _EXCERPT) or "an empty body"
