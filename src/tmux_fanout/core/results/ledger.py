"""Compare an output with its input: what became of each record, and what each line is.

Both arrive as streams.  While lines follow the order of the input, only records that were read
ahead are in memory.  A record that is passed over, because the line of a later one came first,
leaves a digest until its own line comes (about 130 bytes): as many as a window under `--unordered`,
but all of them for a shuffled file.

    records = ok + not ok + missing + records with altered lines only
    lines   = ok + not ok + altered + doubled + unknown

A damaged line counts as the line of the record whose turn it is, until another line turns out to be
that record's; so a flipped bit makes one line altered and no record missing.
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
_ALTERED = b"!"  # appended to the digest of a record that has an altered line


class Verdict(enum.IntEnum):
    """The conclusion of a ledger, as an exit status."""

    COMPLETE = 0
    INCOMPLETE = 1
    FOREIGN = 3


class Ledger:
    """Match lines with records, and count both.

    A line is faithful if it is undamaged and holds its record as the input has it.

    Args:
        unordered: Whether lines may be in any order.

    Attributes:
        read: Records of the input.
        lines: Lines of the output, without a torn one.
        envelopes: Lines in the format of `--emit envelope`.
        ok: Records that are ok.
        errors: Records that are not ok, by kind of error.
        cut_short: Records with a call that a signal, the deadline or `--max-failures` stopped.
        doubled: Lines of records that already have a faithful line.
        out_of_order: Faithful lines after one of a later record.
        altered: Lines that are damaged or differ from the input.
        unknown: Lines of records that the input does not have.
        is_torn: Whether the output ends in the middle of a line.
        fault: The first fault of a line; empty if there is none.
    """

    def __init__(self, *, unordered: bool = False) -> None:
        self._unordered = unordered
        self._ahead: deque[Record] = deque()
        self._next = 0  # index of the first record ahead
        self._unmatched = 0  # records read after the last line
        self._input_ended = self._output_ended = False
        self._passed: dict[int, bytes] = {}
        self._passed_altered = 0
        self._highest = -1  # index among faithful lines
        self.read = self.lines = self.envelopes = self.ok = self.cut_short = 0
        self.doubled = self.out_of_order = self.altered = self.unknown = 0
        self.errors: Counter[str] = Counter()
        self.is_torn = False
        self.fault = ""

    def __repr__(self) -> str:
        return f"<Ledger: {self.read} records, {self.lines} lines, {self.verdict.name}>"

    @property
    def not_ok(self) -> int:
        """The number of records that are not ok."""
        return self.errors.total()

    @property
    def missing(self) -> int:
        """The number of records without a line, so far."""
        return len(self._ahead) + self._unmatched + len(self._passed) - self._passed_altered

    @property
    def first_missing(self) -> int | None:
        """The index of the first record without a line."""
        passed = (i for i, digest in self._passed.items() if not digest.endswith(_ALTERED, _DIGEST))
        return min(passed, default=self._next if self._ahead or self._unmatched else None)

    @property
    def verdict(self) -> Verdict:
        """The conclusion, once input and output have ended."""
        misplaced = 0 if self._unordered else self.out_of_order
        if self.altered or self.doubled or self.unknown or misplaced:
            return Verdict.FOREIGN
        if self.missing or self.cut_short or self.is_torn:
            return Verdict.INCOMPLETE
        return Verdict.COMPLETE

    def add_records(self, records: Sequence[Record]) -> None:
        """Enter the next records of the input; an empty sequence marks the end."""
        self.read += len(records)
        self._input_ended = not records
        if self._output_ended:
            self._unmatched += len(records)
        else:
            self._ahead += records

    def add_line(self, line: Line) -> bool:
        """Enter the next line of the output.

        Returns:
            Whether it was entered; if not, add records and enter it again.
        """
        try:
            written = _parse(line)
            substance = _substance_of_line(written)
        except Damaged as exc:
            return self._add_damaged(str(exc))
        index = written.index
        if index >= self._next + len(self._ahead) and not self._input_ended:
            self._pass_over(len(self._ahead))
            return False
        self.lines += 1
        self.envelopes += 1
        if self._ahead and index == self._next and substance == _substance(self._ahead[0]):
            self._ahead.popleft()
            self._next += 1
            self._count(written)
        else:
            self._pass_over(index + 1 - self._next)
            self._add_elsewhere(written, substance)
        return True

    def end_output(self, *, is_torn: bool) -> None:
        """Record that all lines were entered; records that are added later have none."""
        self.is_torn = is_torn
        self._output_ended = True

    def _add_damaged(self, why: str) -> bool:
        if not self._ahead and not self._input_ended:
            return False
        self.lines += 1
        self.altered += 1
        self._note(f"not in the format of --emit envelope: {why}")
        if self._ahead:
            self._pass_over(1)
            self._mark_altered(self._next - 1)
        return True

    def _add_elsewhere(self, written: OutputLine, substance: bytes) -> None:
        """Enter a line that is not the faithful line of the next record."""
        index = written.index
        digest = self._passed.get(index)
        if not 0 <= index < self._next:
            self.unknown += 1
            self._note(f"the input has no record {index}")
        elif digest is None:
            self.doubled += 1
            self._note(f"record {index} already has a line")
        elif digest[:_DIGEST] == _digest(substance):
            del self._passed[index]
            self._passed_altered -= len(digest) > _DIGEST
            self._count(written)
        else:
            self.altered += 1
            self._note(f"it differs from record {index} of the input")
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
            self._note(f"{after}; if the run was --unordered, add --unordered here")

    def _pass_over(self, count: int) -> None:
        for _ in range(min(count, len(self._ahead))):
            self._passed[self._next] = _digest(_substance(self._ahead.popleft()))
            self._next += 1

    def _mark_altered(self, index: int) -> None:
        digest = self._passed[index]
        if len(digest) == _DIGEST:
            self._passed[index] = digest + _ALTERED
            self._passed_altered += 1

    def _note(self, why: str) -> None:
        self.fault = self.fault or f"line {self.lines}: {why}"


def _parse(line: Line) -> OutputLine:
    if isinstance(line, Overlong):
        raise Damaged(f"{line.size} bytes long")
    written = parse_written(line)
    if not written.ok and written.kind is None:
        raise Damaged("not ok, but without an error")
    return written


def _substance(record: Record) -> bytes:
    """Return what a record and its line must have in common."""
    return _of_error(record.error, record.raw) if record.error else record.json


def _substance_of_line(written: OutputLine) -> bytes:
    return (
        _of_error(written.error, written.raw_line)
        if written.error
        else bytes(written.record or b"")
    )


def _of_error(error: ErrorInfo | WrittenError, raw: bytes) -> bytes:
    """Return the same for an invalid record; unlike any JSON text, it contains a line break.

    Of a line that was too long only the size is known, from the end of the message.
    """
    return b"%b\n%b" % (error.kind.encode(), raw or error.message.rpartition(": ")[2].encode())


def _digest(substance: bytes) -> bytes:
    return blake2b(substance, digest_size=_DIGEST).digest()
