"""Convert lines of --emit envelope to another form, as a run would have written it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.envelope import ENCODERS
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.output_line import (
    Damaged,
    OutputLine,
    WrittenError,
    WrittenOutcome,
    bodies_as_written,
    parse_written,
)


class LineConverter:
    """Converts lines to --emit merge or body.

    Args:
        emit: The form.
    """

    def __init__(self, emit: Literal["merge", "body"]) -> None:
        self._emit: Literal["merge", "body"] = emit
        self._encoders: dict[Sequence[str], Callable[[Result], bytes]] = {}

    def __repr__(self) -> str:
        return f"<LineConverter: {self._emit}>"

    def convert(self, line: bytes) -> bytes:
        """Return a line in the other form.

        Raises:
            Damaged: It is not one of --emit envelope.
            ConfigError: The form needs exactly one API, and the line has several.
        """
        written = parse_written(line)
        names = written.names
        if names is None:
            return _INVALID[self._emit](_invalid(written))
        if names not in self._encoders:
            self._encoders[names] = ENCODERS[self._emit](names)
        record = Record(written.index, b"", bytes(written.record or b""))
        bodies = bodies_as_written(line, written)
        outcomes = [_outcome(o, body) for o, body in zip(written.outcomes, bodies)]
        return self._encoders[names](Result(record, names, outcomes))


def check_envelope(line: bytes) -> bytes:
    """Return a line that is one of --emit envelope.

    Raises:
        Damaged: It is not.
    """
    parse_written(line)
    return line


def _invalid(written: OutputLine) -> Result:
    if written.error is None:
        raise Damaged("neither record and results, nor an error")
    record = Record(written.index, written.raw_line, b"", _error(written.error))
    return Result(record, (), ())


def _outcome(written: WrittenOutcome, body: bytes) -> Outcome:
    return Outcome(
        written.ok,
        written.status,
        Body(body, written.encoding) if body else None,
        _error(written.error) if written.error else None,
        written.attempts,
    )


def _error(error: WrittenError) -> ErrorInfo:
    return ErrorInfo(error.kind, error.message, error.ambiguous)


_INVALID: dict[str, Callable[[Result], bytes]] = {
    "merge": ENCODERS["merge"](()),
    "body": ENCODERS["body"](("",)),
}
