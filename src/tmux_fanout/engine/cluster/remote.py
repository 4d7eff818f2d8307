"""A child on another machine, with the methods of a process and of the ends of its pipes.

A cluster is driven from a thread of its own, so whatever it does is a future, which a task of trio
waits for here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar

import trio

from tmux_fanout.engine.workers.member.sent_flags import parse_flags
from tmux_fanout.engine.workers.spawn import Child

T = TypeVar("T")

_LINGER = 0.003  # seconds for each member: a message costs this process 0.2 ms


class End(NamedTuple):
    """The end of a child: its exit status, and the memory of its sent flags."""

    status: int
    flags: bytes


class Relay(Protocol):
    """The way to a child.  A future raises OSError if the relay cannot be reached any more."""

    def receive(self, linger: float) -> Future[tuple[bytes, End | None]]:
        """Wait for bytes from the child, or for its end.

        Args:
            linger: seconds between two messages, in which bytes are gathered.
        """

    def send(self, data: bytes) -> Future[None]:
        """Send bytes to the child."""

    def close(self) -> Future[None]:
        """Send no more, so that the child ends."""

    def greet(self) -> Future[None]:
        """Show that this process is still there."""

    def stop(self) -> Future[None]:
        """Kill the child, and let go of the relay."""


class Started(NamedTuple):
    """A relay with its child; or why there is none, as a line for the user."""

    relay: Relay | None
    refusal: str = ""


class Cluster(Protocol):
    """Machines that children can run on, each with an address.

    A future raises OSError if the cluster cannot be reached.
    """

    def members(self) -> Future[Collection[str]]:
        """Return the addresses of those that are there."""

    def start(
        self, address: str, assignment: bytes, flags: tuple[int, int] | None
    ) -> Future[Started]:
        """Start a child where tmux-fanout has our version.

        Args:
            address: where.
            assignment: of the child.
            flags: the number of records and of APIs to keep sent flags of; None: no flags.
        """

    def close(self) -> None:
        """Leave the cluster; all relays and children end."""


class Remote:
    """A child behind a relay.

    Args:
        relay: the way to it.
        apis: number of APIs.
        members: how many there are.

    Attributes:
        silence: how many ticks of `tick` it has not said anything, while it was listened to.
    """

    pid = 0

    def __init__(self, relay: Relay, apis: int, members: Collection[object]) -> None:
        self._relay = relay
        self._apis = apis
        self._members = members
        self._pending: set[Future[Any]] = set()
        self._is_lost = self._is_stopped = self._is_listening = False
        self._end: End | None = None
        self.silence = 0

    def __repr__(self) -> str:
        state = self._end or ("lost" if self._is_lost else "running")
        return f"<Remote: {self._relay!r}, {state}>"

    @property
    def child(self) -> Child:
        """This as the child of a worker."""
        return Child(self, _Orders(self), _Reports(self))

    def tick(self) -> None:
        """Count a tick of silence, and show the relay that this process is there."""
        self.silence += self._is_listening
        if not self._is_lost:
            self._relay.greet()

    def lose(self) -> None:
        """Listen no more, and let tasks that wait for an answer go on without."""
        self._is_lost = True
        for future in list(self._pending):
            future.cancel()

    def kill(self) -> None:
        self.lose()
        if not self._is_stopped:
            self._is_stopped = True
            self._relay.stop()  # also where it was lost: it may still be there, and hear of this

    def wait(self) -> int | None:
        return self._end and self._end.status

    def read(self) -> Mapping[int, Sequence[bool]] | None:
        """Return the sent flags, as a `FlagsReader` does."""
        return None if self._end is None else parse_flags(self._end.flags, self._apis)

    def close(self) -> None:
        """Do nothing: the memory is the relay's."""

    async def receive(self) -> bytes:
        """Return the next bytes from the child; none at its end, or once it is lost."""
        data = b""
        while not (data or self._end or self._is_lost):
            self._is_listening = True
            try:
                linger = _LINGER * len(self._members)
                data, self._end = await self._answer(self._relay.receive(linger))
            except OSError:
                self._is_lost = True
            finally:
                self._is_listening = False
            self.silence = 0
        return data

    async def send(self, data: bytes) -> None:
        if self._is_lost:
            raise BrokenPipeError("the worker is lost")
        await self._answer(self._relay.send(data))

    def close_orders(self) -> None:
        if not self._is_lost:
            self._relay.close()

    async def _answer(self, future: Future[T]) -> T:
        self._pending.add(future)
        try:
            return await wait_for(future)
        except CancelledError:
            raise BrokenPipeError("the worker is lost") from None
        finally:
            self._pending.discard(future)


class _Orders:
    """The end of the pipe to a child."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._is_open = True

    async def send(self, data: bytes) -> None:
        await self._remote.send(data)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._remote.close_orders()


class _Reports:
    """The end of the pipe from a child."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def receive(self) -> bytes:
        return await self._remote.receive()

    def close(self) -> None:
        """Do nothing: nobody listens any more."""


async def wait_for(future: Future[T]) -> T:
    """Wait for a future of another thread, and return its result."""
    done, token = trio.Event(), trio.lowlevel.current_trio_token()

    def wake(_: object) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    future.add_done_callback(wake)
    try:
        await done.wait()
    except trio.Cancelled:
        future.cancel()
        raise
    return future.result()
