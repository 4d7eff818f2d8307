"""Spans of OpenTelemetry: what a record, a call and an attempt look like in a trace.

    record                      from its first request to its last outcome
      call of API x             from its first attempt to its outcome
        POST                    an attempt, as an HTTP client sees it
        POST
      call of API y
        POST

A batch is a trace of its own, of attempts only; the calls of its records link to the last of them.
Names and attributes are those of the semantic conventions for HTTP clients
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/), where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.redaction import redact_url

Value = str | int | bool


class SpanId(NamedTuple):
    """A span and its trace, in hexadecimal digits."""

    trace: str
    span: str


class Span(NamedTuple):
    """Something that took time.

    Attributes:
        name: what it was.
        id: its own.
        parent: what it was a part of, or None.
        began, ended: when, in seconds since 1970.
        attributes: what else is known of it.
        error: why it failed, as in the attribute `error.type`; "" if it did not.
        is_client: whether it is a request to a server.
        link: the span that it shares with others, or None.
    """

    name: str
    id: SpanId
    parent: SpanId | None
    began: float
    ended: float
    attributes: Mapping[str, Value]
    error: str = ""
    is_client: bool = False
    link: SpanId | None = None


def attempt_attributes(request: Request, attempt: int) -> dict[str, Value]:
    """Return what a request says of an attempt.

    Args:
        request: as it is sent.
        attempt: its number among those of the call, from 1.
    """
    head = request.head
    attributes: dict[str, Value] = {
        "http.request.method": head.method,
        "url.full": redact_url(head.url),
        "server.address": head.origin.socket or head.origin.host,
    }
    if not head.origin.socket:
        attributes["server.port"] = head.origin.port
    if attempt > 1:
        attributes["http.request.resend_count"] = attempt - 1
    return attributes


def error_of(answer: Response | TransportError | None) -> str:
    """Return why an attempt failed: a status from 400 on, or a kind of error; "" if it did not."""
    if answer is None:
        return "cancelled"
    if isinstance(answer, TransportError):
        return answer.kind
    return str(answer.status) if answer.status >= 400 else ""
