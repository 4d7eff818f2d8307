"""Make real calls for some records, to learn how APIs answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from msgspec.structs import replace

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.planning.virtual import without_reuse
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.results.output_line import OutputLine, parse_written
from tmux_fanout.core.results.timings import Starts, encoder_for
from tmux_fanout.engine.run.local_pipeline import local_pipeline
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
    sink = _Sink(plan)
    async with open_transports(plan.apis, contexts) as transports:
        source = _Source(numbered)
        await local_pipeline(
            plan, transports, source, sink, notify=notify, starts=sink.starts
        ).run()
    return sink.lines


class _Source:
    """Hands out records, all at once."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    async def next_chunk(self) -> Sequence[Record]:
        await trio.lowlevel.checkpoint()
        records, self._records = self._records, ()
        return records

    def read_ahead(self) -> Sequence[Record]:
        return ()

    def total(self) -> Total | None:
        return None


class _Sink:
    """Keeps results as the lines that a run would write."""

    def __init__(self, plan: RunPlan) -> None:
        self.starts = Starts()
        self.lines: list[OutputLine] = []
        self._encode = encoder_for("envelope", plan.names, starts=self.starts)

    async def put(self, results: Sequence[Result]) -> None:
        await trio.lowlevel.checkpoint()
        self.lines += (parse_written(self._encode(result)) for result in results)

    async def consumer_gone(self) -> None:
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        """Do nothing: nothing is waited for."""
