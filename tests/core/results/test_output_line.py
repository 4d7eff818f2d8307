"""Lines of output are read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.json_text import MAX_LEVELS
from tmux_fanout.core.records.framing import Overlong
from tmux_fanout.core.records.parser import RecordParser
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.output_line import Damaged, parse_written

OK = Outcome(True, 200, embed(b'{"a":[1.50,{"kind":"cancelled"}]}'), attempts=1, seconds=0.5)
SKIPPED = Outcome(True, skipped=True)
GOOD = (
    b'{"index":3,"record":1,"ok":true,"results":'
    b'{"a":{"ok":true,"status":200,"body":2,"attempts":1,"seconds":0.5000}}}'
)


def failed(kind: ErrorKind, **more: Any) -> Outcome:
    return Outcome(False, error=ErrorInfo(kind, "why", ambiguous=True), **more)


def written_line(line: bytes, *outcomes: Outcome) -> tuple[bytes, Result]:
    """Return the line of a record with these outcomes of APIs a, b and so on, and their result."""
    names = ["a", "b", "c"][: len(outcomes)]
    (record,) = RecordParser("jsonl", 1 << 24).parse([line])
    result = Result(record, names, outcomes if not record.error else ())
    return envelope_encoder(names)(result).rstrip(b"\n"), result


@pytest.mark.parametrize(
    "outcomes",
    [
        [OK],
        [OK, SKIPPED, failed("status", status=503, content=embed(b"no"), attempts=3)],
        [failed("lost"), failed("deadline"), failed("cancelled", attempts=1)],
        [failed("lost"), failed("template", skipped=True)],
        [Outcome(True, 200, embed(b"\xff"), None, 1, 0.1, {"etag": '"x"'})],
        [Outcome(True, 200, embed(b"1"), None, 1, 0.1, {"set-cookie": ["a=1", "b=2"]}), OK],
    ],
)
def test_all_that_is_asked_for_is_found(outcomes: list[Outcome]) -> None:
    """The line has the record byte for byte, the names in order, and the kinds of the result."""
    line, result = written_line(b'{"n": 1.50, "n": 2}', *outcomes)
    written = parse_written(line)
    assert (written.index, written.ok) == (0, result.ok)
    assert bytes(written.record) == b'{"n": 1.50, "n": 2}'  # type: ignore[arg-type]
    assert written.names == tuple(result.names)
    errors = {name: outcome.error for name, outcome in zip(result.names, outcomes)}
    assert written.kinds == {name: error.kind for name, error in errors.items() if error}
    assert written.failures == result.failures
    assert written.kind == (result.first_error.kind if result.first_error else None)
    stopped = {"cancelled", "deadline"}
    assert written.is_cut_short == bool(stopped & set(written.kinds.values()))


@pytest.mark.parametrize("line", [b'{"a', b"\xff\x00", b"NaN", '"\u2028'.encode(), b'{"\\ud800'])
def test_an_invalid_line_is_found_as_it_was(line: bytes) -> None:
    """An invalid record is there as bytes, from text or base64, and without API names."""
    text, _ = written_line(line, OK)
    written = parse_written(text)
    assert (written.raw_line, written.kind, written.names) == (line, "invalid_record", None)
    assert not written.is_cut_short


def test_a_line_that_was_too_long_is_not_there() -> None:
    """A line that was too long has no bytes."""
    (record,) = RecordParser("jsonl", 5).parse([Overlong(9)])
    written = parse_written(envelope_encoder(["a"])(Result(record, ["a"], ())).rstrip())
    assert (written.raw_line, written.kind) == (b"", "too_large")


@pytest.mark.parametrize(
    "record",
    [
        rb'{"a": "\ud800", "b": "\\ud800 \uD83D\uDE00 \udfff\n"}',
        rb'["\udead", "[[[[[[[[[[", {"\ud800": [[[[[[[[[["]\ud800"]]]]]]]]]]}]',
        b"[" * 400 + b'"]\\""' + b"]" * 400,
    ],
)
def test_what_msgspec_refuses_is_read_all_the_same(record: bytes) -> None:
    """Lone surrogates in a record or body are accepted, as by the json module."""
    surrogate = Outcome(True, 200, embed(b'{"x": "\\udc00"}'), attempts=1)
    line, _ = written_line(record, OK, surrogate, failed("cancelled"))
    written = parse_written(line)
    assert bytes(written.record) == record  # type: ignore[arg-type]
    assert written.names == ("a", "b", "c")
    assert written.is_cut_short


def test_nesting_that_was_just_allowed_is_read_all_the_same() -> None:
    """A body may have the maximum depth, although its line is deeper."""
    deepest = max(n for n in range(100, 12_000, 3) if embed(nested(n)).json.startswith(b"["))
    for depth in range(deepest - 8, deepest + 1):
        body = Outcome(True, 200, embed(nested(depth)), attempts=1)
        record = nested(min(depth, MAX_LEVELS)) + b" "
        line, _ = written_line(record, OK, body)
        assert bytes(parse_written(line).record) == record  # type: ignore[arg-type]


@pytest.mark.parametrize("record", [b"1", b'{"a": "b,"}', b'"\\ud800"'])
@pytest.mark.parametrize("before", [b"", b" ", b"\t\r ", b" " * 20])
@pytest.mark.parametrize("after", [b"", b" ", b"\r\t  "])
def test_white_space_around_a_record_is_a_part_of_it(
    record: bytes, before: bytes, after: bytes
) -> None:
    """White space around a record is part of it, since it is in the line and would be sent."""
    text, _ = written_line(before + record + after, OK)
    assert bytes(parse_written(text).record) == before + record + after  # type: ignore[arg-type]


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"hello",
        b"[1]",
        GOOD[:-1],
        GOOD + GOOD,
        GOOD.replace(b'"index":3', b'"index":"3"'),
        GOOD.replace(b'"record":1,', b""),
        GOOD.replace(b'"record"', b'"recore"'),
        GOOD.replace(b'"status"', b'"statur"'),
        GOOD.replace(b'"ok":true,"results"', b'"results"'),
        GOOD.replace(b'"body":2', b'"body":"\xff"'),
        GOOD.replace(b'"body":2', b'"body":"\\ud800",\x00'),
        GOOD.replace(b'"results"', b'"error":{"kind":"tls","message":""},"results"'),
        GOOD.replace(b'"body":2', b'"error":{"kind":"tlt","message":""}'),
        b'{"index":0,"ok":false}',
        b'{"index":0,"ok":false,"raw":"x"}',
    ],
)
def test_a_damaged_line_is_told(line: bytes) -> None:
    """Invalid JSON, or other keys and values than those of a line, is `Damaged`."""
    with pytest.raises(Damaged):
        parse_written(line)


def test_a_damaged_line_costs_no_more_than_its_length() -> None:
    """Unterminated strings do not take quadratic time."""
    with pytest.raises(Damaged):
        parse_written(b'{"index":0,"record":"\\ud800' + b'\\"' * 1_000_000)


def test_raw_that_is_not_base64_is_told() -> None:
    """An invalid base64 `raw` is `Damaged`."""
    error = b'{"index":0,"ok":false,"error":{"kind":"invalid_record","message":""}'
    line = error + b',"raw":"?","encoding":"base64"}'
    with pytest.raises(Damaged, match="base64"):
        parse_written(line).raw_line  # noqa: B018


@given(st.binary(max_size=50) | st.text(max_size=50).map(lambda text: json.dumps(text).encode()))
def test_any_line_is_found_byte_for_byte(line: bytes) -> None:
    """Whether it was a record or not."""
    line = line.translate(None, b"\n")
    if not line.strip():
        return
    text, result = written_line(line, OK)
    written = parse_written(text)
    found = written.raw_line if result.error else bytes(written.record)  # type: ignore[arg-type]
    assert found == line


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_other_byte_is_damage_or_another_line(index: int, byte: int) -> None:
    """Any bytes give a line or `Damaged`."""
    changed = GOOD[:index] + bytes([byte]) + GOOD[index + 1 :]
    try:
        written = parse_written(changed)
    except Damaged:
        return
    assert json.loads(changed)["index"] == written.index
