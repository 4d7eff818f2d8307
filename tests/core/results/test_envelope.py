"""Lines of output: the contract's bytes, one line per record, and nothing touched on the way."""

import base64
import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.envelope import encode_error, encode_outcome, envelope_encoder
from tmux_fanout.core.results.outcome import Outcome, Result

KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)


def record(raw: bytes, index: int = 0) -> Record:
    return Record(index, raw, raw)


def encode(source: Record, **outcomes: Outcome) -> bytes:
    names = list(outcomes)
    return envelope_encoder(names)(Result(source, names, list(outcomes.values())))


def pairs(line: bytes) -> Any:
    """A line's value with objects as lists of pairs, so that order and doubles can be seen."""
    return json.loads(line, object_pairs_hook=list, parse_int=str, parse_float=str)


def test_envelope_of_an_ok_record_is_the_contracts_first_example() -> None:
    """The line has exactly these bytes."""
    outcome = Outcome(True, 200, Body(b'{"score":0.9}'), None, 1, 0.0123)
    assert encode(record(b'{"id":1,"text":"hi"}'), a=outcome) == (
        b'{"index":0,"record":{"id":1,"text":"hi"},"ok":true,"results":{"a":{"ok":true,'
        b'"status":200,"body":{"score":0.9},"attempts":1,"seconds":0.0123}}}\n'
    )


def test_envelope_of_a_failed_record_is_the_contracts_second_example() -> None:
    """To the byte, but for the fourth decimal of the seconds, which is always there."""
    error = ErrorInfo("status", "HTTP 503 after 3 attempts")
    outcome = Outcome(False, 503, embed(b"overloaded"), error, 3, 1.204)
    assert encode(record(b'{"id":2}', 1), a=outcome) == (
        b'{"index":1,"record":{"id":2},"ok":false,"results":{"a":{"ok":false,"status":503,'
        b'"body":"overloaded","error":{"kind":"status","message":"HTTP 503 after 3 attempts"},'
        b'"attempts":3,"seconds":1.2040}}}\n'
    )


def test_envelope_of_an_invalid_record_is_the_contracts_third_example() -> None:
    """The line has exactly these bytes."""
    error = ErrorInfo("invalid_record", "line 3: not JSON: ...")
    assert encode(Record(2, b'{"id": 3', b"", error)) == (
        b'{"index":2,"ok":false,"error":{"kind":"invalid_record",'
        b'"message":"line 3: not JSON: ..."},"raw":"{\\"id\\": 3"}\n'
    )


@pytest.mark.parametrize(
    ("outcome", "encoded"),
    [
        pytest.param(
            Outcome(True, 204, Body(b'""'), None, 1, 2.0),
            b'{"ok":true,"status":204,"body":"","attempts":1,"seconds":2.0000}',
            id="empty",
        ),
        pytest.param(
            Outcome(True, 200, embed(b"\xff\xfe"), None, 1, 0.00004),
            b'{"ok":true,"status":200,"body":"//4=","encoding":"base64","attempts":1,'
            b'"seconds":0.0000}',
            id="base64",
        ),
        pytest.param(
            Outcome(False, error=ErrorInfo("connect", "refused"), attempts=3, seconds=1.5),
            b'{"ok":false,"error":{"kind":"connect","message":"refused"},"attempts":3,'
            b'"seconds":1.5000}',
            id="no-response",
        ),
        pytest.param(
            Outcome(False, error=ErrorInfo("timeout", "late", True), attempts=1, seconds=60.0),
            b'{"ok":false,"error":{"kind":"timeout","message":"late","ambiguous":true},'
            b'"attempts":1,"seconds":60.0000}',
            id="ambiguous",
        ),
        pytest.param(
            Outcome(False, 500, embed(b"\xff"), ErrorInfo("status", "HTTP 500", True), 1, 0.25),
            b'{"ok":false,"status":500,"body":"/w==","encoding":"base64","error":{"kind":"status",'
            b'"message":"HTTP 500","ambiguous":true},"attempts":1,"seconds":0.2500}',
            id="everything",
        ),
        pytest.param(
            Outcome(False, error=ErrorInfo("deadline", "not sent")),
            b'{"ok":false,"error":{"kind":"deadline","message":"not sent"},"attempts":0,'
            b'"seconds":0.0000}',
            id="never-sent",
        ),
    ],
)
def test_encode_outcome_has_the_keys_that_apply_in_contract_order(
    outcome: Outcome, encoded: bytes
) -> None:
    """Keys appear in the documented order, without those that have no value."""
    assert encode_outcome(outcome) == encoded


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b"", b""),
        (b"NaN", b',"raw":"NaN"'),
        (b'\x00\t"\\\x7f', b',"raw":"\\u0000\\t\\"\\\\\x7f"'),
        ("ü\u2028".encode(), ',"raw":"ü\u2028"'.encode()),
        (b"\xff{}", b',"raw":"/3t9","encoding":"base64"'),
    ],
    ids=["too-large", "text", "controls", "unicode", "not-utf-8"],
)
def test_envelope_shows_an_invalid_line_as_it_was(raw: bytes, fields: bytes) -> None:
    """`raw` is a string, or base64 if it is not text; it is absent if the line was too long."""
    line = encode(Record(7, raw, b"", ErrorInfo("invalid_record", "no")))
    error = b'{"kind":"invalid_record","message":"no"}'
    assert line == b'{"index":7,"ok":false,"error":' + error + fields + b"}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_encode_error_has_every_kind_of_the_contract(kind: ErrorKind) -> None:
    """Kinds are written as they are called."""
    assert encode_error(ErrorInfo(kind, "x")) == b'{"kind":"%b","message":"x"}' % kind.encode()


