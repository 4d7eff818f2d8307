"""Read back a line that `--emit envelope` wrote.

msgspec decodes a line in half a microsecond, but refuses two kinds of valid lines: those with a
lone surrogate, and those with a record or body at the maximum depth, which the line itself nests a
few levels deeper.  Such a line is decoded again with surrogates and deep values replaced by
harmless text of the same length, so that offsets still fit the original line.  msgspec also drops
the white space around a record, which is part of the record, so it is recovered from the line.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from tmux_fanout.core.errors import ErrorKind, Failure
from tmux_fanout.core.results.outcome import Timings, failures_of

CUT_SHORT: tuple[ErrorKind, ...] = ("cancelled", "deadline")

_MAX_LEVELS = 8  # of a simplified line; more than a line has apart from records and bodies
_AFTER_INDEX = len(b'{"index":')
_SPACES = b" \t\r"
_BODY_KEY = b'"body":'
_SPACE = re.compile(rb"[ \t\r]*")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]')
_ESCAPE = re.compile(rb"\\(?:u([dD][89a-fA-F])?|.)")


class Damaged(ValueError):
    """The bytes are not a line that this program writes; the message says why."""


class WrittenError(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An error as it was written."""

    kind: ErrorKind
    message: str
    ambiguous: bool = False


class WrittenOutcome(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An outcome as it was written; `body` is unparsed."""

    ok: bool
    attempts: int
    seconds: float = 0.0
    status: int | None = None
    headers: dict[str, str | list[str]] | None = None
    body: msgspec.Raw = msgspec.Raw()
    encoding: str | None = None
    error: WrittenError | None = None
    skipped: bool = False
    via: str | None = None
    shared: bool = False
    cached: bool = False
    trace: str | None = None
    timings: Timings | None = None


class OutputLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line as it was written: with `record` and `results`, or else with `error` and `raw`.

    Attributes:
        index: Index of the record in the input.
        ok: Whether the record is ok.
        record: Unparsed JSON text of the record; `bytes()` converts it.
        results: Outcomes by API, in the order of the line.
        error: Why the record is invalid, or None.
        raw: The input line of an invalid record, as text or base64; None if it was too long.
        encoding: `base64` if that is how `raw` is encoded, or None.
        started: When its first request was begun, in seconds since 1970; None without `--timings`.
    """

    index: int
    ok: bool
    record: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    results: dict[str, WrittenOutcome] | msgspec.UnsetType = msgspec.UNSET
    error: WrittenError | None = None
    raw: str | None = None
    encoding: Literal["base64"] | None = None
    started: float | None = None

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the APIs, in order; None if the record is invalid, so the line has none."""
        return None if self.results is msgspec.UNSET else tuple(self.results)

    @property
    def outcomes(self) -> tuple[WrittenOutcome, ...]:
        """The outcomes of the APIs, in order; empty if the record is invalid."""
        return () if self.results is msgspec.UNSET else tuple(self.results.values())

    @property
    def kinds(self) -> dict[str, ErrorKind]:
        """The kinds of the APIs' errors, by name."""
        if self.results is msgspec.UNSET:
            return {}
        return {name: o.error.kind for name, o in self.results.items() if o.error}

    @property
    def kind(self) -> ErrorKind | None:
        """The kind of error that the record is counted under, as in `Result.first_error`."""
        return next((failure.kind for failure in self.failures), None)

    @property
    def failures(self) -> Sequence[Failure]:
        """Why the record is not ok, as in `Result.failures`."""
        if self.ok:
            return ()
        if self.results is msgspec.UNSET:
            return (Failure("", self.error.kind),) if self.error else ()
        return failures_of(self.results.items())

    @property
    def is_cut_short(self) -> bool:
        """Whether a signal, the deadline or `--max-failures` stopped a call of the record.

        The record may be ok nevertheless, if the other outcomes satisfy `--join`.
        """
        return is_any_cut_short(self.outcomes)

    @property
    def raw_line(self) -> bytes:
        """The input line of an invalid record; empty if it was too long to keep.

        Raises:
            Damaged: The line claims that it is base64, but it is not.
        """
        if self.raw is None:
            return b""
        try:
            return base64.b64decode(self.raw, validate=True) if self.encoding else self.raw.encode()
        except (binascii.Error, ValueError) as exc:
            raise Damaged("its raw is not base64") from exc


_decode = msgspec.json.Decoder(OutputLine).decode


def parse_written(line: bytes) -> OutputLine:
    """Parse a line of output.

    Raises:
        Damaged: It is not a line that this program writes.
    """
    try:
        if not line.isascii():
            line.decode()
        return _with_exact_record(line, _checked(_decode(line)))
    except UnicodeDecodeError as exc:
        raise Damaged(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
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
        return _with_exact_record(line, _checked(_decode(_simplify(line))), is_simplified=True)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Damaged(_reason(exc)) from exc


class _Outcomes(msgspec.Struct, frozen=True):
    results: dict[str, msgspec.Raw]


_decode_outcomes = msgspec.json.Decoder(_Outcomes).decode


def outcomes_as_written(line: bytes) -> dict[str, bytes]:
    """Return the outcomes of a line that `parse_written` accepts, as JSON text by API."""
    try:
        return {name: bytes(text) for name, text in _decode_outcomes(line).results.items()}
    except (msgspec.DecodeError, RecursionError):
        simplified = _simplify(line)
    texts = {}
    start = len(line)
    for name, text in reversed(_decode_outcomes(simplified).results.items()):
        end = simplified.rindex(text, 0, start) + memoryview(text).nbytes
        start = end - memoryview(text).nbytes
        texts[name] = line[start:end]
    return dict(reversed(texts.items()))


def bodies_as_written(line: bytes, written: OutputLine) -> list[bytes]:
    """Return the bodies of a line's outcomes as JSON text; empty where there is none.

    Args:
        line: The line.
        written: What `parse_written` returned for it.
    """
    bodies = [bytes(outcome.body) for outcome in written.outcomes]
    try:
        _decode(line)
        return bodies
    except (msgspec.DecodeError, RecursionError):
        simplified = map(bytes, _decode_outcomes(_simplify(line)).results.values())
    exact = []
    for body, outcome, text in zip(bodies, simplified, outcomes_as_written(line).values()):
        start = outcome.rindex(_BODY_KEY + body) + len(_BODY_KEY) if body else 0
        exact.append(text[start : start + len(body)])
    return exact


def _with_exact_record(
    line: bytes, written: OutputLine, *, is_simplified: bool = False
) -> OutputLine:
    """Return the line with its record byte for byte, white space included."""
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
        raise Damaged("neither record and results, nor an error")
    return written


def _simplify(line: bytes) -> bytes:
    """Return a line of the same length, without surrogates, and with numbers for deep values."""
    parts: list[bytes] = []
    level = end = hidden = 0
    for token in _TOKEN.finditer(line):
        if token[0] in b"[{":
            level += 1
            if level == _MAX_LEVELS:
                hidden = token.start()
                parts.append(line[end:hidden])
        elif token[0] in b"]}":
            level -= 1
            if level == _MAX_LEVELS - 1:
                end = token.end()
                parts.append(b"0".ljust(end - hidden))
        elif level < _MAX_LEVELS:
            parts += line[end : token.start()], _ESCAPE.sub(_without_surrogate, token[0])
            end = token.end()
    return b"".join([*parts, line[end:]])


def _without_surrogate(escape: re.Match[bytes]) -> bytes:
    return b"\\u00" if escape[1] else escape[0]


def _reason(exc: Exception) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)


def is_any_cut_short(outcomes: Iterable[WrittenOutcome]) -> bool:
    """Return whether a signal, the deadline or `--max-failures` stopped one of these calls."""
    for outcome in outcomes:
        if outcome.error is not None and outcome.error.kind in CUT_SHORT:
            return True
    return False
