"""What follows an ok answer of a call that may make several requests in a row.

A series has no clock and sends nothing.  It is told each ok answer, and returns the request that
comes next, or the answer that the call ends with.  Failed attempts are repeated as elsewhere, and
it is not told of them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.policy.retry import RetryPolicy


class Next(NamedTuple):
    """The request that comes next, and the seconds to wait before it."""

    request: Request
    delay: float = 0.0


class Series(Protocol):
    """The requests of one call.

    Attributes:
        policy: how often the current request is repeated.
        before: number of attempts that the call had made before the current request.
        answer: the last ok answer, or None.
        is_paid: whether the requests after the first cost nothing.
        noun: what each of those is called, for reports.
        remark: what the last answer shows to be wrong with a setting, for the user; or "".
    """

    policy: RetryPolicy
    before: int
    answer: Response | None
    is_paid: bool
    noun: str
    remark: str

    @property
    def size(self) -> int:
        """The bytes that it keeps of the answers so far."""
        ...

    def follow(
        self, answer: Response, now: float, asked_pause: float
    ) -> Next | Response | ErrorInfo:
        """Return what follows an ok answer: a request, the final answer, or an error.

        Args:
            answer: to the current request.
            now: the time, by any clock.
            asked_pause: seconds that the answer asks to wait.
        """
        ...

    def why_late(self, time: float) -> ErrorInfo | None:
        """Return the error of a call that would send its current request again at some time.

        None: it still may.
        """
        ...

    def describe(self, error: ErrorInfo) -> ErrorInfo:
        """Return the error of the call, given that of its current request."""
        ...
