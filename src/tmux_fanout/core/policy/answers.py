"""What the answer to an attempt means: whether the same request may be sent again."""

from __future__ import annotations

import enum

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response

NOT_PROCESSED = frozenset({408, 421, 425, 429, 503})
MAYBE_PROCESSED = frozenset({500, 502, 504})


class Repeatable(enum.Enum):
    """Whether a request may be repeated after a failure."""

    ALWAYS = enum.auto()
    IF_IDEMPOTENT = enum.auto()
    NEVER = enum.auto()


def repeatable(failure: Response | TransportError) -> Repeatable:
    """Return whether a failed attempt may be repeated, as far as the failure alone tells.

    Args:
        failure: a response whose status is not ok, or an error.
    """
    if isinstance(failure, Response):
        if failure.status in NOT_PROCESSED:
            return Repeatable.IF_IDEMPOTENT if failure.answered else Repeatable.ALWAYS
        return Repeatable.IF_IDEMPOTENT if failure.status in MAYBE_PROCESSED else Repeatable.NEVER
    if not failure.transient:
        return Repeatable.NEVER
    return Repeatable.IF_IDEMPOTENT if failure.sent else Repeatable.ALWAYS
