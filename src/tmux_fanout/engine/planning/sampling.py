"""Make real calls for some records, to learn how APIs answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.planning.virtual import without_reuse
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.output_line import OutputLine, parse_written
from tmux_fanout.core.results.timings import Starts, encoder_for
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_pipeline
from tmux_fanout.engine.simulation.memory import LinesSink, RecordsSource
from tmux_fanout.transports.select import open_transports
from tmux_fanout.transports.tls import Contexts


async def call_for(
    plan: RunPlan,
    records: Sequence[Record],
    contexts: Contexts,
    notify: Callable[[str], None],
) -> Sequence[OutputLine]:
    """Run a plan for some records, as a run would, and return its lines.

    Args:
        plan: of the run.
        records: to call the APIs for.
        contexts: for TLS.
        notify: called with one-line notices.
    """
    plan = without_reuse(replace(plan, settings=replace(plan.settings, timings=True)))
    numbered = [replace(record, index=index) for index, record in enumerate(records)]
    starts = Starts()
    sink = LinesSink(encoder_for("envelope", plan.names, starts=starts))
    async with open_transports(plan.apis, contexts) as transports:
        source = RecordsSource(numbered, len(numbered))
        options = LocalOptions(starts=starts)
        await local_pipeline(plan, transports, source, sink, options, notify=notify).run()
    return list(map(parse_written, sink.lines))
