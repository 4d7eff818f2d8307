"""An output is compared with an input, line by line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, Failure
from tmux_fanout.core.records.framing import Overlong
from tmux_fanout.core.records.parser import Record, RecordParser
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.resume import Kept, OutputMismatch

INPUT = [b'{"id": 1}', b'{"id": 2', b"  ", b"[3]", '"vier \u2028"'.encode(), b'"\\ud800"', b"6"]
NAMES = ("a", "b")
OK = Outcome(True, 200, embed(b'{"x":1}'), None, 1, 0.25)
COOKIES = Outcome(True, 200, embed(b"1"), None, 1, 0.25, {"via": "a", "set-cookie": ["a=1", "b=2"]})
FAILED = Outcome(False, 503, embed(b"no"), ErrorInfo("status", "HTTP 503"), 3, 1.5)


def records(lines: Sequence[bytes] = INPUT) -> list[Record]:
    framed = (Overlong(len(line)) if len(line) > 100 else line for line in lines)
    return RecordParser("jsonl", 100).parse(framed)


def output(*outcomes: Sequence[Outcome], names: Sequence[str] = NAMES) -> list[bytes]:
    """Return a line for each record of the input; outcomes that are not given are ok."""
    encode = envelope_encoder(names)
    all_ok = [OK] * len(names)
    return [
        encode(Result(record, names, outcomes[i] if i < len(outcomes) else all_ok))
        for i, record in enumerate(records())
    ]


def encode_ok(record: Record) -> bytes:
    return envelope_encoder(NAMES)(Result(record, NAMES, [OK, OK]))


def cut(kind: ErrorKind) -> Outcome:
    return Outcome(False, error=ErrorInfo(kind, "stopped"))


def hold(lines: Sequence[bytes], expected: Sequence[Record], at_once: int = 100) -> Kept:
    """Check the lines in blocks, each against its records."""
    kept = Kept(NAMES)
    taken = 0
    for start in range(0, len(lines), at_once):
        if not kept.is_cut:
            block = kept.take(lines[start : start + at_once])
            kept.check(block, expected[taken : taken + len(block)])
            taken += len(block)
    return kept


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_a_whole_output_is_kept(at_once: int) -> None:
    """Records of all kinds are kept, in blocks of any size, and counted as a run counts them."""
    lines = output([OK, OK], [], [OK, FAILED])
    kept = hold(lines, records(INPUT), at_once)
    assert (kept.records, kept.size, kept.is_cut) == (6, len(b"".join(lines)), False)
    assert (kept.ok, dict(kept.errors)) == (4, {"invalid_record": 1, "status": 1})
    assert kept.failures.keys() == {Failure("", "invalid_record"), Failure("b", "status", 503)}


@pytest.mark.parametrize(
    "stopped",
    [
        [cut("cancelled"), cut("cancelled")],
        [OK, cut("deadline")],
        [cut("lost"), cut("cancelled")],
    ],
)
def test_what_was_stopped_is_cut(stopped: list[Outcome]) -> None:
    """The cut includes all later lines, which are not examined and may be damaged."""
    lines = [*output([OK, OK], [], [FAILED, OK], stopped)[:5], b"damage\n"]
    kept = hold(lines, records())
    assert (kept.records, kept.size, kept.is_cut) == (3, len(b"".join(lines[:3])), True)
    assert (kept.ok, dict(kept.errors)) == (1, {"invalid_record": 1, "status": 1})


def test_stopped_is_known_where_the_record_is_ok() -> None:
    """A record that is ok under --join is cut, since it may have got more outcomes."""
    line = output([OK, cut("cancelled")])[0].replace(
        b'"ok":false,"results"', b'"ok":true,"results"'
    )
    assert hold([line], records()).records == 0


def test_words_of_a_stop_in_a_body_stop_nothing() -> None:
    """Only an error's kind marks a call as stopped, not words in a body."""
    body = Outcome(True, 200, embed(b'{"error":{"kind":"cancelled","message":""}}'), None, 1, 0.1)
    assert hold(output([body, OK]), records()).records == 6


@given(st.integers(1, 400), st.integers(0, 5))
def test_a_torn_line_is_cut_wherever_it_is_torn(size: int, zeros: int) -> None:
    """A line torn at any byte is cut, and so are zeros that a lost page left behind."""
    lines = output([OK, FAILED])
    for count in (0, 1, 5):
        torn = lines[count][:size].removesuffix(b"\n") + b"\0" * zeros
        kept = hold([*lines[:count], torn], records())
        assert (kept.records, kept.is_cut) == (count, True)


@pytest.mark.parametrize("text", [b"hello", b'{"index":2,', b'{"index":', b"[1", b"\0x"])
def test_what_is_no_beginning_of_our_line_is_not_cut(text: bytes) -> None:
    """Text that is not the beginning of the next line is refused."""
    if text == b'{"index":':
        assert hold([text], records()).is_cut
        return
    with pytest.raises(OutputMismatch, match="line 1 is not the beginning"):
        hold([text], records())


