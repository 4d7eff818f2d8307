"""An output is mended: which calls are made again, and what stays byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.policy.join import ALL, JoinPolicy
from tmux_fanout.core.records.parser import Record, RecordParser
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.mend import MendRecord, mend_encoder, plan_mend
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.output_line import outcomes_as_written, parse_written
from tmux_fanout.core.results.resume import OutputMismatch

FIRST = JoinPolicy(1)
NAMES = ("a", 'b "quoted"', "c")
DEEP = b"[" * 480 + b"]" * 480
BODIES = [b'{"x":1.50}', b'"\\ud800"', b"text", b"\xff", DEEP, b'{"results":{"a":{"ok":true}}}']
RECORDS = [b'{"id": 1}', DEEP, '"vier \u2028"'.encode(), b'"\\ud800"', b'{"id": 2', b" 7 "]


def failed(kind: ErrorKind, *, ambiguous: bool = False) -> Outcome:
    return Outcome(False, None, None, ErrorInfo(kind, "why", ambiguous), 1, 0.5)


def ok(body: bytes = b"1", seconds: float = 0.25) -> Outcome:
    return Outcome(True, 200, embed(body), None, 1, seconds)


SKIPPED = Outcome(True, skipped=True)
NOT_CALLED = Outcome(False, error=ErrorInfo("template", "not called"), skipped=True)
STOPPED = failed("cancelled")
OLD = st.one_of(
    st.sampled_from(BODIES).map(ok),
    st.sampled_from([SKIPPED, NOT_CALLED, failed("status"), STOPPED, failed("deadline")]),
)


def parsed(line: bytes, index: int = 0) -> Record:
    [record] = RecordParser("jsonl", 10_000).parse([line])
    return Record(index, record.raw, record.json, record.error)


def old_line(
    record: Record,
    outcomes: Sequence[Outcome],
    names: Sequence[str] = NAMES,
    join: JoinPolicy = ALL,
) -> bytes:
    return envelope_encoder(names)(Result(record, names, outcomes, join))


def mended(planned: MendRecord, fresh: Sequence[Outcome], join: JoinPolicy = ALL) -> bytes:
    """Return the new line, with fresh outcomes where calls are made again."""
    outcomes = [kept or outcome for kept, outcome in zip(planned.kept, fresh)]
    return mend_encoder(NAMES)(Result(planned, NAMES, outcomes, join))


@given(st.sampled_from(RECORDS), st.lists(OLD, min_size=3, max_size=3), st.integers(0, 3))
def test_a_mended_line_is_that_of_an_undisturbed_run(
    text: bytes, old: list[Outcome], count: int
) -> None:
    """What was ok stays as it was, and what was not ok is as if it had not happened."""
    record = parsed(text)
    names, old = NAMES[:count] or NAMES, old[: count or 3]
    line = old_line(record, old, names)
    fresh = [ok(b"2", 0.5), ok(b"3", 0.5), SKIPPED]
    planned = plan_mend(record, line, NAMES, 9)
    if record.error:
        assert planned is not None
        assert mend_encoder(NAMES)(Result(planned, NAMES, ())) == line
    elif planned is None:
        assert len(old) == 3
        assert all(outcome.ok for outcome in old)
    else:
        assert (planned.start, planned.end) == (9, 9 + len(line))
        merged = [each if each.ok else new for each, new in zip(old, fresh)] + fresh[len(old) :]
        assert mended(planned, fresh) == old_line(record, merged)
        assert plan_mend(record, mended(planned, fresh), NAMES) is None


@given(st.sampled_from(RECORDS[:4]), st.lists(OLD, min_size=1, max_size=3))
def test_outcomes_are_found_as_they_are_written(text: bytes, outcomes: list[Outcome]) -> None:
    """Names, surrogates, deep nesting and look-alikes in bodies mislead nobody."""
    line = old_line(parsed(text), outcomes, NAMES[: len(outcomes)])
    texts = outcomes_as_written(line)
    assert list(texts) == list(parse_written(line).results or ())
    assert line.endswith(list(texts.values())[-1] + b"}}\n")
    assert sum(map(len, texts.values())) < len(line)
    assert all(each.startswith(b'{"ok":') and each.endswith(b"}") for each in texts.values())


def test_outcomes_that_stay_keep_their_spelling() -> None:
    """They are copied, not decoded and written again."""
    record = parsed(b"1")
    line = old_line(record, [ok(b'{"a":1e2}'), failed("status"), SKIPPED])
    planned = plan_mend(record, line.replace(b"0.2500", b"0.25"), NAMES)
    assert planned is not None
    assert b'"a":{"ok":true,"status":200,"body":{"a":1e2},"attempts":1,"seconds":0.25},' in mended(
        planned, [STOPPED, ok(), STOPPED]
    )


def test_a_record_that_is_ok_under_its_policy_stays() -> None:
    """Lost and failed calls of such a record are not needed; those that were cut short are made."""
    record = parsed(b"1")
    outcomes = [ok(), failed("lost"), failed("status")]
    assert plan_mend(record, old_line(record, outcomes, join=FIRST), NAMES) is None
    line = old_line(record, [ok(), failed("lost"), STOPPED], join=FIRST)
    planned = plan_mend(record, line, NAMES)
    assert planned is not None
    assert [kept is None for kept in planned.kept] == [False, False, True]
    planned = plan_mend(record, old_line(record, [failed("status")] * 3, join=FIRST), NAMES)
    assert planned is not None
    assert not any(planned.kept)


def test_calls_that_are_stopped_again_keep_their_outcomes() -> None:
    """An outcome is replaced only by one that tells more, so nothing is lost to a signal."""
    record = parsed(b"1")
    line = old_line(record, [ok(), failed("status")], NAMES[:2])
    planned = plan_mend(record, line, NAMES)
    assert planned is not None
    assert mended(planned, [STOPPED, STOPPED, STOPPED]) == line
    maybe = failed("cancelled", ambiguous=True)
    assert mended(planned, [STOPPED, maybe, STOPPED]) == old_line(record, [ok(), maybe, STOPPED])
    assert mended(planned, [STOPPED, STOPPED, ok()]) == old_line(
        record, [ok(), failed("status"), ok()]
    )


def test_a_record_without_a_line_is_called_everywhere() -> None:
    """It is a record that the earlier run did not reach."""
    record = parsed(b"1", 7)
    planned = plan_mend(record, b"", NAMES, 5)
    assert planned is not None
    assert (planned.kept, planned.start, planned.end) == ((None,) * 3, 5, 5)
    assert mended(planned, [ok()] * 3) == old_line(record, [ok()] * 3)
    assert mended(planned, [STOPPED] * 3) == old_line(record, [STOPPED] * 3)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"index":1,"record":1,"ok":true,"results":{}}\n', "line 1 has the index 1, not 0"),
        (b'{"index":0,"record":2,"ok":true,"results":{}}\n', "does not match record 0"),
        (b'{"index":0,"record":1,"ok":tru\n', "line 1 is damaged"),
        (b'{"index":0,"record":1,"ok":false,"results":{}}\n', "not ok, but without an error"),
        (b'{"a":1}\n', "line 1 is damaged"),
        (b"\n", "line 1 is damaged"),
        (old_line(parsed(b"1"), [ok()], ["x"]), "line 1 has the APIs x, not only a, "),
        (old_line(parsed(b"1"), [ok()] * 2, ["c", "a"]), "line 1 has the APIs c, a, not only a, "),
        (old_line(parsed(b"{"), []), "does not match record 0"),
    ],
)
def test_what_does_not_belong_to_the_input_is_refused(line: bytes, why: str) -> None:
    """The message names the line and what is wrong with it."""
    with pytest.raises(OutputMismatch) as info:
        plan_mend(parsed(b"1"), line, NAMES)
    assert why in str(info.value)
