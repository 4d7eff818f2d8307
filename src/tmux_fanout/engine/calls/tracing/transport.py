"""Sending each attempt with a header that names its trace (`traceparent = true`).

A record is one trace, at all APIs and in all attempts; a batch, which many records share, is one of
its own.  A request that has the header already, as the user has configured it, goes out as it is.

The header is added by a transport around that of the API: an API without `traceparent` takes no
step for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

from msgspec.structs import replace

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.tracing.traceparent import (
    PARENT_ID_SIZE,
    TRACE_ID_SIZE,
    find_traceparent,
    trace_id_of,
    traceparent,
    with_traceparent,
)
from tmux_fanout.engine.calls.call import Attempt, Call
from tmux_fanout.transports.base import Handle, P, Progress, TasklessTransport, Transport

Settled = Callable[[Call, int], None]


def tracing(
    transport: Transport,
    urandom: Callable[[int], bytes] = os.urandom,
    *,
    sends_header: bool = True,
) -> Transport:
    """Return a transport that sends `Attempt`s with `traceparent`, and notes their traces.

    Args:
        transport: sends the requests.
        urandom: returns as many random bytes as asked for.
        sends_header: whether the header is sent; else traces are only noted.
    """
    if isinstance(transport, TasklessTransport):
        return TasklessTracing(transport, urandom, sends_header=sends_header)
    return Tracing(transport, urandom, sends_header=sends_header)


def attaching_traces(settled: Settled) -> Settled:
    """Return a function that adds a call's trace to its outcome, and calls `settled`."""

    def attach(call: Call, size: int) -> None:
        trace_id = getattr(call, "trace_id", "")  # set once an attempt has begun
        if trace_id and call.outcome is not None:
            call.outcome = replace(call.outcome, trace=trace_id)
        settled(call, size)

    return attach


class Tracing:
    """Adds the header to the requests of one API; arguments as for `tracing`."""

    def __init__(
        self, transport: Transport, urandom: Callable[[int], bytes], *, sends_header: bool
    ) -> None:
        self._transport = transport
        self._urandom = urandom
        self._sends_header = sends_header

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._transport!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        return await self._transport.send(self._traced(request, progress), progress)

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _traced(self, request: Request, progress: Progress) -> Request:
        """Return the request of an attempt with the header."""
        attempt = cast(Attempt, progress)  # the engine sends nothing else
        call = attempt.call
        attempt.span_id = self._urandom(PARENT_ID_SIZE).hex()
        given = find_traceparent(request.head.headers) if self._sends_header else None
        trace_id = self._trace_of(call) if given is None else trace_id_of(given)
        for each in (call, *call.members):
            each.trace_id = trace_id
        if given is not None or not self._sends_header:
            return request
        return with_traceparent(request, traceparent(trace_id, attempt.span_id))

    def _trace_of(self, call: Call) -> str:
        """Return the trace of a batch or, for any other call, of its record."""
        owner = call if call.members else call.pending
        if not hasattr(owner, "trace_id"):
            owner.trace_id = self._urandom(TRACE_ID_SIZE).hex()
        return owner.trace_id


class TasklessTracing(Tracing):
    """The same for a transport that makes attempts without tasks."""

    _transport: TasklessTransport

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Handle | None:
        return self._transport.begin(self._traced(request, progress), progress, answered, now)

    async def attend(self, passed: Callable[[], object]) -> None:
        await self._transport.attend(passed)