@pytest.mark.parametrize(
    ("index", "instead", "message"),
    [
        (0, b'{"id": 7}', r'line 1 does not match record 0 of the input: {"id": 7}'),
        (0, b'{"id":1}', "line 1 does not match record 0"),
        (0, b'{"id": 1', "line 1 does not match record 0"),
        (1, b'{"id": 2}', "line 2 does not match record 1"),
        (1, b'{"id": 3', "line 2 does not match record 1"),
        (1, b"x" * 101, "line 2 does not match record 1"),
        (6, b"66", "line 6 does not match record 5 of the input: 66"),
        (6, b"6 ", "line 6 does not match record 5"),
        (6, b"\t6", "line 6 does not match record 5"),
        (6, b"\x1b[2J", r"of the input: \\x1b\[2J"),
    ],
)
def test_an_edited_input_is_told(index: int, instead: bytes, message: str) -> None:
    """The message names the first line that belongs to another record."""
    lines = [*INPUT[:index], instead, *INPUT[index + 1 :]]
    with pytest.raises(OutputMismatch, match=message):
        hold(output(), records(lines))


@pytest.mark.parametrize("size", [110, 111])
def test_a_line_that_was_too_long_is_held_by_its_size(size: int) -> None:
    """A record that was too long is compared by its size, as the output has no more of it."""
    (record,) = RecordParser("jsonl", 100).parse([Overlong(110)])
    line = envelope_encoder(NAMES)(Result(record, NAMES, ()))
    if size == 110:
        assert hold([line], records([b"x" * size])).errors == {"too_large": 1}
    else:
        with pytest.raises(OutputMismatch, match="line 1 does not match record 0"):
            hold([line], records([b"x" * size]))


def test_an_input_that_is_shorter_is_told() -> None:
    """A line without a record is refused."""
    with pytest.raises(OutputMismatch, match="line 2: the input has only 1 record"):
        hold(output(), records(INPUT[:1]))


def test_an_input_that_goes_on_is_no_matter() -> None:
    """Records after the last line do not matter."""
    assert hold(output()[:2], records()).records == 2


@pytest.mark.parametrize("names", [("a",), ("b", "a"), ("a", "b", "c"), ("a", "x")])
@pytest.mark.parametrize("before", [0, 3])
def test_other_apis_are_told(names: tuple[str, ...], before: int) -> None:
    """Other API names, or another order, are refused in any line."""
    lines = output()
    if before and set(names) == set(NAMES):
        return  # in another order they cannot come later: who resumed would have been told
    with pytest.raises(
        OutputMismatch, match=f"line {before + 1} has the APIs {', '.join(names)}, not"
    ):
        hold([*lines[:before], *output(names=names)[before:]], records())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ok":true,"results"', b'"ok":tsue,"results"'),
        (b'"results":{', b'"results":['),
        (b'"status":200', b'"status":"200"'),
        (b'"seconds"', b'"secomds"'),
        (b'{"x":1}', b'{"x";1}'),
        (b'{"x":1}', b'{"\xf8":1}'),
        (b'"ok":true', b'"ok":false'),
        (b'{"index":2,"record"', b'{"index":2, "record"'),
        (b'{"index":2,', b'{"index":3,'),
        (b"[3]", b"[2]"),
    ],
)
def test_a_damaged_line_is_told(old: bytes, new: bytes) -> None:
    """A damaged line in the middle is named, since it cannot be torn."""
    lines = output()
    lines[2] = lines[2].replace(old, new, 1)
    with pytest.raises(OutputMismatch, match="line 3 "):
        hold(lines, records())


def test_white_space_around_a_record_is_held_too() -> None:
    """White space around a record must match byte for byte."""
    lines = [encode_ok(record) for record in records([b" 1", b"2\t ", b' "\\udfff" '])]
    assert hold(lines, records([b" 1", b"2\t ", b' "\\udfff" '])).records == 3
    for index, other in [(0, b"1"), (1, b"2 \t"), (2, b'"\\udfff" ')]:
        edited = [b" 1", b"2\t ", b' "\\udfff" ']
        edited[index] = other
        with pytest.raises(OutputMismatch, match=f"line {index + 1} does not match record {index}"):
            hold(lines, records(edited))


def test_names_of_apis_may_be_odd() -> None:
    """API names may contain quotes and backslashes, or look like a key of the line."""
    names = ('a"b', "c\\d", "ok", "é ")
    lines = output(*[[OK] * 3 + [FAILED]] * 6, names=names)
    kept = Kept(names)
    kept.check(kept.take(lines), records())
    assert (kept.records, kept.errors["status"]) == (6, 5)


def test_a_line_that_is_lost_is_told() -> None:
    """A missing line is noticed at once."""
    lines = output()
    with pytest.raises(OutputMismatch, match="line 4 has the index 4, not 3"):
        hold([*lines[:3], *lines[4:]], records())


def test_raw_that_is_not_base64_is_told() -> None:
    """An invalid base64 `raw` is refused."""
    (line,) = [envelope_encoder(NAMES)(Result(record, NAMES, ())) for record in records([b"\xff"])]
    with pytest.raises(OutputMismatch, match="line 1 is damaged: its raw is not base64"):
        hold([line.replace(b'"/w=="', b'"?"')], records([b"\xff"]))


def test_a_header_may_be_a_list() -> None:
    """A line whose captured Set-Cookie came twice is kept like any other."""
    lines = output([COOKIES, OK], [OK, COOKIES])
    assert hold(lines, records()).records == len(lines)


def test_nothing_is_kept_of_nothing() -> None:
    """An empty output keeps nothing."""
    assert hold([], records()).records == 0