def test_error_kinds_are_those_of_the_contract() -> None:
    """Users' scripts rely on these names, so none disappears and none is added unnoticed."""
    kinds = "invalid_record template connect tls timeout protocol status rejected too_large decode"
    assert " ".join(KINDS) == f"{kinds} breaker_open lost cancelled deadline internal"


def test_envelope_results_are_in_configuration_order_under_any_name() -> None:
    """API names are encoded as JSON strings, in the order of the configuration."""
    ok = Outcome(True, 200, Body(b"1"), None, 1, 0.1)
    names = ['z"\\', "Überblick", "a"]
    line = envelope_encoder(names)(Result(record(b"1"), names, [ok, ok, ok]))
    assert [name for name, _ in dict(pairs(line))["results"]] == names


texts = st.text(st.sampled_from('\0\x1b\x7f\x85\u2028\u202e\U0001f600"\\/\t\r\nab'), max_size=8)
numbers = st.sampled_from(["0", "-0", "1.00", "1E+5", "1e999", "9" * 400, "0.1000000000000000055"])
json_texts = st.recursive(
    st.sampled_from(["null", "true", "false"]) | numbers | texts.map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{' , '.join(items)}]")
        | st.lists(st.tuples(texts.map(json.dumps), inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{key} :{value}" for key, value in items) + "}"
        )
    ),
    max_leaves=8,
).map(lambda text: f" {text}\t".encode())
errors = st.builds(ErrorInfo, st.sampled_from(KINDS), texts, st.booleans())
outcomes = st.builds(
    lambda body, error, attempts, seconds: Outcome(
        error is None, 200 if body is not None else None, body, error, attempts, seconds
    ),
    st.none() | (json_texts | st.binary(max_size=9)).map(embed),
    st.none() | errors,
    st.integers(0, 10**6),
    st.floats(0, 1e9),
)
CONTRACT_ORDER = ["ok", "status", "body", "encoding", "error", "attempts", "seconds"]


@given(json_texts, st.integers(0, 10**12), st.lists(outcomes, min_size=1, max_size=3))
def test_envelope_passes_records_and_bodies_byte_for_byte(
    raw: bytes, index: int, made: list[Outcome]
) -> None:
    """Any record and outcomes give one line of JSON, keys in order, the record as it was."""
    names = [f"api {number}" for number in range(len(made))]
    result = Result(record(raw, index), names, made)
    line = envelope_encoder(names)(result)
    assert line.startswith(b'{"index":%d,"record":%b,"ok":' % (index, raw))
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    fields = pairs(line)
    assert [key for key, _ in fields] == ["index", "record", "ok", "results"]
    assert dict(fields)["record"] == pairs(raw)
    assert dict(fields)["ok"] == result.ok
    assert [name for name, _ in dict(fields)["results"]] == names
    for (_, outcome), origin in zip(dict(fields)["results"], made):
        keys = [key for key, _ in outcome]
        assert keys == [key for key in CONTRACT_ORDER if key in keys]
        assert {"ok", "attempts", "seconds"} <= set(keys)
        assert ("error" in keys) == (not dict(outcome)["ok"])
        assert float(dict(outcome)["seconds"]) == pytest.approx(origin.seconds, abs=6e-5)
        if origin.content:
            assert b'"body":%b' % origin.content.json in line
            assert dict(outcome)["body"] == pairs(origin.content.json)


@given(st.binary(max_size=20), texts)
def test_envelope_of_any_invalid_line_can_be_had_back(raw: bytes, message: str) -> None:
    """Any input line is in the output line, which is valid JSON."""
    line = encode(Record(0, raw, b"", ErrorInfo("invalid_record", message)))
    assert line.count(b"\n") == 1
    fields = dict(pairs(line))
    assert list(fields)[:3] == ["index", "ok", "error"]
    assert dict(fields["error"])["message"] == message
    if fields.get("encoding"):
        assert base64.b64decode(fields["raw"]) == raw
    else:
        assert fields.get("raw", "").encode() == raw
