"""What the answer to an attempt means, for its endpoint and for the request itself.

The status decides, unless the user's own rules for the API do (`core.requests.answer_rules`).
Statuses above 511 are not registered, but common: 529 is an overloaded server, and 520 to 524 are
Cloudflare's, for an origin that failed or did not answer.
"""

from __future__ import annotations

import enum

from tmux_fanout.core.errors import ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import WELL_KNOWN, RateHeaders, refuses

NOT_PROCESSED = frozenset({408, 421, 425, 429, 503, 529})
MAYBE_PROCESSED = frozenset({500, 502, 504, 520, 521, 522, 523, 524})
_FAILED = MAYBE_PROCESSED - {500}
DENIED = frozenset({401, 402, 407})


class Says(enum.Enum):
    """What the result of an attempt says about its endpoint."""

    SERVES = enum.auto()
    REFUSES = enum.auto()  # for now: nothing was processed
    FAILS = enum.auto()  # it, or a server behind it, cannot serve
    HANGS = enum.auto()  # no answer in time
    DENIES = enum.auto()  # for a reason that holds for every request
    NOTHING = enum.auto()


def says(answer: Response | TransportError, known: RateHeaders | None = WELL_KNOWN) -> Says:
    """Return what an answer says about its endpoint.

    A plain 500 may be the fault of its own record, so it counts as service.  A healthy server may
    close a kept-alive connection at any time, even as it is used again (RFC 9112, section 9.5), and
    a shortage on this machine is not the server's doing: neither says anything.

    Args:
        answer: the result of an attempt.
        known: the rate-limit headers that count beside Retry-After; None: no others.
    """
    if isinstance(answer, TransportError):
        return _error_says(answer)
    if refuses(answer, known):
        return Says.REFUSES
    if answer.status in DENIED:
        return Says.DENIES
    return Says.FAILS if answer.status in _FAILED else Says.SERVES


def _error_says(error: TransportError) -> Says:
    if error.stale or error.shortage or error.kind in ("internal", "template"):
        return Says.NOTHING
    if error.kind in ("connect", "tls"):
        return Says.FAILS if error.sent or not error.transient else Says.REFUSES
    if error.kind == "timeout":
        return Says.HANGS
    is_lost = error.kind == "protocol" and error.transient
    return Says.FAILS if is_lost else Says.SERVES


class Repeatable(enum.Enum):
    """Whether a request may be repeated after a failure."""

    ALWAYS = enum.auto()
    IF_IDEMPOTENT = enum.auto()
    NEVER = enum.auto()


class Judged(Response, frozen=True, gc=False, kw_only=True):
    """A response that is not ok, with what the rules of its API say of it.

    Attributes:
        repeatable: whether the request may be repeated.
        kind: of the error that the call ends with if it is not; `note` says why.
    """

    repeatable: Repeatable
    kind: ErrorKind = "status"


def repeatable(
    failure: Response | TransportError, known: RateHeaders | None = WELL_KNOWN
) -> Repeatable:
    """Return whether a failed attempt may be repeated, as far as the failure alone tells.

    Args:
        failure: a response that is not ok, or an error.
        known: the rate-limit headers that count beside Retry-After; None: no others.
    """
    if isinstance(failure, Response):
        if isinstance(failure, Judged):
            return failure.repeatable
        is_passing = failure.status in NOT_PROCESSED or failure.status in MAYBE_PROCESSED
        if is_passing or refuses(failure, known):
            return repeatable_on_request(failure)
        return Repeatable.NEVER
    if not failure.transient:
        return Repeatable.NEVER
    return Repeatable.IF_IDEMPOTENT if failure.sent else Repeatable.ALWAYS


def is_denied(answer: Response | TransportError) -> bool:
    """Return whether a request was denied for a reason that may hold for all others.

    A key may have expired, or a quota be used up for good: the latter is a 429 of which the API's
    own rules say that another attempt is of no use.
    """
    if not isinstance(answer, Response):
        return False
    is_final = isinstance(answer, Judged) and answer.repeatable is Repeatable.NEVER
    return answer.status in DENIED or (answer.status == 429 and is_final)


def describe_status(status: int, credentials: str) -> str:
    """Return a status for a message, with what to do where every request is denied.

    Args:
        status: of a response that is not ok.
        credentials: the setting that has those of the API; "" if none has.
    """
    if status == 401:
        if credentials:
            return f"HTTP 401: check the key in its {credentials}"
        return "HTTP 401: no key is sent: add one by -H, auth or headers"
    return "HTTP 402: check its bill" if status == 402 else f"HTTP {status}"


def repeatable_on_request(response: Response) -> Repeatable:
    """Return whether the request of a response may be repeated, if the user asks for that.

    A server that answers 4xx, 503 or 529 has not processed the request.  Any other answer may come
    after it was processed, and so may all of them after a redirect from a POST.
    """
    was_refused = 400 <= response.status < 500 or response.status in NOT_PROCESSED
    if was_refused and not response.answered:
        return Repeatable.ALWAYS
    return Repeatable.IF_IDEMPOTENT
