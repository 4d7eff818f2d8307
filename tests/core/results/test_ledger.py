"""The ledger of `verify` reports whatever happened to the lines of an output."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.display.ledger_text import ledger_json, ledger_table
from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.records.framing import Line, LineFramer, Overlong
from tmux_fanout.core.records.parser import Record, RecordParser
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.ledger import Ledger, Verdict
from tmux_fanout.core.results.outcome import Outcome, Result

INPUT: list[Line] = [
    b'{"a": 1.00}',
    b"[1",
    b'"\\ud800"',
    b"2",
    Overlong(200),
    b'{"b":"\xc3\xbc"}',
    b"\xff",
    b" 3\t",
]
RECORDS = RecordParser("jsonl", 100).parse(INPUT)
encode = envelope_encoder(["x", "y"])
OK = Outcome(True, 200, Body(b"{}"), attempts=1)


FAULT = "line 2: record 0 comes after record 1; if the run was --unordered, add --unordered here"


def failed(kind: ErrorKind) -> Outcome:
    return Outcome(False, error=ErrorInfo(kind, "why"), attempts=1)


OUTCOMES = [(OK, OK), (failed("lost"), failed("status")), (OK, failed("deadline")), (OK, OK)]


def line_of(record: Record, outcomes: Sequence[Outcome] = (OK, OK)) -> bytes:
    return encode(Result(record, ("x", "y"), () if record.error else outcomes))[:-1]


LINES = [line_of(record, OUTCOMES[record.index % 4]) for record in RECORDS]
KINDS = ["", "invalid_record", "deadline", "", "too_large", "status", "invalid_record", ""]
CUT_SHORT = 2  # the index of the one that was
ALTERED = {  # what stands in a line, and what does then
    0: (b"1.00", b"1.0"),
    1: (b'"[1"', b'"[2"'),
    3: (b'"record":2', b'"record":20'),
    5: ("ü".encode(), b"u"),
    7: (b'"record": 3\t', b'"record":3\t'),
}


def altered(index: int) -> bytes:
    """The line of a record with another content."""
    part, other = ALTERED[index]
    assert part in LINES[index]
    return LINES[index].replace(part, other, 1)


def enter(
    lines: Iterable[Line],
    records: Sequence[Record] = RECORDS,
    *,
    unordered: bool = False,
    step: int = 3,
) -> Ledger:
    ledger = Ledger(unordered=unordered)
    chunks = iter([*(records[i : i + step] for i in range(0, len(records), step)), *[[]] * 2])
    for line in lines:
        while not ledger.add_line(line):
            ledger.add_records(next(chunks))
    ledger.end_output(is_torn=False)
    for chunk in chunks:
        ledger.add_records(chunk)
    return ledger


def numbers(ledger: Ledger) -> dict[str, int]:
    names = ("read", "ok", "cut_short", "missing", "doubled", "out_of_order", "altered", "unknown")
    return {name: getattr(ledger, name) for name in names if getattr(ledger, name)}


def test_ledger_of_an_undisturbed_output() -> None:
    """A complete output is complete, and errors have the kinds that the run counted."""
    records = [record for record in RECORDS if record.index != CUT_SHORT]
    renumbered = [Record(n, r.raw, r.json, r.error) for n, r in enumerate(records)]
    ledger = enter([line_of(r, (failed("lost"), failed("status"))) for r in renumbered], renumbered)
    assert numbers(ledger) == {"read": 7}
    assert ledger.errors == {"status": 4, "invalid_record": 2, "too_large": 1}
    assert (ledger.verdict, ledger.fault) == (Verdict.COMPLETE, "")
    assert enter([], []).verdict is Verdict.COMPLETE


def test_altered_lines_are_other_lines() -> None:
    """The examples of this file are of the kinds that they stand for."""
    for index in ALTERED:
        line = json.loads(altered(index))
        assert line["index"] == index
        assert altered(index) != LINES[index]


ACTIONS = st.one_of(
    st.tuples(st.just("whole"), st.integers(0, 7)),
    st.tuples(st.just("altered"), st.sampled_from(sorted(ALTERED))),
    st.tuples(st.just("unknown"), st.sampled_from([-1, 8, 10**12])),
    st.tuples(st.just("damaged"), st.just(0)),
)


def line_for(action: str, index: int) -> bytes:
    if action == "whole":
        return LINES[index]
    if action == "altered":
        return altered(index)
    return (
        b'{"index":%d,"record":0,"ok":true,"results":{}}' % index if action == "unknown" else b"x"
    )


@given(
    st.lists(ACTIONS, max_size=14) | st.permutations([("whole", i) for i in range(8)]),
    st.booleans(),
    st.integers(1, 9),
)
def test_ledger_tells_what_was_done(
    actions: list[tuple[str, int]], unordered: bool, step: int
) -> None:
    """Any lines in any order give the numbers of a simple, slow count."""
    whole: list[int] = []
    spoilt: set[int] = set()
    counts: Counter[str] = Counter()
    next_index = 0  # of the first record after all lines so far
    for action, index in actions:
        if action == "unknown":
            counts["unknown"] += 1
            next_index = 8 if index > 0 else next_index
        elif action == "damaged":
            counts["altered"] += 1
            if next_index < 8:
                spoilt.add(next_index)
                next_index += 1
        else:
            next_index = max(next_index, index + 1)
            if index in whole:
                counts["doubled"] += 1
            elif action == "altered":
                counts["altered"] += 1
                spoilt.add(index)
            else:
                counts["out_of_order"] += index < max(whole, default=0)
                whole.append(index)
    lacking = [i for i in range(8) if i not in spoilt and i not in whole]
    counts["missing"] = len(lacking)
    counts["read"] = 8
    counts["ok"] = sum(not KINDS[i] for i in whole)
    counts["cut_short"] = whole.count(CUT_SHORT)
    ledger = enter([line_for(*action) for action in actions], unordered=unordered, step=step)
    assert numbers(ledger) == {name: count for name, count in counts.items() if count}
    assert ledger.errors == Counter(KINDS[i] for i in whole if KINDS[i])
    assert ledger.first_missing == (lacking[0] if lacking else None)
    only_spoilt = len(spoilt.difference(whole))
    assert ledger.read == ledger.ok + ledger.not_ok + ledger.missing + only_spoilt
    wrong = ledger.altered + ledger.doubled + ledger.unknown
    assert ledger.lines == len(actions) == ledger.ok + ledger.not_ok + wrong
    is_foreign = wrong or (counts["out_of_order"] and not unordered)
    assert (ledger.verdict is Verdict.FOREIGN) == bool(is_foreign) == bool(ledger.fault)
    assert (ledger.verdict is Verdict.COMPLETE) == (
        not is_foreign and not lacking and CUT_SHORT not in whole
    )


@given(st.data())
def test_ledger_sees_any_flipped_bit_of_index_or_record(data: st.DataObject) -> None:
    """A flipped bit anywhere keeps the output from being called faithful."""
    index = data.draw(st.sampled_from([0, 2, 3, 5, 7]))
    line = LINES[index]
    at = data.draw(st.integers(0, line.index(b',"ok"')))
    flipped = bytes([line[at] ^ (1 << data.draw(st.integers(0, 7)))])
    output = b"\n".join(
        [*LINES[:index], line[:at] + flipped + line[at + 1 :], *LINES[index + 1 :], b""]
    )
    ledger = enter(LineFramer(1000).feed(output))
    assert ledger.verdict is Verdict.FOREIGN
    assert ledger.fault.startswith(f"line {index + 1}: ") or ledger.out_of_order or ledger.doubled
    assert ledger.missing <= 1


def test_ledger_gives_a_damaged_line_the_place_it_stands_in() -> None:
    """One line is altered, and no record is missing."""
    ledger = enter([*LINES[:3], b"{", *LINES[4:]])
    assert (ledger.altered, ledger.missing, ledger.out_of_order) == (1, 0, 0)
    assert ledger.fault.startswith("line 4: not in the format of --emit envelope: ")


def test_ledger_of_an_interrupted_output() -> None:
    """A torn line does not count; its record and later ones are missing."""
    ledger = Ledger()
    ledger.add_records(RECORDS)
    for line in LINES[:2]:
        assert ledger.add_line(line)
    ledger.end_output(is_torn=True)
    ledger.add_records(RECORDS[:0])
    assert (ledger.missing, ledger.first_missing, ledger.verdict) == (6, 2, Verdict.INCOMPLETE)
    assert ledger_table(ledger).endswith(
        "\nincomplete: the first missing record is 2, the last line is cut off"
    )


def test_ledger_with_what_was_cut_short_is_incomplete() -> None:
    """A record that was cut short has a line, but a resumed run processes it again."""
    ledger = enter(LINES)
    assert (ledger.cut_short, ledger.missing, ledger.verdict) == (1, 0, Verdict.INCOMPLETE)
    why = "records that were cut short need another run"
    assert ledger_table(ledger).endswith(f"\nincomplete: {why}")


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"[]", b'{"a":1,"x":{}}', b"null", b'{"index":0}', b"\xff", Overlong(1 << 40)),
        b'{"index":0,"record":{"a": 1.00},"ok":false,"results":{"x":{"ok":true,"attempts":1}}}',
        b'{"index":1,"ok":false,"error":{"kind":"invalid_record","message":"m"},"raw":"=","encoding":"base64"}',
    ],
)
def test_ledger_takes_no_other_line_for_an_envelope(line: Line) -> None:
    """Lines of `merge` and `body`, invalid JSON and contradictions are damaged."""
    ledger = enter([line])
    assert (ledger.altered, ledger.envelopes, ledger.verdict) == (1, 0, Verdict.FOREIGN)


def test_ledger_tells_lines_that_were_too_long_by_their_size() -> None:
    """Records that were too long are compared by their size only."""
    records = RecordParser("jsonl", 100).parse([Overlong(201)])
    ledger = enter([line_of(records[0])], RecordParser("jsonl", 100).parse([Overlong(200)]))
    assert (ledger.altered, ledger.missing) == (1, 0)


def test_ledger_holds_no_more_than_is_out_of_order() -> None:
    """Lines in order need no memory; unordered ones need some per record passed over."""
    ledger = Ledger()
    records = RecordParser("lines", 100).parse([b"x"] * 1000)
    for record in records:
        ledger.add_records([record])
        assert ledger.add_line(line_of(record))
        assert not ledger.missing
    assert repr(ledger) == "<Ledger: 1000 records, 1000 lines, COMPLETE>"


def test_ledger_as_json_and_as_a_table() -> None:
    """The same numbers for programs and for people."""
    ledger = enter([LINES[1], LINES[0], *LINES[3:6], LINES[5]])
    assert json.loads(ledger_json(ledger)) == {
        "verdict": "does not belong to the input",
        **{"read": 8, "ok": 2, "not_ok": 3},
        "errors": {"invalid_record": 1, "too_large": 1, "status": 1},
        **{"cut_short": 0, "missing": 3, "doubled": 1, "out_of_order": 1, "altered": 0},
        **{"unknown": 0, "torn": False, "lines": 6, "first_missing": 2},
        "first_fault": FAULT,
    }
    assert ledger_table(ledger).splitlines() == [
        "read              8",
        "ok                2",
        "not ok            3",
        "  invalid_record  1",
        "  too_large       1",
        "  status          1",
        "cut short         0",
        "missing           3",
        "doubled           1",
        "out of order      1",
        "altered           0",
        "unknown           0",
        "does not belong to the input: " + FAULT,
    ]
