"""Outcomes of calls, and the results of records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, Failure, status_of
from tmux_fanout.core.json_text import Body, decode_json
from tmux_fanout.core.policy.join import ALL, JoinPolicy
from tmux_fanout.core.records.parser import Record


class Timings(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """How long the last attempt of a call took; from its beginning, in seconds.

    Attributes:
        connect: Until it had made a connection, or None if it used one that was there, or had none.
        first_byte: Until its response began, or None if there was no response.
        total: Until it ended.
        bytes: Size of the whole response, which calls that shared a request have in common.
    """

    connect: float | None
    first_byte: float | None
    total: float
    bytes: int


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The outcome of one call to an API, all its attempts included.

    Attributes:
        ok: Whether an acceptable response was received, or the call was rightly skipped.
        status: HTTP status of the last response, or None if there was no response.
        content: The response body as JSON text, or None if there was no response; see `body`.
        error: Why the outcome is not ok, or None.
        attempts: Number of requests made, those to fallbacks included.
        seconds: Seconds from the start of the first attempt to the outcome.
        headers: The response headers named by `capture_headers`, or None; the value is a list if
            Set-Cookie occurred more than once.
        skipped: Whether the call was not made, because `when` ruled it out or because an API that
            it comes `after` is not ok.
        via: Name of the fallback that was called last, or "" if only the API itself was.
        timings: Those of the last attempt that ended, if the run has `timings`, or None.
        trace: The trace id that the last attempt was sent with, if the API has `traceparent`, or
            "".
        shared: Whether it is that of a call whose request was identical, as the API has `share`.
        cached: Whether its answer was kept on disk, as the API has `cache`.
    """

    ok: bool
    status: int | None = None
    content: Body | None = None
    error: ErrorInfo | None = None
    attempts: int = 0
    seconds: float = 0.0
    headers: Mapping[str, str | Sequence[str]] | None = None
    skipped: bool = False
    via: str = ""
    timings: Timings | None = None
    trace: str = ""
    shared: bool = False
    cached: bool = False

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
        if self.via:
            text += f" via {self.via}"
        if self.shared:
            text += ", shared"
        if self.cached:
            text += ", cached"
        return f"{text} after {self.attempts} attempts" if self.attempts > 1 else text

    @property
    def body(self) -> Any:
        """The response body as a Python value: decoded JSON, `str`, `bytes`, or None for none."""
        if self.content is None:
            return None
        if self.content.encoding == "base64":
            return msgspec.json.decode(self.content.json, type=bytes)
        return decode_json(self.content.json)


class Result(msgspec.Struct, frozen=True):
    """All outcomes of one record; `result["name"]` is that of the API called `name`.

    Attributes:
        source: The record as it was read.
        names: The names of the APIs, in order.
        outcomes: The outcomes, one for each name; empty if the record itself is invalid.
        join: How many of them have to be ok.
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
        """The index of the record in the input, from 0."""
        return self.source.index

    @property
    def record(self) -> Any:
        """The record as a Python value: the one given to `fanout`, or its bytes if invalid."""
        if self.source.value is not None:
            return self.source.value
        return self.source.raw if self.error else decode_json(self.source.json)

    @property
    def error(self) -> ErrorInfo | None:
        """Why the record itself is invalid, or None."""
        return self.source.error

    @property
    def ok(self) -> bool:
        """Whether as many outcomes are ok as the join policy needs; by default all of them."""
        return self.source.error is None and self.join.is_ok(self.outcomes)

    @property
    def first_error(self) -> ErrorInfo | None:
        """The error that the record is counted under, or None if it is ok.

        It is the record's own error, or else that of the first API that failed; APIs that were
        skipped, or whose call another API's success made needless, come last.
        """
        if self.source.error or self.ok:
            return self.source.error
        failed = [outcome for outcome in self.outcomes if outcome.error]
        return min(failed, key=is_secondary).error

    @property
    def failures(self) -> Sequence[Failure]:
        """Why the record is not ok, `first_error` first; empty if it is ok."""
        if self.source.error:
            return (Failure("", self.source.error.kind),)
        return () if self.ok else failures_of(zip(self.names, self.outcomes))

    def __getitem__(self, name: str) -> Outcome:
        """Return the outcome of the API called `name`.

        Raises:
            KeyError: No API has that name, or none was called because the record is invalid.
        """
        if name in self.names and self.outcomes:
            return self.outcomes[self.names.index(name)]
        if self.error:
            raise KeyError(f"{name}: not called, {self.error.message}")
        raise KeyError(f"{name}: there is no such API; there are {', '.join(self.names)}")


class LineResult(Result, frozen=True):
    """A result that another process has already encoded.

    Attributes:
        line: Its line of output.
        failed: Why it is not ok; empty if it is.
        outcomes: Empty, unless the job asks for outcomes.
    """

    line: bytes = b""
    failed: Sequence[Failure] = ()

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def first_error(self) -> ErrorInfo | None:
        return ErrorInfo(self.failed[0].kind, "") if self.failed else None

    @property
    def failures(self) -> Sequence[Failure]:
        return self.failed


class _Error(Protocol):
    @property
    def kind(self) -> ErrorKind: ...


class _Outcome(Protocol):
    """What `Outcome` and one that is read back have in common."""

    @property
    def status(self) -> int | None: ...

    @property
    def error(self) -> _Error | None: ...

    @property
    def skipped(self) -> bool: ...

    @property
    def via(self) -> str | None: ...


def failures_of(outcomes: Iterable[tuple[str, _Outcome]]) -> Sequence[Failure]:
    """Return why a record with these outcomes, by API, is not ok.

    The first of several is the one that it is counted under.  Outcomes that are only a consequence
    of others count if there are none but these, and then the first.
    """
    failed = [(name, outcome) for name, outcome in outcomes if outcome.error]
    own = [each for each in failed if not is_secondary(each[1])] or failed[:1]
    return tuple(
        Failure(outcome.via or name, error.kind, status_of(error.kind, outcome.status))
        for name, outcome in own
        if (error := outcome.error)
    )


def is_secondary(outcome: _Outcome) -> bool:
    """Return whether a failure is only a consequence of what became of other calls."""
    return outcome.skipped or (outcome.error is not None and outcome.error.kind == "lost")
