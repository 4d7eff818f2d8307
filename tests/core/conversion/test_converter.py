"""Envelopes in another form are what the run would have written in that form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from tmux_fanout.core.conversion.converter import LineConverter
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.json_text import MAX_LEVELS
from tmux_fanout.core.records.framing import Line, Overlong
from tmux_fanout.core.records.parser import RecordParser
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.envelope import ENCODERS
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.output_line import Damaged

OK = Outcome(True, 200, embed(b'{"a":[1.50,{"body":"x"}]}'), attempts=1, seconds=0.5)
FAILED = Outcome(False, 503, embed(b"no"), ErrorInfo("status", "HTTP 503", True), 3, 0.1)
ODD = Outcome(True, 200, embed(rb'"\ud800 \"body\":1"'), None, 1, 0.1, {"body": '"body":1'})
DEEP = Outcome(True, 200, embed(b"[" * 900 + b"]" * 900), attempts=1)
BINARY = Outcome(True, 200, embed(b"\xff"), attempts=1, via="other")
SKIPPED = Outcome(True, skipped=True)
LOST = Outcome(False, error=ErrorInfo("lost", "why"))

RECORDS: list[Line] = [
    b'{"n": 1.50, "n": 2, "_errors": 3}',
    b" [1 ]",
    rb'"\ud800"',
    b"[" * MAX_LEVELS + b"]" * MAX_LEVELS,
    b"{",
    b"\xff",
    Overlong(20 << 20),
]


@pytest.mark.parametrize("line", RECORDS, ids=lambda line: repr(line)[:20])
@pytest.mark.parametrize(
    "outcomes", [[OK], [FAILED, OK], [ODD, DEEP], [BINARY, SKIPPED, LOST], [DEEP]], ids=repr
)
@pytest.mark.parametrize("emit", ["merge", "body"])
def test_converted_lines_are_those_of_a_run(
    line: Line, outcomes: Sequence[Outcome], emit: Literal["merge", "body"]
) -> None:
    """To the byte, whatever record and bodies are."""
    if emit == "body":
        outcomes = outcomes[:1]
    names = ["a", "b", "c"][: len(outcomes)]
    (record,) = RecordParser("jsonl", 16 << 20).parse([line])
    result = Result(record, names, outcomes if not record.error else ())
    written = ENCODERS["envelope"](names)(result).rstrip(b"\n")
    assert LineConverter(emit).convert(written) == ENCODERS[emit](names)(result)


def test_lines_of_several_apis_have_no_single_body() -> None:
    """That is an error, as in a run."""
    (record,) = RecordParser("jsonl", 100).parse([b"1"])
    line = ENCODERS["envelope"](["a", "b"])(Result(record, ["a", "b"], [OK, OK]))
    with pytest.raises(ConfigError, match="needs exactly one API; there are 2"):
        LineConverter("body").convert(line)


@pytest.mark.parametrize("line", [b"", b"1", b'{"index":0}', b'{"n":1,"a":null}'])
def test_other_lines_are_damaged(line: bytes) -> None:
    """Nothing is made up for them."""
    with pytest.raises(Damaged):
        LineConverter("merge").convert(line)
