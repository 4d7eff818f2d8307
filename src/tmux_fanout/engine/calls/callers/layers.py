"""What settings of an API or a run put around the steps of a call.

A step that has no such setting stays what it is, and so costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.spending.meter import Meter
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.callers.context import ApiContext
from tmux_fanout.engine.calls.compression.compression import Compression
from tmux_fanout.engine.calls.compression.transport import compressing
from tmux_fanout.engine.calls.outcomes.series import releasing
from tmux_fanout.engine.calls.outcomes.timings import (
    Ended,
    Settled,
    attaching_timings,
    keeping_timings,
)
from tmux_fanout.engine.calls.tracing.transport import attaching_traces, tracing
from tmux_fanout.transports.base import Transport


class Layers:
    """Wrap the steps of one API's calls in what its settings ask for.

    Args:
        plan: the API.
        context: has timings, spans and a meter, and what the callers of hosts share.
    """

    def __init__(self, plan: ApiPlan, context: ApiContext) -> None:
        self._plan = plan
        self._run = context.run
        self._meter = context.meter
        self._shared = context.shared
        self._compression = (
            Compression(plan.name, context.statistics, context.run.notify)
            if plan.compress
            else None
        )

    def __repr__(self) -> str:
        return f"<Layers of {self._plan.name}>"

    def around_transport(self, transport: Transport) -> Transport:
        """Return a transport whose requests are compressed, and then traced."""
        if self._plan.traceparent or self._run.spans:
            transport = tracing(transport, sends_header=self._plan.traceparent)
        if self._compression:
            transport = compressing(transport, self._compression)
        return transport

    def around_ended(self, ended: Ended, repeat: Callable[[Call, Response], bool]) -> Ended:
        """Return what is called with each attempt that has ended, and then calls `ended`.

        Args:
            ended: concludes an attempt.
            repeat: makes the last attempt of a call once more, if it may.
        """
        if self._compression:
            ended = self._compression.ended(ended, repeat)
        if self._shared:
            ended = self._shared.ended(ended)
        if self._run.spans:
            ended = self._run.spans.of_attempts(ended)
        return keeping_timings(ended) if self._run.timings else ended

    def around_settled(self, settled: Settled) -> Settled:
        """Return what completes the outcome of each call, and then calls `settled`."""
        plan, run = self._plan, self._run
        if run.timings:
            settled = attaching_timings(settled, run.starts)
        if run.spans and not self._shared:  # `HostCallers` does that for hosts
            settled = run.spans.of_calls(plan.name, settled)
        if plan.traceparent:
            settled = attaching_traces(settled)
        if plan.series:
            settled = releasing(settled, run.kept)
        if self._meter and self._meter.is_counting:
            settled = _counting(self._meter, settled)
        return settled


def _counting(meter: Meter, settled: Settled) -> Settled:
    """Return a function that has a call's spending counted before it passes the call on."""

    def count(call: Call, size: int) -> None:
        meter.settled(call)
        settled(call, size)

    return count
