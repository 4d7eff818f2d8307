"""What calls came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.json_text import Body, decode_json
from tmux_fanout.core.policy.join import ALL, JoinPolicy
from tmux_fanout.core.records.parser import Record


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What one call, all its attempts included, came to.

    Attributes:
        ok: whether an acceptable response came.
        status: HTTP status of the last response, or None where none came.
        content: the response body as JSON text, or None where no response came.
        error: why it is not ok, or None.
        attempts: how many requests were made.
        seconds: from the start of the first attempt to the outcome.
        headers: those of the response that were asked for, or None; a list of values where
            Set-Cookie came more than once.
        skipped: whether the call was not made: `when` ruled it out, or what it comes after is not
            ok.
    """

    ok: bool
    status: int | None = None
    content: Body | None = None
    error: ErrorInfo | None = None
    attempts: int = 0
    seconds: float = 0.0
    headers: Mapping[str, str | Sequence[str]] | None = None
    skipped: bool = False

    def __repr__(self) -> str:
        why = f": {self.error.message}" if self.error else ""
        return f"<Outcome: {self._brief()}{why}>"

    def _brief(self) -> str:
        """Describe it in a few words, without the body: `200 in 0.012 s`, `timeout`."""
        if self.skipped:
            return "skipped"
        if self.error is None:
            text = f"{self.status} in {self.seconds:.3f} s"
        elif self.error.kind == "status":
            text = str(self.status)
        else:
            text = self.error.kind
        return f"{text} after {self.attempts} attempts" if self.attempts > 1 else text

    @property
    def body(self) -> Any:
        """Return the response body as a Python value: decoded JSON, `str`, `bytes`, or None."""
        if self.content is None:
            return None
        if self.content.encoding == "base64":
            return msgspec.json.decode(self.content.json, type=bytes)
        return decode_json(self.content.json)


class Result(msgspec.Struct, frozen=True):
    """All outcomes of one record, in the order of the APIs; `result["name"]` is one of them.

    Attributes:
        source: the record as it was read.
        names: the APIs' names.
        outcomes: one for each name; none where the record itself was invalid.
        join: how many of them have to be ok.
        error: why the record was invalid, or None.
    """

    source: Record
    names: Sequence[str]
    outcomes: Sequence[Outcome]
    join: JoinPolicy = ALL

    def __repr__(self) -> str:
        parts = ["ok" if self.ok else "not ok"]
        if self.error:
            parts.append(self.error.kind)
        parts += [f"{name} {o._brief()}" for name, o in zip(self.names, self.outcomes)]
        return f"<Result {self.index}: {', '.join(parts)}>"

    @property
    def index(self) -> int:
        """The record's place in the input, from 0."""
        return self.source.index

    @property
    def record(self) -> Any:
        """The record as a Python value; what `fanout` was given, or its bytes if invalid."""
        if self.source.value is not None:
            return self.source.value
        return self.source.raw if self.error else decode_json(self.source.json)

    @property
    def error(self) -> ErrorInfo | None:
        return self.source.error

    @property
    def ok(self) -> bool:
        """Whether every API's outcome is ok, or as many as the join policy needs."""
        return self.source.error is None and self.join.is_ok(self.outcomes)

    @property
    def first_error(self) -> ErrorInfo | None:
        """The error that the record is counted under: its own, or that of the first API to fail.

        An API that was skipped, or was lost to another, says less than one that failed.
        """
        if self.source.error or self.ok:
            return self.source.error
        failed = [outcome for outcome in self.outcomes if outcome.error]
        return min(failed, key=_says_little).error

    def __getitem__(self, name: str) -> Outcome:
        """The outcome of the API called `name`.

        Raises:
            KeyError: no API has that name, or the record was invalid and none was called.
        """
        if name in self.names and self.outcomes:
            return self.outcomes[self.names.index(name)]
        raise KeyError(name if not self.error else f"{name}: not called, {self.error.message}")


class LineResult(Result, frozen=True):
    """A result that another process has made a line of already.

    Attributes:
        line: its line of output.
        kind: that of the error it is counted under, or None if it is ok.
        outcomes: none, but where they were asked for.
    """

    line: bytes = b""
    kind: ErrorKind | None = None

    @property
    def ok(self) -> bool:
        return self.kind is None

    @property
    def first_error(self) -> ErrorInfo | None:
        return None if self.kind is None else ErrorInfo(self.kind, "")


def _says_little(outcome: Outcome) -> bool:
    return outcome.skipped or (outcome.error is not None and outcome.error.kind == "lost")
