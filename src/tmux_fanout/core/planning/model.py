"""How an API answers: with what, how often, and after how long.

A model is stated, or made of outcomes that a run has written.  An outcome tells of its last attempt
only; of those before it, just that they failed.  They count as failures of the kinds that such
calls end with if they are not repeated often enough, and if there are none, as HTTP 503.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from tmux_fanout.core.errors import ErrorKind, status_of
from tmux_fanout.core.planning.distributions import Distribution, Measured
from tmux_fanout.core.results.output_line import WrittenOutcome

_MAX_DURATIONS = 20_000  # of one kind of answers
_MAX_BODIES = 500
_MAX_BODY_BYTES = 4 << 20
_NOT_OF_THE_API = frozenset({"template", "breaker_open", "lost", "cancelled", "deadline"})
_REPEATED = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_REPEATED_KINDS = frozenset({"timeout", "connect", "protocol"})


class Kind(NamedTuple):
    """What an attempt comes to: an ok response, or an error, whose status is that of a response."""

    status: int = 200
    error: ErrorKind | None = None


OK = Kind()
_UNKNOWN = Kind(503, "status")  # of an attempt that failed and was followed by another


class Answers(NamedTuple):
    """Answers of one kind: the share of all attempts that come to it, and how long those take."""

    kind: Kind
    share: float
    latency: Distribution


class ApiModel(msgspec.Struct, frozen=True):
    """How one API answers.

    Attributes:
        answers: by kind; their shares add up to 1.
        bodies: of ok answers, as JSON; each is as likely as the others.
        rate: the attempts per second beyond which it refuses with 429; None: any.
        requests: how many requests calls made one after the other, for pages or polls; empty if
            that is not known.
        source: where this is known from, for people.
        repeated: number of attempts in the source that were followed by others, for an unknown
            reason.
    """

    answers: Sequence[Answers]
    source: str
    bodies: Sequence[bytes] = (b"null",)
    rate: float | None = None
    repeated: int = 0
    requests: Sequence[int] = ()

    @property
    def bounds(self) -> Sequence[float]:
        """The shares of the answers, each with those before it."""
        return list(accumulate(each.share for each in self.answers))

    @property
    def has_bodies(self) -> bool:
        """Whether the bodies are those of real answers."""
        return self.bodies != (b"null",)


def stated(latency: Distribution, source: str) -> ApiModel:
    """Return the model of an API whose answers are all ok, and take times that are stated."""
    return ApiModel([Answers(OK, 1.0, latency)], source)


class OutcomeSample:
    """Collects outcomes of one API, in memory of a fixed size.

    Args:
        pause: seconds between two requests of a call that makes several in a row; None: it makes
            one, and the others repeat that.
    """

    def __init__(self, pause: float | None = None) -> None:
        self._pause = pause
        self._requests: list[int] = []
        self._seconds: dict[Kind, _Thinned] = {}
        self._ends: Counter[Kind] = Counter()
        self._failed_before = 0  # attempts, of calls that were ok in the end
        self._bodies: list[bytes] = []
        self._body_bytes = 0

    def __repr__(self) -> str:
        return f"<OutcomeSample: {self._ends.total()} attempts>"

    def add(self, outcome: WrittenOutcome) -> None:
        """Count an outcome."""
        error = outcome.error.kind if outcome.error else None
        if not outcome.attempts or error in _NOT_OF_THE_API:
            return
        kind = OK if error is None else Kind(status_of(error, outcome.status) or 0, error)
        if kind is OK:
            self._add_body(bytes(outcome.body))
        if self._pause is not None:
            self._add_steps(kind, outcome, self._pause)
            return
        self._ends[kind] += 1 if kind is OK else outcome.attempts
        if kind is OK:
            self._failed_before += outcome.attempts - 1
        if outcome.timings:
            self._add_seconds(kind, outcome.timings.total)
        elif outcome.attempts == 1:
            self._add_seconds(kind, outcome.seconds)

    def _add_steps(self, kind: Kind, outcome: WrittenOutcome, pause: float) -> None:
        """Count a call that made several requests, all of which were ok but for the last one."""
        before = outcome.attempts - 1
        self._ends[kind] += 1
        self._ends[OK] += before
        if kind is OK and len(self._requests) < _MAX_DURATIONS:
            self._requests.append(outcome.attempts)
        seconds = max(0.0, outcome.seconds - pause * before) / outcome.attempts
        self._add_seconds(kind, outcome.timings.total if outcome.timings else seconds)

    def add_lost(self) -> None:
        """Count a call that went to a fallback."""
        self._ends[_UNKNOWN] += 1

    def _add_seconds(self, kind: Kind, seconds: float) -> None:
        thinned = self._seconds.get(kind)
        if thinned is None:
            thinned = self._seconds[kind] = _Thinned()
        thinned.add(seconds)

    def _add_body(self, body: bytes) -> None:
        if len(self._bodies) < _MAX_BODIES and self._body_bytes + len(body) <= _MAX_BODY_BYTES:
            self._bodies.append(body or b"null")
            self._body_bytes += len(body)

    def model(self, source: str) -> ApiModel | None:
        """Return how the API answers; None if too little is known of it."""
        latencies = {kind: Measured(each.ordered()) for kind, each in self._seconds.items()}
        usual = latencies.get(OK) or next(iter(latencies.values()), None)
        if usual is None:
            return None
        return ApiModel(
            answers_of(self._ends, self._failed_before, latencies, usual),
            source,
            tuple(self._bodies) or (b"null",),
            repeated=self._failed_before,
            requests=tuple(self._requests),
        )


def answers_of(
    ends: Mapping[Kind, int],
    failed_before: int,
    latencies: Mapping[Kind, Distribution],
    usual: Distribution,
) -> Sequence[Answers]:
    """Return the answers of an API, the most frequent ones first.

    Args:
        ends: what calls ended with, and how often.
        failed_before: number of attempts that failed and were followed by another.
        latencies: of some kinds.
        usual: of the others.
    """
    attempts = dict[Kind, float](ends)
    repeated = {kind: number for kind, number in attempts.items() if _is_repeated(kind)}
    for kind, number in repeated.items():
        attempts[kind] += failed_before * number / sum(repeated.values())
    if failed_before and not repeated:
        attempts[_UNKNOWN] = failed_before
    total = sum(attempts.values())
    return [
        Answers(kind, number / total, latencies.get(kind, usual))
        for kind, number in sorted(attempts.items(), key=lambda item: -item[1])
    ]


class _Thinned:
    """Some of many durations, evenly spread over the order in which they came."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._every = 1
        self._seen = 0

    def add(self, seconds: float) -> None:
        if self._seen % self._every == 0:
            self._seconds.append(seconds)
            if len(self._seconds) >= _MAX_DURATIONS:
                del self._seconds[1::2]
                self._every *= 2
        self._seen += 1

    def ordered(self) -> Sequence[float]:
        return sorted(self._seconds)


def _is_repeated(kind: Kind) -> bool:
    if kind.error == "status":
        return kind.status in _REPEATED
    return kind.error in _REPEATED_KINDS
