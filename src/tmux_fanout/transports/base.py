"""The interface between the engine and a transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response


class Progress(Protocol):
    """How far one attempt has come; shared by the engine and a transport.

    Attributes:
        sent: set by the transport before the first byte of the request may leave.  If the attempt
            is cancelled, it tells whether the request may have been applied.
        fresh: set by the engine where a kept-alive connection must not be used.
        connected_at: set by the transport when it has made a connection, if it had to make one.
        first_byte_at: set by the transport when the response begins, unless it arrives whole.
    """

    sent: bool
    fresh: bool
    connected_at: float
    first_byte_at: float


class Transport(Protocol):
    """Sends requests to one API, and keeps its connections between them.

    A transport never queues: all requests that the engine sends at the same time are under way at
    the same time.  It may be cancelled at any await, and then closes the connection in use.
    """

    async def send(self, request: Request, progress: Progress) -> Response:
        """Make one attempt.

        Args:
            request: what to send.
            progress: filled in as the attempt proceeds.

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


class Handle(Protocol):
    """Cancels an attempt that is under way; a `trio.CancelScope` is one."""

    def cancel(self) -> None:
        """Break off the attempt and close its connection.

        An attempt without a task is not reported any more.
        """
        ...


@runtime_checkable
class TasklessTransport(Transport, Protocol):
    """A transport that can make an attempt without a task of its own, which costs less."""

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Handle | None:
        """Make one attempt, if it can begin at once.

        Args:
            request: what to send.
            progress: filled in as the attempt proceeds.
            answered: called later, by the task in `attend`, with `progress` and what `send` would
                have returned or raised; returns the time.
            now: the time.

        Returns:
            A handle on the attempt; None where it has to be made by `send`.
        """
        ...

    async def attend(self, passed: Callable[[], object]) -> None:
        """Look after the attempts that were begun, until cancelled.

        Without it no attempt can begin at once.

        Args:
            passed: called whenever some attempts may have been answered, which is the best time to
                begin others.
        """
        ...
