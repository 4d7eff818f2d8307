"""Decide whether an output belongs to an input, and how much of it to keep.

The ordered output is the checkpoint: line N holds record N byte for byte, so nothing else needs to
be stored about a run that was killed.  From the front:

    whole lines that hold the right records                                 keep
    the first line that a signal or deadline cut short, and all after it    process again
    a last line without its line break                                      process again

Anything else means that the output belongs to another input, or is damaged.  Lines come in blocks
and are checked twice: first by themselves, which tells how many records are needed, and then
against those records.  A line without any error, the common case, is decoded once, into types that
are generated for the APIs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, Failure
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import failures_of
from tmux_fanout.core.results.output_line import (
    Damaged,
    OutputLine,
    WrittenError,
    WrittenOutcome,
    is_any_cut_short,
    parse_written,
)
from tmux_fanout.core.text import counted, printable

_SHOWN = 60  # characters of a record
_NO_FIELD = re.compile(r'["\\]')  # characters of a name that msgspec cannot use as a field
_BYTES = re.compile(r"\d+ bytes")


class OutputMismatch(ValueError):
    """The output does not belong to the input; the message names the first line that differs."""


class Kept:
    """Counts of the lines that are kept; alternate `take` for lines and `check` for their records.

    Args:
        names: The names of the APIs, in the order of the configuration.

    Attributes:
        records: Number of records that are kept.
        size: Bytes of their lines.
        ok: Number of these records that are ok.
        errors: The others, by the kind of error that a run counts them under.
        failures: Why these are not ok, as a run counts it.
        is_cut: Whether a line was found from which on none is kept.
        not_ok: Indexes, among the lines that `take` returned last, of those that are not ok.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.records = 0
        self.size = 0
        self.ok = 0
        self.errors: Counter[ErrorKind] = Counter()
        self.failures: Counter[Failure] = Counter()
        self.is_cut = False
        self.not_ok: list[int] = []
        self._names = tuple(names)
        self._decode = _decoder(names)
        self._are_names_seen = False

    def __repr__(self) -> str:
        return f"<Kept: {self.records} records, {self.size} bytes>"

    def take(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Return those of the next lines that may be kept; `check` compares them with records.

        Args:
            lines: Lines with their line breaks; the last one of the output may be torn.

        Raises:
            OutputMismatch: A line is damaged, or has other APIs.
        """
        self.not_ok = []
        whole = lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]
        kept = whole[: self._count_whole(whole)]
        if len(kept) == len(whole) < len(lines):
            check_torn(lines[-1], self.records + len(whole))
        self.is_cut = len(kept) < len(lines)
        return kept

    def check(self, lines: Sequence[bytes], records: Sequence[Record]) -> None:
        """Compare lines that `take` returned with their records.

        Args:
            lines: What `take` returned.
            records: One for each line; fewer where the input ends, or where they have more bytes
                than all of the lines.

        Raises:
            OutputMismatch: A line holds another record, or there is no record for it.
        """
        index = self.records
        for line, record in zip(lines, records):
            check_line(line, record, index)
            index += 1
        if len(records) < len(lines):
            raise OutputMismatch(f"line {index + 1}: the input has only {counted(index, 'record')}")
        self.records = index
        self.size += sum(map(len, lines))

    def _count_whole(self, lines: Sequence[bytes]) -> int:
        """Return how many lines precede the first that was cut short.

        This is the inner loop: a line with exactly these APIs and no error is counted at once.
        """
        decode, outcomes_of = self._decode, msgspec.structs.astuple
        ok = 0
        kept = len(lines)
        for position, line in enumerate(lines):
            outcomes: tuple[WrittenOutcome, ...] = ()
            try:
                written = decode(line)
                if self._are_names_seen and (line.isascii() or line.decode()):
                    outcomes = outcomes_of(written.results)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # `_parse_any` reports it, or can read it
            for outcome in outcomes:
                if outcome.error is not None:
                    break
            else:
                if outcomes and written.ok:
                    ok += 1
                    continue
            index = self.records + position
            if not outcomes:
                written, outcomes = self._parse_any(line, index)
            if not self._may_keep(written, outcomes, index):
                kept = position
                break
        self.ok += ok
        return kept

    def _parse_any(self, line: bytes, index: int) -> tuple[OutputLine, tuple[WrittenOutcome, ...]]:
        """Parse a line that may hold anything; return it with its outcomes, if there are any."""
        try:
            written = parse_written(line)
        except Damaged as exc:
            raise OutputMismatch(f"line {index + 1} is damaged: {exc}") from exc
        if written.names is not None:
            self._check_names(written.names, index)
        return written, written.outcomes

    def _may_keep(self, line: OutputLine, outcomes: tuple[WrittenOutcome, ...], index: int) -> bool:
        """Count a line, unless it was cut short."""
        _check_index(line, index)
        if is_any_cut_short(outcomes):
            return False
        if line.ok:
            self.ok += 1
            return True
        failures = failures_of(zip(self._names, outcomes)) if outcomes else line.failures
        if not failures:
            raise OutputMismatch(f"line {index + 1} is damaged: not ok, but without an error")
        self.errors[failures[0].kind] += 1
        self.failures.update(failures)
        self.not_ok.append(index - self.records)
        return True

    def _check_names(self, names: tuple[str, ...], index: int) -> None:
        """Return if the names match in this order; later lines only need the same names."""
        if names != self._names:
            theirs, ours = (printable(", ".join(each)) for each in (names, self._names))
            raise OutputMismatch(f"line {index + 1} has the APIs {theirs}, not {ours}")
        self._are_names_seen = True


def _decoder(names: Sequence[str]) -> Callable[[bytes], Any]:
    """Return a decoder of lines with exactly these APIs; it may refuse some of them."""
    if any(map(_NO_FIELD.search, names)):
        return _decode_none
    fields = [(f"api{number}", WrittenOutcome) for number in range(len(names))]
    rename = {field: name for (field, _), name in zip(fields, names)}
    options: dict[str, Any] = {"forbid_unknown_fields": True, "frozen": True, "gc": False}
    results = msgspec.defstruct("Results", fields, rename=rename, **options)
    line: list[Any] = [("index", int), ("record", msgspec.Raw), ("ok", bool), ("results", results)]
    line.append(("started", float | None, None))  # with --timings
    return msgspec.json.Decoder(msgspec.defstruct("Line", line, **options)).decode


def _decode_none(_: bytes) -> Any:
    raise msgspec.DecodeError


def check_torn(line: bytes, index: int) -> None:
    """Check that a line without its line break is the beginning of the line of a record.

    A system that crashed may have left zeros in place of data.

    Raises:
        OutputMismatch: It is not.
    """
    start = b'{"index":%d,' % index
    if not start.startswith(line.rstrip(b"\0")[: len(start)]):
        raise OutputMismatch(f"line {index + 1} is not the beginning of a result")


def check_line(line: bytes, record: Record, index: int) -> None:
    """Compare a line with its record.

    Raises:
        OutputMismatch: They do not match.
    """
    if line.startswith(b'{"index":%d,"record":%b,"ok":' % (index, record.json)):
        return
    written = parse_written(line)
    _check_index(written, index)
    try:
        is_same = _matches(written, record)
    except Damaged as exc:
        raise OutputMismatch(f"line {index + 1} is damaged: {exc}") from exc
    if not is_same:
        shown = printable(record.raw[: 4 * _SHOWN].decode(errors="backslashreplace"), _SHOWN)
        raise OutputMismatch(
            f"line {index + 1} does not match record {index} of the input: {shown}"
        )
    start = b'{"index":%d,"%b":' % (index, b"ok" if written.error else b"record")
    if not line.startswith(start):
        raise OutputMismatch(f"line {index + 1} is not in the format of --emit envelope")


def _check_index(written: OutputLine, index: int) -> None:
    if written.index != index:
        raise OutputMismatch(f"line {index + 1} has the index {written.index}, not {index}")


def _matches(written: OutputLine, record: Record) -> bool:
    if isinstance(written.record, msgspec.Raw):
        return not record.error and bytes(written.record) == record.json
    return (
        written.raw_line == record.raw
        and record.error is not None
        and _size_too_large(written.error) == _size_too_large(record.error)
    )


def _size_too_large(error: ErrorInfo | WrittenError | None) -> str:
    """Return the size of a line that was too long to keep, all that is known of it; else empty."""
    size = _BYTES.search(error.message) if error and error.kind == "too_large" else None
    return size[0] if size else ""
