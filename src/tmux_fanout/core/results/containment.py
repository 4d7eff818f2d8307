"""Encode every result as a line, even one that makes the encoder fail (see `core.boundary`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import force_setattr

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import Failure
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import LineResult, Outcome, Result


def encode_lines(encode: Callable[[Result], bytes], results: Sequence[Result]) -> list[bytes]:
    """Return a line for each result, even if `encode` raises an unexpected exception.

    The outcomes of such a result become `internal` errors.  If it still cannot be encoded, its
    record becomes an `internal` error.  The result is changed in place, since the statistics count
    the same object afterwards and must count it as not ok.
    """
    try:
        return list(map(encode, results))
    except Exception:
        return [_line_of(encode, result) for result in results]


def _line_of(encode: Callable[[Result], bytes], result: Result) -> bytes:
    try:
        return encode(result)
    except Exception as exc:
        error = internal_error(exc)
    failed = [Outcome(False, o.status, None, error, o.attempts, o.seconds) for o in result.outcomes]
    if failed:
        force_setattr(result, "outcomes", failed)
        with suppress(Exception):
            return encode(result)
    old = result.source
    source = Record(old.index, old.raw, b"", error, old.value)
    changes: dict[str, object] = {"source": source, "outcomes": ()}
    if isinstance(result, LineResult):
        changes["failed"] = (Failure("", error.kind),)
    for field, value in changes.items():
        force_setattr(result, field, value)
    return encode(Result(source, result.names, ()))
