"""The header `traceparent` (W3C Trace Context, https://www.w3.org/TR/trace-context/).

00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 |  trace id                         parent id        flags: sampled
 version
"""

from __future__ import annotations

import re

from tmux_fanout.core.http.messages import Headers, Request, RequestHead

HEADER = "traceparent"
TRACE_ID_SIZE = 16  # bytes
PARENT_ID_SIZE = 8

# A later version may have more fields; 255 is no version.
_VALUE = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NO_TRACE, _NO_PARENT = "0" * 32, "0" * 16


def traceparent(trace_id: str, parent_id: str) -> str:
    """Return the value of the header for an attempt, whose trace is recorded (section 3.2).

    Args:
        trace_id: of the trace, in 32 lower-case hexadecimal digits.
        parent_id: of the attempt, in 16 of them.
    """
    return f"00-{trace_id}-{parent_id}-01"


def trace_id_of(value: str) -> str:
    """Return the trace that a value of the header names; "" if it is not valid (section 3.2.2)."""
    found = _VALUE.fullmatch(value.strip(" \t"))
    if not found or (found[1] == "00" and found[4]):
        return ""
    return "" if found[2] == _NO_TRACE or found[3] == _NO_PARENT else found[2]


def find_traceparent(headers: Headers) -> str | None:
    """Return the value of the header among those of a request; None if it has none."""
    return next((value for name, value in headers if name.lower() == HEADER), None)


def with_traceparent(request: Request, value: str) -> Request:
    """Return a request with the header added."""
    head = request.head
    headers: Headers = (*head.headers, (HEADER, value))
    traced = RequestHead(head.method, head.origin, head.target, headers, False, head.auth)
    return Request(traced, request.body)
