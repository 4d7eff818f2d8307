"""Collect what the calls of one API came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heappush, heapreplace
from typing import NamedTuple

from tmux_fanout.core.errors import ErrorKind, status_of
from tmux_fanout.core.results.outcome import Timings
from tmux_fanout.core.results.output_line import WrittenOutcome
from tmux_fanout.core.review.figures import (
    ApiFigures,
    FailedCalls,
    Phases,
    Sample,
    SlowCall,
)
from tmux_fanout.core.review.latencies import EXACTLY, Latencies
from tmux_fanout.core.text import printable

_GATHERED = 10_000  # durations that are added together
_SLOWEST = 10  # calls
_SAMPLES = 3  # of calls that are not ok in one way
_WAYS = 100  # of failing; what comes later is counted by its kind alone
_MOST_ATTEMPTS = 100  # that are told apart
_FALLBACKS = 100
_MESSAGE = 300  # characters
_EXCERPT = 2000  # bytes of a line


class Place(NamedTuple):
    """Where a record is: its index, and the number and the text of its line."""

    record: int
    number: int
    line: bytes

    @property
    def excerpt(self) -> bytes:
        """The beginning of the line; all of it unless it is long."""
        return self.line[:_EXCERPT]


class _Slow(NamedTuple):
    """A slow call; the slowest is the greatest, and of equal ones the first."""

    seconds: float
    minus_number: int
    call: SlowCall
    excerpt: bytes


class _Way:
    """One way in which calls are not ok."""

    def __init__(self) -> None:
        self.calls = 0
        self.samples: list[tuple[Sample, bytes]] = []

    def add(self, message: str, place: Place) -> None:
        self.calls += 1
        if len(self.samples) < _SAMPLES:
            sample = Sample(place.record, place.number, printable(message, _MESSAGE))
            self.samples.append((sample, place.excerpt))


class _PhaseTimes:
    """What `--timings` kept of last attempts."""

    def __init__(self) -> None:
        self._seconds = [Latencies(EXACTLY, _GATHERED) for _ in range(3)]
        self._bytes = 0

    def add(self, timings: Timings) -> None:
        phases = (timings.connect, timings.first_byte, timings.total)
        for latencies, seconds in zip(self._seconds, phases):
            if seconds is not None:
                latencies.add(seconds)
        self._bytes += timings.bytes

    def figures(self) -> Phases:
        connect, first_byte, total = (each.latency() for each in self._seconds)
        return Phases(connect, first_byte, total, self._bytes)


class ApiCollector:
    """Counts the outcomes of one API."""

    def __init__(self) -> None:
        self._calls = 0
        self._skipped = 0
        self._shared = 0
        self._cached = 0
        self._ambiguous = 0
        self._ways: dict[tuple[ErrorKind, int | None], _Way] = {}
        self._attempts: Counter[int] = Counter()
        self._attempts_in_all = 0
        self._via: Counter[str] = Counter()
        self._latencies = Latencies(EXACTLY, _GATHERED)
        self._slowest: list[_Slow] = []
        self._phases: _PhaseTimes | None = None

    def __repr__(self) -> str:
        return f"<ApiCollector: {self._calls} calls>"

    def add(self, outcome: WrittenOutcome, place: Place) -> None:
        """Count an outcome, of the record on a line."""
        self._calls += 1
        if outcome.skipped:
            self._skipped += 1
        self._shared += outcome.shared
        self._cached += outcome.cached
        if outcome.attempts:
            self._attempts[min(outcome.attempts, _MOST_ATTEMPTS)] += 1
            self._attempts_in_all += outcome.attempts
            self._latencies.add(outcome.seconds)
            if len(self._slowest) < _SLOWEST or outcome.seconds > self._slowest[0].seconds:
                self._add_slow(outcome, place)
        if outcome.error:
            self._add_failed(outcome, place)
        if outcome.via and (outcome.via in self._via or len(self._via) < _FALLBACKS):
            self._via[outcome.via] += 1
        if outcome.timings:
            if self._phases is None:
                self._phases = _PhaseTimes()
            self._phases.add(outcome.timings)

    def _add_slow(self, outcome: WrittenOutcome, place: Place) -> None:
        kind = outcome.error.kind if outcome.error else ""
        result = str(outcome.status) if outcome.status and kind in ("", "status") else kind
        call = SlowCall(place.record, place.number, outcome.seconds, outcome.attempts, result)
        slow = _Slow(outcome.seconds, -place.number, call, place.excerpt)
        if len(self._slowest) < _SLOWEST:
            heappush(self._slowest, slow)
        else:
            heapreplace(self._slowest, slow)

    def _add_failed(self, outcome: WrittenOutcome, place: Place) -> None:
        error = outcome.error
        assert error is not None
        self._ambiguous += error.ambiguous
        key: tuple[ErrorKind, int | None] = (error.kind, status_of(error.kind, outcome.status))
        if key not in self._ways and len(self._ways) >= _WAYS:
            key = (error.kind, None)
        self._ways.setdefault(key, _Way()).add(error.message, place)

    def excerpts(self) -> Iterator[tuple[int, bytes]]:
        """Yield the numbers of the lines that the figures name, each with its beginning."""
        for slow in self._slowest:
            yield slow.call.line, slow.excerpt
        for way in self._ways.values():
            for sample, excerpt in way.samples:
                yield sample.line, excerpt

    def figures(self) -> ApiFigures:
        """Return what was counted."""
        ways = sorted(self._ways.items(), key=lambda item: -item[1].calls)
        errors: Counter[ErrorKind] = Counter()
        for (kind, _), way in ways:
            errors[kind] += way.calls
        attempts = sorted(self._attempts.items())
        return ApiFigures(
            calls=self._calls,
            skipped=self._skipped,
            shared=self._shared,
            cached=self._cached,
            attempts=self._attempts_in_all,
            retried=sum(calls for number, calls in attempts if number > 1),
            not_ok=errors.total(),
            ambiguous=self._ambiguous,
            errors=dict(errors.most_common()),
            failures=[
                FailedCalls(kind, status, way.calls, [sample for sample, _ in way.samples])
                for (kind, status), way in ways
            ],
            attempts_of_calls=dict(attempts),
            via=dict(self._via.most_common()),
            latency=self._latencies.latency(),
            histogram=self._latencies.histogram(),
            slowest=[slow.call for slow in sorted(self._slowest, reverse=True)],
            phases=self._phases.figures() if self._phases else None,
        )
