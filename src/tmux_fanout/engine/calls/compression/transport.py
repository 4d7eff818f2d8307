"""Sending requests compressed, by a transport around that of the API.

An API without `compress` takes no step for it.  Whatever signs requests is inside, and signs what
is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.engine.calls.call import Attempt
from tmux_fanout.engine.calls.compression.compression import Compression
from tmux_fanout.transports.base import Handle, P, Progress, TasklessTransport, Transport


def compressing(transport: Transport, compression: Compression) -> Transport:
    """Return a transport that sends the requests of `Attempt`s compressed."""
    if isinstance(transport, TasklessTransport):
        return TasklessCompressing(transport, compression)
    return Compressing(transport, compression)


class Compressing:
    """Compresses the requests of one API; arguments as for `compressing`."""

    def __init__(self, transport: Transport, compression: Compression) -> None:
        self._transport = transport
        self._compression = compression

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._compression!r}, {self._transport!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        attempt = cast(Attempt, progress)  # the engine sends nothing else
        request = await self._compression.in_thread(request, attempt)
        return await self._transport.send(request, progress)

    async def aclose(self) -> None:
        await self._transport.aclose()


class TasklessCompressing(Compressing):
    """The same for a transport that makes attempts without tasks; large bodies need one."""

    _transport: TasklessTransport

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Handle | None:
        ready = self._compression.at_once(request, cast(Attempt, progress))
        return None if ready is None else self._transport.begin(ready, progress, answered, now)

    async def attend(self, passed: Callable[[], object]) -> None:
        await self._transport.attend(passed)
