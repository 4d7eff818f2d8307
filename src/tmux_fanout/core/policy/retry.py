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

The next attempt uses a new connection if the old one may be at fault: it was lost, it was silent,
or its server says so (421).  Other idle connections may be just as dead, if a middlebox has
forgotten them all.

The delay is exponential back-off with full jitter ("Exponential Backoff And Jitter", AWS
Architecture Blog, 2015), and at least Retry-After (RFC 9110, section 10.2.3).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import MISDIRECTED, Response
from tmux_fanout.core.policy.answers import MAYBE_PROCESSED, Judged, Repeatable, repeatable
from tmux_fanout.core.units import show_duration

BACKOFF_BASE = 0.1
BACKOFF_CAP = 20.0


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and for how long a call is retried, and whether it may be applied twice.

    Attributes:
        retries: maximum number of attempts after the first.
        timeout: seconds that the whole call may take.
        method: the HTTP method, for messages.
        idempotent: whether the same request may be applied twice.
    """

    retries: int
    timeout: float
    method: str
    idempotent: bool


class Retry(NamedTuple):
    """The decision to make another attempt.

    Attributes:
        delay: seconds until then.
        fresh: whether it must use a new connection.
        free: whether it does not count as a retry.
    """

    delay: float
    fresh: bool = False
    free: bool = False


def decide(
    policy: RetryPolicy,
    failure: Response | TransportError,
    *,
    attempts: int,
    elapsed: float,
    jitter: float,
    retry_after: float | None = None,
    fresh: bool = False,
    free: int = 0,
) -> Retry | ErrorInfo:
    """Decide between another attempt and the error that the call ends with.

    Args:
        policy: the retry policy.
        failure: a response whose status is not ok, or an error.
        attempts: number of attempts made so far.
        elapsed: seconds since the first attempt began.
        jitter: a number from 0 to 1, drawn uniformly by the caller.
        retry_after: seconds that the server asked to wait, or None.
        fresh: whether the attempt used a new connection because an old one was at fault.
        free: number of attempts that do not count as retries, such as those that replaced stale
            connections.
    """
    rule = repeatable(failure)
    if rule is Repeatable.NEVER or (rule is Repeatable.IF_IDEMPOTENT and not policy.idempotent):
        return final_error(policy, failure, attempts)
    is_stale = isinstance(failure, TransportError) and failure.stale
    if is_stale and not fresh and elapsed < policy.timeout:
        return Retry(0.0, fresh=True, free=True)
    if attempts - free > policy.retries or elapsed >= policy.timeout:
        return final_error(policy, failure, attempts)
    delay = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(attempts - 1, 32)) * jitter
    delay = max(delay, retry_after or 0.0)
    if elapsed + delay >= policy.timeout:
        why = f"another attempt in {show_duration(delay)} would pass the timeout of "
        return final_error(policy, failure, attempts, why + show_duration(policy.timeout))
    return Retry(delay, fresh=_connection_is_suspect(failure))


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
    if attempts > 1:
        message += f" after {attempts} attempts"
    if isinstance(failure, Response) and failure.note:
        message += f"; {failure.note}"
    if why:
        message += f"; {why}"
    ambiguous = sent and not policy.idempotent
    if ambiguous and repeatable(failure) is Repeatable.IF_IDEMPOTENT:
        message += f"; not retried, as the {policy.method} may have been applied"
        message += " (--idempotent, or idempotent = true, allows it)"
    return ErrorInfo(kind, message, ambiguous, trace)
