"""Fallbacks: which outcomes of one API are left to another, and the outcome that comes of both.

A request that may have been applied is not made at another API, which cannot know that: a call
that is ambiguous is left to a fallback only if its API is idempotent.  An `idempotency_key` is not
enough, since the key means nothing to another API; then only what was certainly not processed is.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tmux_fanout.core.errors import ConfigError, ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import NOT_PROCESSED, Judged
from tmux_fanout.core.requests.response_reader import parse_ok_status
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.text import invalid

FALLBACK_ON: tuple[int | str, ...] = ("unreachable", "timeout", 429, "5xx")

_UNREACHABLE = ("connect", "tls", "breaker_open")
_KINDS = ("timeout", "protocol", "rejected", "too_large", "decode", *_UNREACHABLE)
_ANY_STATUS = range(100, 600)
_TOO_MANY_REQUESTS = 429
_ADVICE = (
    'a list such as ["unreachable", "timeout", 429, "5xx"], of statuses and of unreachable, '
    f"status, {', '.join(_KINDS)}"
)


class Failures(msgspec.Struct, frozen=True):
    """Ways in which an outcome is not ok.

    Attributes:
        kinds: kinds of errors, other than `status`.
        statuses: statuses that count, where the error is of the kind `status`.
    """

    kinds: frozenset[str]
    statuses: frozenset[int]

    @property
    def has_breaker_open(self) -> bool:
        """Whether an endpoint that is left alone counts."""
        return "breaker_open" in self.kinds

    @property
    def has_refusals(self) -> bool:
        """Whether an API that refuses more requests (429) counts."""
        return _TOO_MANY_REQUESTS in self.statuses

    def take(self, failure: Response | TransportError) -> bool:
        """Return whether a call that ended with this failure would be one of these."""
        if isinstance(failure, TransportError):
            return failure.kind in self.kinds
        if isinstance(failure, Judged) and failure.kind != "status":
            return failure.kind in self.kinds
        return failure.status in self.statuses

    def kind_of(self, failure: Response | TransportError | None) -> ErrorKind | None:
        """Return the kind of error of calls that are not made, as others end with this failure.

        None if it is not one of these, or there is none.
        """
        if failure is None or not self.take(failure):
            return None
        return failure.kind if isinstance(failure, TransportError) else "status"

    def include(self, outcome: Outcome) -> bool:
        """Return whether an outcome is not ok in one of these ways.

        A call that others kept from being sent, which were refused in one of these ways, has the
        kind `status` and no status.
        """
        if outcome.error is None or outcome.skipped:
            return False
        if outcome.error.kind == "status":
            return outcome.status is None or outcome.status in self.statuses
        return outcome.error.kind in self.kinds


def parse_fallback_on(words: Sequence[int | str]) -> Failures:
    """Return the failures that words such as `"unreachable"`, `429` and `"5xx"` mean.

    Raises:
        ConfigError: a word is none of them, or there is none.
    """
    if not words:
        raise ConfigError(f"no failure at all: use {_ADVICE}", key="fallback_on")
    kinds: set[str] = set()
    statuses: set[int] = set()
    for word in words:
        if word == "unreachable":
            kinds.update(_UNREACHABLE)
        elif word == "status":
            statuses.update(_ANY_STATUS)
        elif isinstance(word, str) and word in _KINDS:
            kinds.add(word)
        else:
            statuses |= _statuses(word)
    return Failures(frozenset(kinds), frozenset(statuses))


def _statuses(word: int | str) -> frozenset[int]:
    try:
        return parse_ok_status([word])
    except ConfigError:
        raise ConfigError(invalid("failure", word, _ADVICE), key="fallback_on") from None


class Fallback(msgspec.Struct, frozen=True):
    """The API that is called where another one is not ok.

    Attributes:
        index: its index in the plan.
        name: its name.
        on: when it is called.
        is_guarded: whether the requests of the other API are not idempotent by themselves, though
            it may repeat them under an `idempotency_key`.
    """

    index: int
    name: str
    on: Failures
    is_guarded: bool = False

    def takes(self, failure: Response | TransportError, attempts: int) -> bool:
        """Return whether a call may be left to it that ends with a refusal, at this attempt."""
        return self.on.take(failure) and (attempts == 1 or not self.is_guarded)

    def is_allowed(self, outcome: Outcome) -> bool:
        """Return whether the request of an outcome that is not ok may be made once more."""
        if outcome.error is None or outcome.error.ambiguous:
            return False
        if not self.is_guarded or not outcome.attempts:
            return True
        is_unprocessed = (
            outcome.status in NOT_PROCESSED
            if outcome.error.kind == "status"
            else outcome.error.kind in ("connect", "tls")
        )
        return is_unprocessed and outcome.attempts == 1  # earlier ones may have been applied

    def refused(self, outcome: Outcome) -> Outcome:
        """Return an outcome that may not be left to the fallback, with the reason."""
        assert outcome.error  # or it would not have been considered
        why = f"{self.name} was not called, as the request may have been applied"
        message = f"{outcome.error.message}; {why} (--idempotent, or idempotent = true, allows it)"
        return replace(outcome, error=replace(outcome.error, message=message))


def combine(
    name: str, outcome: Outcome, failed_name: str, failed: Outcome, seconds: float
) -> Outcome:
    """Return the outcome of a record that was left to a fallback.

    Args:
        name: of the fallback.
        outcome: of the fallback's own call.
        failed_name: of the API that was called before.
        failed: the outcome before, which is not ok.
        seconds: from the first attempt of all to the outcome.
    """
    error = outcome.error
    if error and failed.error:
        message = f"{error.message}; before that, {failed_name}: {failed.error.message}"
        error = ErrorInfo(error.kind, message, error.ambiguous, error.trace)
    attempts = failed.attempts + outcome.attempts
    trace = outcome.trace or failed.trace
    return replace(outcome, error=error, attempts=attempts, seconds=seconds, via=name, trace=trace)
