"""Outcomes and results as programs see them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo, Failure
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.outcome import Outcome, Result

INVALID = ErrorInfo("invalid_record", "line 1: not JSON")
OK = Outcome(True, 200, embed(b"1"), None, 1, 0.1)
BAD = Outcome(False, error=ErrorInfo("connect", "refused"), attempts=1)
LATE = Outcome(False, error=ErrorInfo("timeout", "late"), attempts=1)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null]}\n', {"a": [1, 2.5, None]}),
        (b'"text"', "text"),
        (b"text", "text"),
        (b"", None),
        (b"\xff\0", b"\xff\0"),
        (b'"\xff"', b'"\xff"'),
        (b'"//4="', "//4="),
        (b"9" * 400, 10**400 - 1),
        (b"[1e999]", [float("inf")]),
        (b"9" * 5000, float("inf")),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_outcome_body_is_a_python_value(body: bytes, value: Any) -> None:
    """JSON is decoded, text is a str, anything else bytes, and no number raises."""
    assert Outcome(True, 200, embed(body)).body == value


def test_outcome_body_of_no_response_is_none() -> None:
    """Without a response there is no body."""
    assert BAD.body is None


@given(st.binary(max_size=30))
def test_outcome_body_never_raises(body: bytes) -> None:
    """Whatever a server sends, reading it is safe."""
    value = Outcome(True, 200, embed(body)).body
    if isinstance(value, bytes):
        assert value == body


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (Record(0, b'{"a":1e999}', b'{"a":1e999}'), {"a": float("inf")}),
        (Record(0, b"null", b"null"), None),
        (Record(0, b"x", b"", INVALID), b"x"),
        (Record(0, b"[1]", b"[1]", None, (1,)), (1,)),
        (Record(0, b"0", b"0", None, 0), 0),
    ],
    ids=["json", "null", "invalid", "given-value", "given-zero"],
)
def test_result_record_is_what_was_given(source: Record, value: Any) -> None:
    """`record` is the given value, else the decoded record, else its bytes."""
    assert Result(source, ["a"], [OK]).record == value


@pytest.mark.parametrize(
    ("error", "outcomes", "first_error"),
    [
        (None, [OK, OK], None),
        (None, [OK, LATE], LATE.error),
        (None, [BAD, LATE], BAD.error),
        (INVALID, [], INVALID),
    ],
    ids=["ok", "second", "both", "invalid"],
)
def test_result_is_ok_where_every_outcome_is(
    error: ErrorInfo | None, outcomes: list[Outcome], first_error: ErrorInfo | None
) -> None:
    """A record's own error comes first, then that of the first API that failed."""
    result = Result(Record(4, b"1", b"1", error), ["a", "b"], outcomes)
    assert (result.index, result.error) == (4, error)
    assert result.first_error == first_error
    assert result.ok == (first_error is None)
    assert [failure.kind for failure in result.failures][:1] == (
        [first_error.kind] if first_error else []
    )


def test_result_failures_have_what_went_wrong_by_itself() -> None:
    """Each API's failure counts; what is only a consequence of others does so where it is all."""
    busy = Outcome(False, 503, None, ErrorInfo("status", "HTTP 503"), 1)
    backup = Outcome(False, 500, None, ErrorInfo("status", "HTTP 500"), 2, via="d")
    lost = Outcome(False, 200, None, ErrorInfo("lost", "not needed"), 1)
    skipped = Outcome(False, error=ErrorInfo("template", "a is not ok"), skipped=True)
    record, names = Record(0, b"1", b"1"), ["a", "b", "c"]
    assert Result(record, names, [lost, busy, backup]).failures == (
        Failure("b", "status", 503),
        Failure("d", "status", 500),
    )
    assert Result(record, names, [OK, skipped, lost]).failures == (Failure("b", "template"),)
    assert Result(record, names, [OK, OK, OK]).failures == ()
    assert Result(Record(0, b"x", b"", INVALID), names, []).failures == (
        Failure("", "invalid_record"),
    )


def test_result_gives_outcomes_by_name() -> None:
    """Outcomes are found by API name; an unknown name or an invalid record raises KeyError."""
    result = Result(Record(0, b"1", b"1"), ["a", "b"], [OK, BAD])
    assert (result["a"], result["b"]) == (OK, BAD)
    with pytest.raises(KeyError, match="c: there is no such API; there are a, b"):
        result["c"]
    invalid = Result(Record(0, b"x", b"", INVALID), ["a"], [])
    with pytest.raises(KeyError, match="a: not called, line 1: not JSON"):
        invalid["a"]


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (OK, "<Outcome: 200 in 0.100 s>"),
        (
            Outcome(True, 200, embed(b"9" * 999), None, 3, 2.0),
            "<Outcome: 200 in 2.000 s after 3 attempts>",
        ),
        (BAD, "<Outcome: connect: refused>"),
        (
            Outcome(False, 503, None, ErrorInfo("status", "HTTP 503 after 2 attempts"), 2, 1.0),
            "<Outcome: 503 after 2 attempts: HTTP 503 after 2 attempts>",
        ),
        (Outcome(True, skipped=True), "<Outcome: skipped>"),
    ],
    ids=["ok", "retried", "failed", "status", "skipped"],
)
def test_outcome_repr_is_short(outcome: Outcome, shown: str) -> None:
    """The repr tells what came and why, but never a body."""
    assert repr(outcome) == shown


def test_result_repr_is_short() -> None:
    """The repr of a result has a few words for each API, and neither record nor body."""
    busy = Outcome(False, 503, embed(b"x" * 999), ErrorInfo("status", "HTTP 503"), 3, 1.0)
    skipped = Outcome(True, skipped=True)
    record = Record(17, b"1" * 999, b"1" * 999)
    result = Result(record, ["a", "b", "c", "d"], [OK, busy, LATE, skipped])
    shown = "<Result 17: not ok, a 200 in 0.100 s, b 503 after 3 attempts, c timeout, d skipped>"
    assert repr(result) == shown
    assert repr(Result(record, ["a"], [OK])) == "<Result 17: ok, a 200 in 0.100 s>"
    invalid = Result(Record(2, b"x", b"", INVALID), ["a"], [])
    assert repr(invalid) == "<Result 2: not ok, invalid_record>"


def test_response_header_is_the_first_of_its_name() -> None:
    """A header that is not there is None."""
    response = Response(200, [(b"a", b"1"), (b"retry-after", b"2"), (b"a", b"3")], b"", 0)
    assert response.header(b"a") == b"1"
    assert response.header(b"retry-after") == b"2"
    assert response.header(b"b") is None
