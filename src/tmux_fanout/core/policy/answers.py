"""What the answer to an attempt means: whether the same request may be sent again.

The status decides, unless the user's own rules for the API do (`core.requests.answer_rules`).
Statuses above 511 are not registered, but common: 529 is an overloaded server, and 520 to 524 are
Cloudflare's, for an origin that failed or did not answer.
"""

from __future__ import annotations

import enum

from tmux_fanout.core.errors import ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response

NOT_PROCESSED = frozenset({408, 421, 425, 429, 503, 529})
MAYBE_PROCESSED = frozenset({500, 502, 504, 520, 521, 522, 523, 524})


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


def repeatable(failure: Response | TransportError) -> Repeatable:
    """Return whether a failed attempt may be repeated, as far as the failure alone tells.

    Args:
        failure: a response that is not ok, or an error.
    """
    if isinstance(failure, Response):
        if isinstance(failure, Judged):
            return failure.repeatable
        if failure.status in NOT_PROCESSED or failure.status in MAYBE_PROCESSED:
            return repeatable_on_request(failure)
        return Repeatable.NEVER
    if not failure.transient:
        return Repeatable.NEVER
    return Repeatable.IF_IDEMPOTENT if failure.sent else Repeatable.ALWAYS


def repeatable_on_request(response: Response) -> Repeatable:
    """Return whether the request of a response may be repeated, if the user asks for that.

    A server that answers 4xx, 503 or 529 has not processed the request.  Any other answer may come
    after it was processed, and so may all of them after a redirect from a POST.
    """
    was_refused = 400 <= response.status < 500 or response.status in NOT_PROCESSED
    if was_refused and not response.answered:
        return Repeatable.ALWAYS
    return Repeatable.IF_IDEMPOTENT
