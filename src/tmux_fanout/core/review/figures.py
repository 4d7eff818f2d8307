"""The figures of a report.  `report --json` prints them; these types are its schema.

Keys may be added at any time.  `VERSION` rises once a key changes its meaning or goes away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tmux_fanout.core.display.summary_json import Summary
from tmux_fanout.core.errors import ErrorKind, Failure

VERSION: Literal[1] = 1


class Latency(msgspec.Struct, frozen=True):
    """Seconds of calls, or of a phase of attempts: percentiles within 0.2 %, the rest exact."""

    count: int
    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


class Bar(msgspec.Struct, frozen=True):
    """How many calls took at least `start` and less than `end` seconds."""

    start: float
    end: float
    calls: int


class Sample(msgspec.Struct, frozen=True):
    """A call or record that failed: its index, the number of its line, and the message."""

    index: int
    line: int
    message: str


class FailedCalls(msgspec.Struct, frozen=True):
    """How many calls of an API are not ok in one way, and the first few of them."""

    kind: ErrorKind
    status: int | None
    calls: int
    samples: Sequence[Sample]

    @property
    def label(self) -> str:
        """What failed, in a word or two."""
        return Failure("", self.kind, self.status).label


class FailedRecords(msgspec.Struct, frozen=True):
    """How many records are not ok in one way; `api` is null for those that are invalid."""

    api: str | None
    kind: ErrorKind
    status: int | None
    records: int

    @property
    def label(self) -> str:
        """What failed, in a word or two."""
        return Failure("", self.kind, self.status).label


class SlowCall(msgspec.Struct, frozen=True):
    """One of the calls that took longest; `result` is the status, or the kind of the error."""

    index: int
    line: int
    seconds: float
    attempts: int
    result: str


class Phases(msgspec.Struct, frozen=True):
    """Where the time of last attempts went, from `--timings`; null if no attempt had the phase."""

    connect: Latency | None
    first_byte: Latency | None
    total: Latency | None
    bytes: int


class ApiFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one API came to; `latency` is null if none was made."""

    calls: int
    skipped: int
    shared: int
    cached: int
    attempts: int
    retried: int
    not_ok: int
    ambiguous: int
    errors: Mapping[ErrorKind, int]
    failures: Sequence[FailedCalls]
    attempts_of_calls: Mapping[int, int]
    via: Mapping[str, int]
    latency: Latency | None
    histogram: Sequence[Bar]
    slowest: Sequence[SlowCall]
    phases: Phases | None


class ApiStretch(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one API in a stretch of the run, without those that `when` ruled out.

    `recovered` counts those that are ok after several attempts.  The percentiles are within 1 %,
    and null if nothing was sent.
    """

    calls: int
    recovered: int
    not_ok: int
    failures: Mapping[str, int]
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the run: records from index `start` to before `end`, or those of a time."""

    start: float
    end: float
    records: int
    not_ok: int
    apis: Mapping[str, ApiStretch]


class OutputFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the run that wrote one output came to.

    `by_time` is empty, and `started` and `last_started` are null, unless the run had `--timings`.
    """

    output: str
    lines: int
    damaged: int
    first_damage: str | None
    records: int
    ok: int
    not_ok: int
    invalid: int
    cut_short: int
    errors: Mapping[ErrorKind, int]
    failures: Sequence[FailedRecords]
    started: float | None
    last_started: float | None
    by_index: Sequence[Stretch]
    by_time: Sequence[Stretch]
    apis: Mapping[str, ApiFigures]
    summary: Summary | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report says."""

    version: Literal[1] = VERSION
    outputs: Sequence[OutputFigures]

    @property
    def apis(self) -> Sequence[str]:
        """The names of the APIs of all outputs, in order."""
        return list(dict.fromkeys(name for each in self.outputs for name in each.apis))
