"""Whether an attempt that went wrong is made again, and when.

The rules in one table:

    what came back                                   made again
    ----------------------------------------------   -----------------------------------
    nothing was sent: refused, unreachable, ...      always
    408, 421, 425, 429, 503                          always: the server did not process it
    500, 502, 504; lost or timed out once sent       if idempotent; else it is ambiguous
    any of these where a redirect led from POST      if idempotent; else it is ambiguous
    a kept-alive connection closed before a byte     if idempotent, at once, for free
    anything else                                    never

Another attempt takes a new connection where the old one may be to blame: it was lost, it stayed
silent, or its server says so (421).  Others that lie idle may be as dead: what is between them and
their server has forgotten all of them.

The waiting time is exponential back-off with full jitter ("Exponential Backoff And Jitter", AWS
Architecture Blog, 2015); Retry-After (RFC 9110, section 10.2.3) is a floor under it.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import MISDIRECTED, Response
from tmux_fanout.core.units import show_duration

BACKOFF_BASE = 0.1
BACKOFF_CAP = 20.0

_NOT_PROCESSED = frozenset({408, 421, 425, 429, 503})
_MAYBE_PROCESSED = frozenset({500, 502, 504})


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often, how long, and what may be sent twice.

    Attributes:
        retries: attempts after the first.
        timeout: seconds that the whole call may take.
        method: for messages.
        idempotent: whether the same request may be applied twice.
    """

    retries: int
    timeout: float
    method: str
    idempotent: bool


class Again(NamedTuple):
    """Make another attempt in `delay` seconds.

    Attributes:
        fresh: on a new connection.
        free: without counting it as a retry.
    """

    delay: float
    fresh: bool = False
    free: bool = False


class Repeatable(enum.Enum):
    ALWAYS = enum.auto()
    IF_IDEMPOTENT = enum.auto()
    NEVER = enum.auto()


def repeatable(trouble: Response | TransportError) -> Repeatable:
    """What the kind of trouble alone says about making the request again."""
    if isinstance(trouble, Response):
        if trouble.status in _NOT_PROCESSED:
            return Repeatable.IF_IDEMPOTENT if trouble.answered else Repeatable.ALWAYS
        return Repeatable.IF_IDEMPOTENT if trouble.status in _MAYBE_PROCESSED else Repeatable.NEVER
    if not trouble.transient:
        return Repeatable.NEVER
    return Repeatable.IF_IDEMPOTENT if trouble.sent else Repeatable.ALWAYS


def decide(
    policy: RetryPolicy,
    trouble: Response | TransportError,
    *,
    attempts: int,
    elapsed: float,
    jitter: float,
    retry_after: float | None = None,
    fresh: bool = False,
    free: int = 0,
) -> Again | ErrorInfo:
    """Another attempt, or the error that the call ends with.

    Args:
        trouble: a response whose status is not ok, or a failure.
        attempts: made so far.
        elapsed: seconds since the first attempt began.
        jitter: from 0 to 1, drawn uniformly by the caller.
        retry_after: seconds that the server asked to wait.
        fresh: whether the attempt was on a new connection because an old one was to blame.
        free: attempts that do not count as retries, since they made up for stale connections.
    """
    rule = repeatable(trouble)
    if rule is Repeatable.NEVER or (rule is Repeatable.IF_IDEMPOTENT and not policy.idempotent):
        return final_error(policy, trouble, attempts)
    is_stale = isinstance(trouble, TransportError) and trouble.stale
    if is_stale and not fresh and elapsed < policy.timeout:
        return Again(0.0, fresh=True, free=True)
    if attempts - free > policy.retries or elapsed >= policy.timeout:
        return final_error(policy, trouble, attempts)
    delay = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(attempts - 1, 32)) * jitter
    delay = max(delay, retry_after or 0.0)
    if elapsed + delay >= policy.timeout:
        wait = f"another attempt in {show_duration(delay)} would pass the timeout of "
        return final_error(policy, trouble, attempts, wait + show_duration(policy.timeout))
    return Again(delay, fresh=_blames_connection(trouble))


def _blames_connection(trouble: Response | TransportError) -> bool:
    if isinstance(trouble, Response):
        return trouble.status == MISDIRECTED
    return trouble.sent


def final_error(
    policy: RetryPolicy, trouble: Response | TransportError, attempts: int, why: str = ""
) -> ErrorInfo:
    """The error of a call that ends with `trouble` after so many attempts, and why it does now."""
    kind: ErrorKind = "status"
    trace = ""
    if isinstance(trouble, TransportError):
        kind, message, sent = trouble.kind, trouble.message, trouble.sent
        trace = trouble.trace
    else:
        message = f"HTTP {trouble.status}"
        sent = trouble.answered or trouble.status in _MAYBE_PROCESSED
    if attempts > 1:
        message += f" after {attempts} attempts"
    if isinstance(trouble, Response) and trouble.note:
        message += f"; {trouble.note}"
    if why:
        message += f"; {why}"
    ambiguous = sent and not policy.idempotent
    if ambiguous and repeatable(trouble) is Repeatable.IF_IDEMPOTENT:
        message += f"; not repeated: the {policy.method} may have been applied;"
        message += " --idempotent, or idempotent = true in the file, allows it"
    return ErrorInfo(kind, message, ambiguous, trace)
