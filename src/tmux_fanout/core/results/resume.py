"""Whether an output goes with an input, and how much of it is to be kept.

The ordered output is the checkpoint: its line N is of record N, which stands in it byte for byte.
So nothing else has to be kept about a run that was killed.  From the front:

    lines that are whole, and of the records they should be of     kept
    the first that a signal or a deadline cut short, and all after  made again
    a last line without its line break                              made again

and anything else means that the output belongs to another input, or was damaged.  Lines come in
blocks and are looked at twice: by themselves, which tells how many records are needed, and against
those.  The common line, all of whose calls are ok, is decoded once, into types made for the APIs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.output_line import (
    Damaged,
    OutputLine,
    WrittenError,
    WrittenOutcome,
    first_kind,
    is_any_cut_short,
    parse_written,
)
from tmux_fanout.core.text import printable

_SHOWN = 60  # characters of a record
_NO_FIELD = re.compile(r'["\\]')  # in a name that msgspec does not take for a field's
_BYTES = re.compile(r"\d+ bytes")


class Differs(ValueError):
    """The output does not go with the input; the message names the first line that does not."""


class Kept:
    """The lines of an output that are kept; feed it the lines, then their records.

    Args:
        names: of the APIs, in the order of the configuration.

    Attributes:
        records: how many are kept.
        size: bytes of their lines.
        ok: how many of them are ok.
        errors: the others, by the kind that a run counts them under.
        is_cut: whether a line was found from which on none is kept.
        not_ok: of the lines that `take` gave last, the places of those that are not ok.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.records = 0
        self.size = 0
        self.ok = 0
        self.errors: Counter[ErrorKind] = Counter()
        self.is_cut = False
        self.not_ok: list[int] = []
        self._names = tuple(names)
        self._decode = _decoder(names)
        self._are_names_seen = False

    def __repr__(self) -> str:
        return f"<Kept: {self.records} records, {self.size} bytes>"

    def take(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Those of the next lines that may be kept, and so are to be held against their records.

        Args:
            lines: each with its line break, but for the last one of the output, which may be torn.

        Raises:
            Differs: a line is damaged, or not of these APIs.
        """
        self.not_ok = []
        whole = lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]
        kept = whole[: self._count_whole(whole)]
        if len(kept) == len(whole) < len(lines):
            self._look_at_torn(lines[-1], self.records + len(whole))
        self.is_cut = len(kept) < len(lines)
        return kept

    def check(self, lines: Sequence[bytes], records: Sequence[Record]) -> None:
        """Compare lines that `take` returned with their records.

        Args:
            lines: What `take` returned.
            records: One for each line; fewer where the input ends, or where they have more bytes
                than all of the lines.

        Raises:
            Differs: a line is of another record, or of none.
        """
        index = self.records
        for line, record in zip(lines, records):
            if not line.startswith(b'{"index":%d,"record":%b,"ok":' % (index, record.json)):
                _hold_closely(line, record, index)
            index += 1
        if len(records) < len(lines):
            raise Differs(f"line {index + 1}: the input has {_count(index)} and no more")
        self.records = index
        self.size += sum(map(len, lines))

    def _count_whole(self, lines: Sequence[bytes]) -> int:
        """How many lines come before one that was cut short.

        The inner loop of the whole check: a line that has these APIs and no error at all, as is
        common, is counted at once.
        """
        decode, outcomes_of = self._decode, msgspec.structs.astuple
        fine = 0
        kept = len(lines)
        for place, line in enumerate(lines):
            outcomes: tuple[WrittenOutcome, ...] = ()
            try:
                written = decode(line)
                if self._are_names_seen and (line.isascii() or line.decode()):
                    outcomes = outcomes_of(written.results)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # it will be told, or read, by what follows
            for outcome in outcomes:
                if outcome.error is not None:
                    break
            else:
                if outcomes and written.ok:
                    fine += 1
                    continue
            index = self.records + place
            if not outcomes:
                written, outcomes = self._look_closely(line, index)
            if not self._may_keep(written, outcomes, index):
                kept = place
                break
        self.ok += fine
        return kept

    def _look_closely(
        self, line: bytes, index: int
    ) -> tuple[OutputLine, tuple[WrittenOutcome, ...]]:
        """A line that may hold anything, and the outcomes in it, if there are any."""
        try:
            written = parse_written(line)
        except Damaged as exc:
            raise Differs(f"line {index + 1} is damaged: {exc}") from exc
        if written.names is not None:
            self._hold_names(written.names, index)
        return written, written.outcomes

    def _may_keep(self, line: OutputLine, outcomes: tuple[WrittenOutcome, ...], index: int) -> bool:
        """Count a line, unless it was cut short."""
        _hold_index(line, index)
        if is_any_cut_short(outcomes):
            return False
        if line.ok:
            self.ok += 1
            return True
        kind = first_kind(outcomes) if outcomes else line.kind
        if kind is None:
            raise Differs(f"line {index + 1} is damaged: it is not ok and has no error")
        self.errors[kind] += 1
        self.not_ok.append(index - self.records)
        return True

    def _look_at_torn(self, line: bytes, index: int) -> None:
        """Return if a line without its line break is the beginning of one of ours.

        A system that went down may have left zeros where data should be.
        """
        start = b'{"index":%d,' % index
        if not start.startswith(line.rstrip(b"\0")[: len(start)]):
            raise Differs(f"line {index + 1} is not the beginning of a line of results")

    def _hold_names(self, names: tuple[str, ...], index: int) -> None:
        """Once they were found in this order, lines with the same names will do."""
        if names != self._names:
            theirs, ours = (printable(", ".join(each)) for each in (names, self._names))
            raise Differs(f"line {index + 1} is of the APIs {theirs}, and not of {ours}")
        self._are_names_seen = True


def _decoder(names: Sequence[str]) -> Callable[[bytes], Any]:
    """Decodes lines with results of exactly these APIs; it may refuse some that are."""
    if any(map(_NO_FIELD.search, names)):
        return _decode_none
    fields = [(f"api{place}", WrittenOutcome) for place in range(len(names))]
    rename = {field: name for (field, _), name in zip(fields, names)}
    options: dict[str, Any] = {"forbid_unknown_fields": True, "frozen": True, "gc": False}
    results = msgspec.defstruct("Results", fields, rename=rename, **options)
    line = [("index", int), ("record", msgspec.Raw), ("ok", bool), ("results", results)]
    return msgspec.json.Decoder(msgspec.defstruct("Line", line, **options)).decode


def _decode_none(_: bytes) -> Any:
    raise msgspec.DecodeError


def _hold_closely(line: bytes, record: Record, index: int) -> None:
    """Hold a line against its record where they are not plainly the same.

    Raises:
        Differs: they are not the same.
    """
    written = parse_written(line)
    _hold_index(written, index)
    try:
        is_same = _is_of(written, record)
    except Damaged as exc:
        raise Differs(f"line {index + 1} is damaged: {exc}") from exc
    if not is_same:
        shown = printable(record.raw[: 4 * _SHOWN].decode(errors="backslashreplace"), _SHOWN)
        raise Differs(f"line {index + 1} is not of record {index} of the input, which is {shown}")
    start = b'{"index":%d,"%b":' % (index, b"ok" if written.error else b"record")
    if not line.startswith(start):
        raise Differs(f"line {index + 1} is not as this program writes it")


def _hold_index(written: OutputLine, index: int) -> None:
    if written.index != index:
        raise Differs(f"line {index + 1} has the index {written.index}, and not {index}")


def _is_of(written: OutputLine, record: Record) -> bool:
    if isinstance(written.record, msgspec.Raw):
        return not record.error and bytes(written.record) == record.json
    return (
        written.raw_line == record.raw
        and record.error is not None
        and _size_too_large(written.error) == _size_too_large(record.error)
    )


def _size_too_large(error: ErrorInfo | WrittenError | None) -> str:
    """How long a line was that was too long to be kept: all that can be told of it."""
    said = _BYTES.search(error.message) if error and error.kind == "too_large" else None
    return said[0] if said else ""


def _count(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"
