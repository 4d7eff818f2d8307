"""Retries: whether a failed attempt is repeated, and when.

The rules in one table:

    result of the attempt                            repeated
    ----------------------------------------------   -----------------------------------
    nothing was sent: refused, unreachable, ...      always
    408, 421, 425, 429, 503, 529                     always: the server did not process it
    500, 502, 504, 520 to 524                        if idempotent; otherwise ambiguous
    lost or timed out after sending                  if idempotent; otherwise ambiguous
    what the API's own rules say                     as these do (`core.requests.answer_rules`)
    any of these after a redirect from a POST        if idempotent; otherwise ambiguous
    kept-alive connection closed before a byte       if idempotent, at once, and uncounted
    anything else                                    never

A refusal (`Says.REFUSES`) is no failure: it says that the request was not processed, and usually
that the endpoint is short of capacity.  Its call waits, and is given up only where its own refusals
are evidence against it: k of them in a row, where the endpoint refused R and served N meanwhile,
have a probability of about (R / (R + N)) ** k if the call is like any other.  So a record that is
always refused ends, and an endpoint that is unwell loses no record.  Of one that never served
nothing is known yet, so calls wait for it; only one or two that are alone use up their retries.
Other failures use up the retries, unless the endpoint refuses or fails more than it serves.  Where
nothing would end the waiting, as there is no circuit breaker, all of them do.

The next attempt uses a new connection if the old one may be at fault: it was lost, it was silent,
or its server says so (421).  Other idle connections may be just as dead, if a middlebox has
forgotten them all.

The delay is exponential back-off with full jitter ("Exponential Backoff And Jitter", AWS
Architecture Blog, 2015), and at least Retry-After (RFC 9110, section 10.2.3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import MISDIRECTED, Response
from tmux_fanout.core.http.rate_headers import WELL_KNOWN, RateHeaders
from tmux_fanout.core.policy.answers import MAYBE_PROCESSED, Judged, Repeatable, repeatable
from tmux_fanout.core.units import show_duration

BACKOFF_BASE = 0.1
BACKOFF_CAP = 20.0
REFUSAL_CAP = 2.0
MAX_PAUSE_WITH_FALLBACK = 2.0  # seconds

_BY_CHANCE = 8  # refusals of a call that may be chance
_EVIDENCE = 13.8  # -ln(0.000001): how improbable the refusals of a call are if it is not at fault
_EVIDENCE_IF_PACED = 2 * _EVIDENCE  # as a limit may refuse large requests more often than others
_EVIDENCE_IF_DOWN = 4.6  # -ln(0.01)


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and for how long a call is retried, and whether it may be applied twice.

    Attributes:
        retries: maximum number of attempts after the first.
        timeout: seconds that the whole call may take.
        method: the HTTP method, for messages.
        idempotent: whether the same request may be applied twice.
        rate_headers: the rate-limit headers that count beside Retry-After; None: no others.
    """

    retries: int
    timeout: float
    method: str
    idempotent: bool
    rate_headers: RateHeaders | None = WELL_KNOWN


class Retry(NamedTuple):
    """The decision to make another attempt.

    Attributes:
        delay: seconds until then.
        fresh: whether it must use a new connection.
        counts: whether the attempt before it used up a retry.
        is_timed: whether the delay counts in the time of the call.
    """

    delay: float
    fresh: bool = False
    counts: bool = False
    is_timed: bool = False


class Evidence(NamedTuple):
    """What the endpoints did since a call was first refused or failed.

    Attributes:
        refused: number of attempts refused or failed, those of the call included.
        served: number of attempts served.
        has_served: whether the endpoints ever served.
        is_down: whether all of them are down.
        is_absent: whether they serve nothing, and have no breaker that would say that they are
            down, so that calls do not wait for them.
        is_paced: whether one of them is paced, as it refuses more.
        served_before: number of attempts served shortly before, if that counts.
        are_last: whether all calls that wait have begun, so that there are no others to find out
            more with.
        others: number of calls there are beside this one.
        elsewhere: how many of those other processes have.
        is_partial: whether other processes have not told yet what became of theirs.
    """

    refused: int
    served: int
    has_served: bool
    is_down: bool
    is_absent: bool = False
    is_paced: bool = False
    served_before: int = 0
    are_last: bool = False
    others: float = 0
    elsewhere: float = 0
    is_partial: bool = False

    def is_against(self, refusals: int) -> bool:
        """Return whether a call ends that was refused so often, mostly as it is at fault."""
        if self.is_absent:
            return not self.is_partial
        if not self.has_served:
            refused = max(self.refused, refusals + self.others)  # as they were refused, or will be
            return self.are_last and not self.is_down and 2 * refusals >= refused
        surprise = self._surprise(refusals)
        if self.is_down:
            return self.are_last and surprise >= _EVIDENCE_IF_DOWN
        is_unsure = self.is_paced and not self.are_last
        return surprise >= (_EVIDENCE_IF_PACED if is_unsure else _EVIDENCE)

    def _surprise(self, refusals: int) -> float:
        """Return the negative logarithm of how probable so many refusals are by chance.

        That is Fisher's exact test: C(R + N - k, N) / C(R + N, N).
        """
        refused, served = max(self.refused, refusals), self.served
        # Where others were refused as well, it may be an outage that began meanwhile.
        if refusals == refused and not self.elsewhere:
            served += self.served_before
        if not served:
            return 0.0
        others = refused - refusals
        return _log_choose(refused + served, served) - _log_choose(others + served, served)

    def is_by_chance(self, refusals: int) -> bool:
        """Return whether it is chance that a call was refused so often, and no lack of capacity.

        Then no pace has been set to spare the endpoints, and others are served meanwhile.
        """
        return not self.is_paced and not self.is_down and self.served >= refusals

    def is_unwell(self, setbacks: int) -> bool:
        """Return whether the endpoints fail most attempts, and not only the `setbacks` of one."""
        return not self.is_absent and self.refused > self.served and 2 * setbacks < self.refused


