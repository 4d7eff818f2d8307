"""The timings in lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.envelope import Emit
from tmux_fanout.core.results.mend import plan_mend
from tmux_fanout.core.results.outcome import Outcome, Result, Timings
from tmux_fanout.core.results.output_line import parse_written
from tmux_fanout.core.results.resume import Kept
from tmux_fanout.core.results.timings import Starts, encoder_for

RECORD = Record(0, b"1", b"1")
TIMINGS = Timings(None, 0.25, 0.5, 7)
OK = Outcome(True, 200, Body(b"{}"), attempts=1, seconds=0.5, timings=TIMINGS)
FAILED = Outcome(
    False, None, None, ErrorInfo("timeout", "late"), 2, 1.0, timings=Timings(0.1, None, 0.2, 0)
)
SKIPPED = Outcome(True, skipped=True)


def started(*times: float) -> Starts:
    starts = Starts()
    for time in times:
        starts.note(0, time)
    return starts


def encoded(outcome: Outcome, starts: Starts | None, emit: Emit = "envelope") -> Any:
    return json.loads(encoder_for(emit, ["a"], starts=starts)(Result(RECORD, ["a"], [outcome])))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (OK, {"connect": None, "first_byte": 0.25, "total": 0.5, "bytes": 7}),
        (FAILED, {"connect": 0.1, "first_byte": None, "total": 0.2, "bytes": 0}),
        (SKIPPED, None),
    ],
)
def test_line_has_timings_and_start(outcome: Outcome, expected: object) -> None:
    """They come last, each only where there is one, and the line can be read back."""
    line = encoder_for("envelope", ["a"], starts=started(5.5, 5.25, 6.0))(
        Result(RECORD, ["a"], [outcome])
    )
    made = json.loads(line)
    assert list(made) == ["index", "record", "ok", "results", "started"]
    assert made["started"] == 5.25
    assert made["results"]["a"].get("timings") == expected
    if expected:
        assert list(made["results"]["a"])[-1] == "timings"
    written = parse_written(line[:-1])
    assert written.started == 5.25
    assert written.outcomes[0].timings == outcome.timings


def test_line_is_as_ever_without_them() -> None:
    """Neither timings nor a start is in it, even if outcomes have some."""
    made = encoded(OK, None)
    assert list(made) == ["index", "record", "ok", "results"]
    assert "timings" not in made["results"]["a"]


def test_record_that_was_not_begun_has_no_start() -> None:
    """A start is for one line, so memory does not grow."""
    starts = started(5.0)
    assert "started" in encoded(OK, starts)
    assert "started" not in encoded(OK, starts)
    assert repr(starts) == "<Starts: 0 records>"


@pytest.mark.parametrize("emit", ["merge", "body"])
def test_other_forms_have_none(emit: Emit) -> None:
    """They have no outcomes."""
    assert "started" not in encoded(OK, started(5.0), emit)


def test_resumed_lines_may_have_timings() -> None:
    """They are kept as all others are."""
    lines = [
        encoder_for("envelope", ["a"], starts=started(5.0))(Result(RECORD, ["a"], [OK])),
    ]
    kept = Kept(["a"])
    taken = kept.take(lines)
    kept.check(taken, [RECORD])
    assert (kept.records, kept.ok) == (1, 1)


def test_mended_line_has_old_timings_and_new_ones() -> None:
    """Kept outcomes stay as they were; the start is that of the calls made now."""
    outcomes = [OK, FAILED]
    encode = encoder_for("envelope", ["a", "b"], starts=started(5.0))
    line = encode(Result(RECORD, ["a", "b"], outcomes))
    record = plan_mend(RECORD, line, ["a", "b"])
    assert record
    a, b = record.kept
    assert a is not None
    assert b is None
    mend = encoder_for("envelope", ["a", "b"], mends=True, starts=started(9.0))
    new = Outcome(True, 200, Body(b"2"), attempts=1, timings=Timings(1.0, 1.5, 2.0, 3))
    made = json.loads(mend(Result(record, ["a", "b"], [a, new])))
    assert made["started"] == 9.0
    assert made["results"]["a"]["timings"]["total"] == 0.5
    assert made["results"]["b"]["timings"]["total"] == 2.0
    cut = Outcome(False, None, None, ErrorInfo("cancelled", "stopped; not sent"))
    assert mend(Result(record, ["a", "b"], [a, cut])) == line
