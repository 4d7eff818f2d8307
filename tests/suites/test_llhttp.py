"""Native's parser on llhttp's own tests, if these are available.

`TMUX_FANOUT_LLHTTP_TESTS` names the folder `test` of a checkout of nodejs/llhttp.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from suites.llhttp import Case, cases

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.native.parser import ResponseParser

FOLDER = os.environ.get("TMUX_FANOUT_LLHTTP_TESTS", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="TMUX_FANOUT_LLHTTP_TESTS is not set")
CASES = cases(Path(FOLDER)) if FOLDER else {}

LAX = "as lax as curl and Go"
NOT_HTTP = "a response is HTTP/1.1 or HTTP/1.0"
CODING = "no transfer coding but chunked, once"
EXCESS = "whatever comes after the end is refused, once it has come"
# Intentional differences, with reasons; see docs/reference/http-differences.md.
DIFFERENCES = {
    "connection: HTTP/1.1 with keep-alive disabled and 204 status": EXCESS,
    "connection: HTTP/1.1 with keep-alive disabled, content-length": EXCESS,
    "connection: HTTP/1.1 with keep-alive disabled, content-length (lenient)": EXCESS,
    "content-length: Content-Length reset when no body is received": "they answer HEAD",
    "invalid: Bare CR after response line (lenient)": "a bare CR is refused",
    "invalid: Extra space between HTTP version and status code": LAX,
    "invalid: Invalid space after start line": "it is refused once the line is whole",
    "invalid: Only LFs present and no body": LAX,
    "invalid: Only LFs present": LAX,
    "lenient-version: Invalid HTTP version (lenient)": NOT_HTTP,
    "sample: RTSP response": NOT_HTTP,
    "sample: ICE response": NOT_HTTP,
    "sample: No carriage ret": LAX,
    "sample: HTTP version 0.9": NOT_HTTP,
    "transfer-encoding: Trailing space on chunked body": LAX,
    "transfer-encoding: `chunked` before other transfer-encoding": CODING,
    "transfer-encoding: multiple transfer-encoding where chunked is not the last one": CODING,
    "transfer-encoding: `chunkedchunked` transfer-encoding does not enable chunked enconding": (
        CODING
    ),
    "transfer-encoding: No extension after semicolon": LAX,
    "transfer-encoding: Unbalanced chunk extensions quoting": LAX,
    "transfer-encoding: Invalid OBS fold after chunked value": CODING,
}


@pytest.mark.parametrize("name", CASES)
def test_parser_agrees_with_llhttp_or_knows_why_not(name: str) -> None:
    """Status, body and end of the first response are the same, in one piece and byte by byte."""
    case = CASES[name]
    whole = outcome([case.data])
    assert outcome([case.data[at : at + 1] for at in range(len(case.data))]) == whole
    assert (whole == expected(case)) != (name in DIFFERENCES)


def expected(case: Case) -> tuple[str, int, bytes]:
    if case.end == "refused" or case.goes_on:
        return "refused", 0, b""
    return case.end, case.status, case.body


def outcome(pieces: list[bytes]) -> tuple[str, int, bytes]:
    parser = ResponseParser(10_000)
    parser.start("GET")
    try:
        for piece in pieces:
            parser.feed(piece)
    except TransportError:
        return "refused", 0, b""
    return (
        "complete" if parser.message.complete else "unfinished",
        parser.message.status,
        parser.take_body(),
    )