def _log_choose(n: int, k: int) -> float:
    """Return the logarithm of a binomial coefficient."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


NO_EVIDENCE = Evidence(0, 0, True, False)


def decide(
    policy: RetryPolicy,
    failure: Response | TransportError,
    *,
    attempts: int,
    used: float,
    jitter: float,
    failures: int = 0,
    refusals: int = 0,
    is_refusal: bool = False,
    evidence: Evidence = NO_EVIDENCE,
    retry_after: float | None = None,
    fresh: bool = False,
    has_fallback: bool = False,
) -> Retry | ErrorInfo:
    """Decide between another attempt and the error that the call ends with.

    Args:
        policy: the retry policy.
        failure: a response that is not ok, or an error.
        attempts: number of attempts made so far.
        used: seconds of the call's time that are used up.
        jitter: a number from 0 to 1, drawn uniformly by the caller.
        failures: number of attempts before this one that used up a retry.
        refusals: number of attempts that were refused, this one included.
        is_refusal: whether this one was.
        evidence: what the endpoints did meanwhile.
        retry_after: seconds that the server asked to wait, or None.
        fresh: whether the attempt used a new connection because an old one was at fault.
        has_fallback: whether another API takes a call that ends with this failure, so that it is
            not as patient as it is elsewhere.
    """
    rule = repeatable(failure, policy.rate_headers)
    if rule is Repeatable.NEVER or (rule is Repeatable.IF_IDEMPOTENT and not policy.idempotent):
        return final_error(policy, failure, attempts)
    is_stale = isinstance(failure, TransportError) and failure.stale
    if is_stale and not fresh and used < policy.timeout:
        return Retry(0.0, fresh=True)
    if is_refusal:
        has_reason = has_fallback or evidence.is_against(refusals)
        is_final = refusals > policy.retries and has_reason
    else:
        counts = not evidence.is_unwell(attempts)
        has_ended = failures + counts > policy.retries and not evidence.is_partial
        is_final = has_ended or used >= policy.timeout
    is_final = is_final or (has_fallback and evidence.is_down)  # as for the calls that wait
    why = ""
    if is_refusal and has_fallback and retry_after and retry_after > MAX_PAUSE_WITH_FALLBACK:
        why = f"the server asks to wait for {show_duration(retry_after)}"
    if is_final or why or not policy.retries:
        return final_error(policy, failure, attempts, "" if is_final else why)
    if is_refusal:
        count = refusals - _BY_CHANCE if evidence.is_by_chance(refusals) else refusals
        delay = max(_backoff(count, REFUSAL_CAP) * jitter, retry_after or 0.0)
        return Retry(delay, fresh=_connection_is_suspect(failure))
    delay = max(_backoff(attempts, BACKOFF_CAP) * jitter, retry_after or 0.0)
    if used + delay >= policy.timeout:
        why = f"another attempt in {show_duration(delay)} would pass the timeout of "
        return final_error(policy, failure, attempts, why + show_duration(policy.timeout))
    return Retry(delay, fresh=_connection_is_suspect(failure), counts=counts, is_timed=True)


def _backoff(count: int, cap: float) -> float:
    return min(cap, BACKOFF_BASE * 2.0 ** min(max(count, 1) - 1, 32))


def _connection_is_suspect(failure: Response | TransportError) -> bool:
    if isinstance(failure, Response):
        return failure.status == MISDIRECTED
    return failure.sent


def final_error(
    policy: RetryPolicy, failure: Response | TransportError, attempts: int, why: str = ""
) -> ErrorInfo:
    """Return the error of a call that ends with a failure.

    Args:
        policy: the retry policy.
        failure: a response whose status is not ok, or an error.
        attempts: number of attempts made.
        why: why there is no other attempt, for the message, or "".
    """
    kind: ErrorKind = "status"
    trace = ""
    if isinstance(failure, TransportError):
        kind, message, sent = failure.kind, failure.message, failure.sent
        trace = failure.trace
    else:
        message = f"HTTP {failure.status}"
        sent = failure.answered or failure.status in MAYBE_PROCESSED
        if isinstance(failure, Judged):
            kind = failure.kind
            sent = sent or failure.repeatable is Repeatable.IF_IDEMPOTENT
    if attempts > 1 and kind != "template":
        message += f" after {attempts} attempts"
    if isinstance(failure, Response) and failure.note:
        message += f"; {failure.note}"
    if why:
        message += f"; {why}"
    ambiguous = sent and not policy.idempotent
    if (
        ambiguous
        and policy.retries
        and repeatable(failure, policy.rate_headers) is Repeatable.IF_IDEMPOTENT
    ):
        message += f"; not retried, as the {policy.method} may have been applied"
        message += " (--idempotent, or idempotent = true, allows it)"
    return ErrorInfo(kind, message, ambiguous, trace)
