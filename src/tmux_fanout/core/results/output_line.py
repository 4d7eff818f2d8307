"""What stands in a line that `--emit envelope` wrote, for those who read it back.

msgspec decodes a line in half a microsecond, and refuses two kinds that may have been written all
the same: text with a lone surrogate, and nesting that was just allowed for a record or a body and
is a few levels more inside of a line.  Such a line is decoded once more with both taken out, each
replaced by something harmless of the same length, so that what is found has its place in the line
as it is.  Nor does it tell the white space around a record, which is a part of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from tmux_fanout.core.errors import ErrorKind

CUT_SHORT: tuple[ErrorKind, ...] = ("cancelled", "deadline")

_MOST_LEVELS = 8  # that a line has of its own, and some
_AFTER_INDEX = len(b'{"index":')
_SPACES = b" \t\r"
_SPACE = re.compile(rb"[ \t\r]*")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]')
_ESCAPE = re.compile(rb"\\(?:u([dD][89a-fA-F])?|.)")


class Damaged(ValueError):
    """The bytes are not a line as this program writes it; the message says why."""


class WrittenError(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An error, as it was written."""

    kind: ErrorKind
    message: str
    ambiguous: bool = False


class WrittenOutcome(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An outcome, as it was written; the body as it is spelled."""

    ok: bool
    attempts: int
    seconds: float = 0.0
    status: int | None = None
    headers: dict[str, str | list[str]] | None = None
    body: msgspec.Raw = msgspec.Raw()
    encoding: str | None = None
    error: WrittenError | None = None
    skipped: bool = False


class OutputLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line, as it was written: with `record` and `results`, or else with `error` and `raw`.

    Attributes:
        index: the record's place in the input.
        ok: whether the record is ok.
        record: its JSON text, as it is spelled; `bytes()` makes bytes of it.
        results: the outcomes by API, in the order of the line.
        error: why it was no record, or None.
        raw, encoding: the line of such a one, as text or base64; None where it was too long.
    """

    index: int
    ok: bool
    record: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    results: dict[str, WrittenOutcome] | msgspec.UnsetType = msgspec.UNSET
    error: WrittenError | None = None
    raw: str | None = None
    encoding: Literal["base64"] | None = None

    @property
    def names(self) -> tuple[str, ...] | None:
        """Those of the APIs, in order; None where the record was invalid, so that none is there."""
        return None if self.results is msgspec.UNSET else tuple(self.results)

    @property
    def outcomes(self) -> tuple[WrittenOutcome, ...]:
        """Those of the APIs, in order; none where the record was invalid."""
        return () if self.results is msgspec.UNSET else tuple(self.results.values())

    @property
    def kinds(self) -> dict[str, ErrorKind]:
        """The kind of each API's error, where it has one."""
        if self.results is msgspec.UNSET:
            return {}
        return {name: o.error.kind for name, o in self.results.items() if o.error}

    @property
    def kind(self) -> ErrorKind | None:
        """What the record is counted under, as `Result.first_error` has it; None where it is ok."""
        if self.ok:
            return None
        if self.results is msgspec.UNSET:
            return self.error.kind if self.error else None
        return first_kind(self.results.values())

    @property
    def is_cut_short(self) -> bool:
        """Whether a signal, a deadline or the giving up of the run stopped a call of the record.

        It may be ok all the same: under `--join` an answer may be there that is enough.
        """
        return is_any_cut_short(self.outcomes)

    @property
    def raw_line(self) -> bytes:
        """The input line of an invalid record; nothing of one that was too long to keep.

        Raises:
            Damaged: it is said to be base64 and is not.
        """
        if self.raw is None:
            return b""
        try:
            return base64.b64decode(self.raw, validate=True) if self.encoding else self.raw.encode()
        except (binascii.Error, ValueError) as exc:
            raise Damaged("its raw is not base64") from exc


_decode = msgspec.json.Decoder(OutputLine).decode


def parse_written(line: bytes) -> OutputLine:
    """What a line of output, without its line break, says.

    Raises:
        Damaged: it is no such line.
    """
    try:
        if not line.isascii():
            line.decode()
        return _spelled(line, _checked(_decode(line)))
    except UnicodeDecodeError as exc:
        raise Damaged(f"it is not UTF-8: {exc.reason} at byte {exc.start}") from exc
    except msgspec.ValidationError as exc:
        raise Damaged(_reason(exc)) from exc
    except msgspec.DecodeError as exc:
        if b"\\ud" not in line and b"\\uD" not in line:
            raise Damaged(_reason(exc)) from exc
        return _parse_simplified(line)
    except RecursionError:
        return _parse_simplified(line)


def _parse_simplified(line: bytes) -> OutputLine:
    try:
        return _spelled(line, _checked(_decode(_simplify(line))), is_simplified=True)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Damaged(_reason(exc)) from exc


def _spelled(line: bytes, written: OutputLine, *, is_simplified: bool = False) -> OutputLine:
    """The same, with the record as it is spelled in the line where that is not what was found."""
    if written.record is msgspec.UNSET:
        return written
    start = line.find(b":", _AFTER_INDEX) + 1
    size = memoryview(written.record).nbytes
    if line[start] not in _SPACES and line[start + size] not in _SPACES and not is_simplified:
        return written
    end = _end_of_space(line, _end_of_space(line, start) + size)
    return msgspec.structs.replace(written, record=msgspec.Raw(line[start:end]))


def _end_of_space(line: bytes, start: int) -> int:
    space = _SPACE.match(line, start)
    return space.end() if space else len(line)


def _checked(written: OutputLine) -> OutputLine:
    is_record = written.record is not msgspec.UNSET and written.results is not msgspec.UNSET
    is_invalid = written.record is msgspec.UNSET and written.results is msgspec.UNSET
    if is_record != (written.error is None) or not (is_record or is_invalid):
        raise Damaged("it has neither record and results, nor an error")
    return written


def _simplify(line: bytes) -> bytes:
    """A line as long, with other characters for surrogates and numbers for what is nested deep."""
    parts: list[bytes] = []
    level = end = hidden = 0
    for token in _TOKEN.finditer(line):
        if token[0] in b"[{":
            level += 1
            if level == _MOST_LEVELS:
                hidden = token.start()
                parts.append(line[end:hidden])
        elif token[0] in b"]}":
            level -= 1
            if level == _MOST_LEVELS - 1:
                end = token.end()
                parts.append(b"0".ljust(end - hidden))
        elif level < _MOST_LEVELS:
            parts += line[end : token.start()], _ESCAPE.sub(_without_surrogate, token[0])
            end = token.end()
    return b"".join([*parts, line[end:]])


def _without_surrogate(escape: re.Match[bytes]) -> bytes:
    return b"\\u00" if escape[1] else escape[0]


def _reason(exc: Exception) -> str:
    return "it is nested too deep" if isinstance(exc, RecursionError) else str(exc)


def first_kind(outcomes: Iterable[WrittenOutcome]) -> ErrorKind | None:
    """The kind that a record with these outcomes is counted under, if it is not ok."""
    failed = [outcome for outcome in outcomes if outcome.error]
    first = min(failed, key=_says_little, default=None)
    return first.error.kind if first and first.error else None


def is_any_cut_short(outcomes: Iterable[WrittenOutcome]) -> bool:
    """Whether one of these outcomes is that of a call which was stopped."""
    for outcome in outcomes:
        if outcome.error is not None and outcome.error.kind in CUT_SHORT:
            return True
    return False


def _says_little(outcome: WrittenOutcome) -> bool:
    return outcome.skipped or (outcome.error is not None and outcome.error.kind == "lost")
