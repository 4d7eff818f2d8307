"""An output held against its input: what became of each record, and what each line is.

Both come in as streams.  While lines are in the order of the input, no more of it is held than was
read ahead.  Of a record that is passed over, because a line of a later one came first, a digest is
kept until its own line comes: as many as a window for `--unordered`, all for a file that was
shuffled (about 130 bytes each).

    records = ok + not ok + missing + those that have altered lines only
    lines   = ok + not ok + altered + doubled + unknown

A line that is damaged is held to be that of the record in whose place it stands, until another
line shows that it is not; so a flipped bit makes one line altered and no record missing.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Sequence
from hashlib import blake2b

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.records.framing import Line, Overlong
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.output_line import Damaged, OutputLine, WrittenError, parse_written

_DIGEST = 8  # bytes
_ALTERED = b"!"  # behind the digest of a record that has a line which is not faithful


class Verdict(enum.IntEnum):
    """What a ledger comes to, as an exit status."""

    COMPLETE = 0
    INCOMPLETE = 1
    FOREIGN = 3


class Ledger:
    """Takes records and lines, and counts.

    Args:
        unordered: whether lines may stand in any order.

    Attributes:
        read: records of the input.
        lines: of the output, but for a torn one.
        envelopes: those of them that are what `--emit envelope` writes.
        ok: records that are ok.
        errors: records that are not, by kind.
        cut_short: those that a signal, a deadline or the giving up of the run stopped a call of.
        doubled: lines of records that have a faithful line already.
        out_of_order: faithful lines below one of a later record.
        altered: lines that are damaged, or say something else than the input.
        unknown: lines of records that the input does not have.
        is_torn: whether the output ends in the middle of a line.
        fault: the first thing that is wrong with a line, or nothing.
    """

    def __init__(self, *, unordered: bool = False) -> None:
        self._unordered = unordered
        self._ahead: deque[Record] = deque()
        self._at = 0  # index of the first of them
        self._left = 0  # records that were read after the last line
        self._input_ended = self._output_ended = False
        self._passed: dict[int, bytes] = {}
        self._passed_altered = 0
        self._highest = -1  # index of a faithful line
        self.read = self.lines = self.envelopes = self.ok = self.cut_short = 0
        self.doubled = self.out_of_order = self.altered = self.unknown = 0
        self.errors: Counter[str] = Counter()
        self.is_torn = False
        self.fault = ""

    def __repr__(self) -> str:
        return f"<Ledger: {self.read} records, {self.lines} lines, {self.verdict.name}>"

    @property
    def not_ok(self) -> int:
        """Records that are not ok."""
        return self.errors.total()

    @property
    def missing(self) -> int:
        """Records that no line is of, so far."""
        return len(self._ahead) + self._left + len(self._passed) - self._passed_altered

    @property
    def first_missing(self) -> int | None:
        """The index of the first record that no line is of."""
        passed = (i for i, digest in self._passed.items() if not digest.endswith(_ALTERED, _DIGEST))
        return min(passed, default=self._at if self._ahead or self._left else None)

    @property
    def verdict(self) -> Verdict:
        """What it comes to, with input and output at their ends."""
        misplaced = 0 if self._unordered else self.out_of_order
        if self.altered or self.doubled or self.unknown or misplaced:
            return Verdict.FOREIGN
        if self.missing or self.cut_short or self.is_torn:
            return Verdict.INCOMPLETE
        return Verdict.COMPLETE

    def add_records(self, records: Sequence[Record]) -> None:
        """Enter the next records of the input; none are its end."""
        self.read += len(records)
        self._input_ended = not records
        if self._output_ended:
            self._left += len(records)
        else:
            self._ahead += records

    def add_line(self, line: Line) -> bool:
        """Enter the next line of the output.

        Returns:
            Whether it was entered; if not, add records and try again.
        """
        try:
            written = _parse(line)
            substance = _substance_of_line(written)
        except Damaged as exc:
            return self._add_damaged(str(exc))
        index = written.index
        if index >= self._at + len(self._ahead) and not self._input_ended:
            self._pass_over(len(self._ahead))
            return False
        self.lines += 1
        self.envelopes += 1
        if self._ahead and index == self._at and substance == _substance(self._ahead[0]):
            self._ahead.popleft()
            self._at += 1
            self._count(written)
        else:
            self._pass_over(index + 1 - self._at)
            self._add_elsewhere(written, substance)
        return True

    def end_output(self, *, is_torn: bool) -> None:
        """All lines were entered; records that are still added have none."""
        self.is_torn = is_torn
        self._output_ended = True

    def _add_damaged(self, why: str) -> bool:
        if not self._ahead and not self._input_ended:
            return False
        self.lines += 1
        self.altered += 1
        self._note(f"it is not as --emit envelope writes it: {why}")
        if self._ahead:
            self._pass_over(1)
            self._mark_altered(self._at - 1)
        return True

    def _add_elsewhere(self, written: OutputLine, substance: bytes) -> None:
        """Enter a line that is not the faithful one of the record whose turn it is."""
        index = written.index
        digest = self._passed.get(index)
        if not 0 <= index < self._at:
            self.unknown += 1
            self._note(f"the input has no record {index}")
        elif digest is None:
            self.doubled += 1
            self._note(f"record {index} has a line already")
        elif digest[:_DIGEST] == _digest(substance):
            del self._passed[index]
            self._passed_altered -= len(digest) > _DIGEST
            self._count(written)
        else:
            self.altered += 1
            self._note(f"it is not of record {index} as it stands in the input")
            self._mark_altered(index)

    def _count(self, written: OutputLine) -> None:
        """Count a faithful line."""
        if written.ok:
            self.ok += 1
        else:
            self.errors[written.kind or ""] += 1
        self.cut_short += written.is_cut_short
        if written.index > self._highest:
            self._highest = written.index
            return
        self.out_of_order += 1
        if not self._unordered:
            after = f"record {written.index} comes after record {self._highest}"
            self._note(f"{after}; if the run was --unordered, say so here too")

    def _pass_over(self, count: int) -> None:
        for _ in range(min(count, len(self._ahead))):
            self._passed[self._at] = _digest(_substance(self._ahead.popleft()))
            self._at += 1

    def _mark_altered(self, index: int) -> None:
        digest = self._passed[index]
        if len(digest) == _DIGEST:
            self._passed[index] = digest + _ALTERED
            self._passed_altered += 1

    def _note(self, why: str) -> None:
        self.fault = self.fault or f"line {self.lines}: {why}"


def _parse(line: Line) -> OutputLine:
    if isinstance(line, Overlong):
        raise Damaged(f"it has {line.size} bytes")
    written = parse_written(line)
    if not written.ok and written.kind is None:
        raise Damaged("it is not ok, and no error says why")
    return written


def _substance(record: Record) -> bytes:
    """What a line of a record must have in common with it."""
    return _of_error(record.error, record.raw) if record.error else record.json


def _substance_of_line(written: OutputLine) -> bytes:
    return (
        _of_error(written.error, written.raw_line)
        if written.error
        else bytes(written.record or b"")
    )


def _of_error(error: ErrorInfo | WrittenError, raw: bytes) -> bytes:
    """No JSON text of a record has a line break.  Of a line that was too long the size is known."""
    return b"%b\n%b" % (error.kind.encode(), raw or error.message.rpartition(": ")[2].encode())


def _digest(substance: bytes) -> bytes:
    return blake2b(substance, digest_size=_DIGEST).digest()
