"""Decide which calls of an earlier run are made again; everything else stays byte for byte.

A call is made again if its outcome is not ok, or if the line has none because the API is new:

    the line is ok                 make the calls that it lacks, or that were cut short
    the line is not ok             make these, and those that are not ok
    the record is invalid          make none: the input has not changed

A record that is ok keeps the calls that it needed no answer from (`--join`).  A call that is
stopped before it has sent anything new tells nothing new, so it keeps its old outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.envelope import encode_outcome, envelope_encoder
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.output_line import (
    CUT_SHORT,
    Damaged,
    OutputLine,
    WrittenOutcome,
    outcomes_as_written,
    parse_written,
)
from tmux_fanout.core.results.resume import OutputMismatch, check_line
from tmux_fanout.core.text import printable


class KeptOutcome(Outcome, frozen=True, gc=False):
    """An outcome of an earlier run.

    Attributes:
        json: The outcome as it was written.
    """

    json: bytes = b""


class MendRecord(Record, frozen=True):
    """A record with the outcomes that an earlier run has written.

    Attributes:
        line: Its line with the line break; empty if it has none.
        start: Offset of the line in the output, or where it belongs.
        end: Offset of what follows it.
        written: The outcomes, one for each API; None for an API that the line does not have.
        kept: Those of them that stay; None where the call is made again.
    """

    line: bytes = b""
    start: int = 0
    end: int = 0
    written: Sequence[KeptOutcome | None] = ()
    kept: Sequence[KeptOutcome | None] = ()

    @property
    def size(self) -> int:
        """Bytes that the record counts for in the window, its old outcomes included."""
        return len(self.json or self.raw) + 2 * len(self.line)


def plan_mend(
    record: Record, line: bytes, names: Sequence[str], start: int = 0
) -> MendRecord | None:
    """Return a record whose calls, or some of them, are made again; None if its line stays.

    An invalid record is returned too, without calls, since its line is not ok.

    Args:
        record: A record of the input.
        line: Its line with the line break; empty if there is none.
        names: The names of the APIs, in the order of the configuration.
        start: Offset of the line in the output.

    Raises:
        OutputMismatch: The line is damaged, holds another record, or has other APIs.
    """
    whole = {field: getattr(record, field) for field in Record.__struct_fields__}
    if not line:
        nothing = (None,) * len(names)
        return MendRecord(**whole, start=start, end=start, written=nothing, kept=nothing)
    number = record.index + 1
    try:
        parsed = parse_written(line)
    except Damaged as exc:
        raise OutputMismatch(f"line {number} is damaged: {exc}") from exc
    check_line(line, record, record.index)
    if not parsed.ok and parsed.kind is None:
        raise OutputMismatch(f"line {number} is damaged: not ok, but without an error")
    if record.error:
        return MendRecord(**whole, line=line, start=start, end=start + len(line))
    found = parsed.results or {}
    _check_names(tuple(found), names, number)
    if len(found) == len(names) and all(_stays(parsed, each) for each in found.values()):
        return None
    texts = outcomes_as_written(line)
    written = [_kept(found[name], texts[name]) if name in found else None for name in names]
    stays = [name in found and _stays(parsed, found[name]) for name in names]
    return MendRecord(
        **whole,
        line=line,
        start=start,
        end=start + len(line),
        written=written,
        kept=[outcome if stay else None for outcome, stay in zip(written, stays)],
    )


def mend_encoder(
    names: Sequence[str], encode_outcome: Callable[[Outcome], bytes] = encode_outcome
) -> Callable[[Result], bytes]:
    """Return a function that encodes results of `MendRecord`s; kept outcomes stay as written."""

    def outcome_as_written(outcome: Outcome) -> bytes:
        return outcome.json if isinstance(outcome, KeptOutcome) else encode_outcome(outcome)

    encode = envelope_encoder(names, outcome_as_written)

    def line_of(result: Result) -> bytes:
        record = result.source
        if not isinstance(record, MendRecord) or not record.line:
            return encode(result)
        if record.error or not (outcomes := _merge(record, result.outcomes)):
            return record.line
        return encode(Result(record, result.names, outcomes, result.join))

    return line_of


def _merge(record: MendRecord, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return a record's outcomes, old and new; none if nothing has come of any call."""
    calls = zip(outcomes, record.written, record.kept)
    made = [outcome for outcome, kept in zip(outcomes, record.kept) if kept is None]
    if all(map(_tells_nothing, made)):
        return ()
    return [
        kept or (written if written and _tells_nothing(outcome) else outcome)
        for outcome, written, kept in calls
    ]


def _tells_nothing(outcome: Outcome) -> bool:
    """Return whether a call was stopped, and has certainly not been applied."""
    error = outcome.error
    return error is not None and error.kind in CUT_SHORT and not error.ambiguous


def _stays(line: OutputLine, outcome: WrittenOutcome) -> bool:
    if outcome.ok:
        return True
    return line.ok and outcome.error is not None and outcome.error.kind not in CUT_SHORT


def _check_names(theirs: Sequence[str], ours: Sequence[str], number: int) -> None:
    """Return if the APIs of a line are among ours, in the same order."""
    rest = iter(ours)
    if not all(name in rest for name in theirs):
        shown, expected = (printable(", ".join(names)) for names in (theirs, ours))
        raise OutputMismatch(f"line {number} has the APIs {shown}, not only {expected}")


def _kept(written: WrittenOutcome, text: bytes) -> KeptOutcome:
    error = written.error
    body = bytes(written.body)
    return KeptOutcome(
        written.ok,
        written.status,
        Body(body, written.encoding) if body else None,
        ErrorInfo(error.kind, error.message, error.ambiguous) if error else None,
        written.attempts,
        written.seconds,
        written.headers,
        written.skipped,
        written.via or "",
        json=text,
    )
