"""What the engine asks of a transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response


class Progress(Protocol):
    """How far one attempt has come, shared by the engine and a transport.

    Attributes:
        sent: set by the transport before the first byte of the request may leave.  It tells, when
            the attempt is cancelled, whether the request may have been applied.
        fresh: set by the engine where a kept-alive connection must not be used.
        connected_at: set by the transport where it had to make a connection, once it has.
        first_byte_at: set by the transport where a response did not come at once, as it begins.
    """

    sent: bool
    fresh: bool
    connected_at: float
    first_byte_at: float


class Transport(Protocol):
    """Sends requests to one API; keeps its connections between them.

    It never queues: as many requests as the engine sends at the same time are under way at the
    same time.  It is cancelled at any await, and then closes the connection it was using.
    """

    async def send(self, request: Request, progress: Progress) -> Response:
        """Make one attempt.

        Returns:
            The whole response, its body decoded.

        Raises:
            TransportError: no acceptable response came, for any reason but cancellation.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection.  Returns soon, cancelled or not."""
        ...


P = TypeVar("P", bound=Progress)


class Exchange(Protocol):
    """An attempt that is under way without a task."""

    def cancel(self) -> None:
        """Break it off, and close its connection; nothing is told of it any more."""
        ...


@runtime_checkable
class TasklessTransport(Transport, Protocol):
    """A transport that can make attempts without a task for each, which costs less."""

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Exchange | None:
        """Make one attempt, if that can begin at once.

        Args:
            answered: called with `progress` and what `send` would have returned or raised, later,
                by the task that attends to it; returns the time.
            now: the time.

        Returns:
            What is under way; None where it has to be made by `send`.
        """
        ...

    async def attend(self, passed: Callable[[], object]) -> None:
        """See to what was begun, until cancelled; no attempt can begin at once without it.

        Args:
            passed: called whenever some attempts may have been answered; the best time to begin
                others.
        """
        ...
