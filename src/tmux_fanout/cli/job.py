"""Carry out a planned run: transports, signals, progress, summary, exit status."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from tmux_fanout.cli.arguments.form import harmless_lines
from tmux_fanout.cli.mend import Mend
from tmux_fanout.cli.progress import live_progress
from tmux_fanout.cli.reporting.conclusion import Reports, conclude
from tmux_fanout.cli.reporting.details import report_failures, report_outcomes, report_plan
from tmux_fanout.cli.reporting.live import LiveFile
from tmux_fanout.cli.reporting.status import StatusPages
from tmux_fanout.cli.reporting.summary_file import SummaryFile
from tmux_fanout.cli.stderr import complain
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.conversion.table import ResultTable
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import OutputError
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.results.resume import Kept
from tmux_fanout.core.results.timings import Starts
from tmux_fanout.engine.io.dead_letters import DeadLetterFile, DeadLetterSink
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.result_sink import ResultSink
from tmux_fanout.engine.io.sink import LineSink
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.run.local import local_pipeline
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.run.signals import stopped_by_signals
from tmux_fanout.transports.select import open_transports
from tmux_fanout.transports.tls import Contexts

if TYPE_CHECKING:
    from tmux_fanout.cli.metrics.reporting import Exposition
    from tmux_fanout.engine.workers.crew.base import Crew

STDOUT = 1


class Ends(NamedTuple):
    """Where records come from, and where results and notices go."""

    source: Source
    sink: Sink
    notify: Callable[[str], None]


async def do_job(
    plan: RunPlan,
    source: Source,
    reports: Reports,
    encode: Callable[[Result], bytes],
    contexts: Contexts | None = None,
    *,
    output: OutputFile | None = None,
    failed: DeadLetterFile | None = None,
    summary_file: SummaryFile | None = None,
    metrics: Exposition | None = None,
    live: str | None = None,
    kept: Kept | None = None,
    mend: Mend | None = None,
    table: ResultTable | None = None,
    crew: Crew | None = None,
    starts: Starts | None = None,
) -> int:
    """Run a plan, and return the exit status.

    Args:
        source: yields the records.
        reports: what to report on standard error.
        encode: returns the line of a result.
        contexts: as for `open_transports`.
        output: receives the results; None: standard output.
        failed: receives the dead letters, or None.
        summary_file: receives the summary, or None.
        metrics: exposes the metrics, or None.
        live: path of the file that limits and rates are taken from, or None.
        kept: what an earlier run has left in `output`, which this one resumes, or None.
        mend: mends `output`, and has yielded `source`, or None.
        table: writes the rows that `encode` returns, or None.
        crew: the processes that make the calls; None: this process makes them.
        starts: where to note when records are begun, if this process makes their calls; or None.
    """
    on_terminal = os.isatty(output.fd if output else STDOUT)
    show = harmless_lines(is_table=table is not None)
    shown = (lambda result: show(encode(result))) if on_terminal else encode
    report = (None, report_failures, report_outcomes)[min(max(reports.verbose, 0), 2)]
    notify = _discard if reports.verbose < 0 else complain
    writer = _writer(output, mend)
    letters = failed.sink() if failed else None
    header = table.header if table else b""
    if on_terminal:
        header = show(header)
    sink = ResultSink(
        shown, writer, letters, report, notify, header=header, on_terminal=on_terminal
    )
    ends = Ends(source, mend.sink(sink) if mend else sink, sink.notify)
    if reports.verbose > 0:
        report_plan(plan)
    async with _open_run(
        plan,
        ends,
        contexts,
        crew,
        watch_head=report is not None,
        mends=mend is not None,
        starts=starts,
    ) as run:
        if kept:
            run.statistics.resume_after(kept)
        if mend:
            mend.count_in(run)
        pages = StatusPages(run, source.total, sink.write_beside)
        exposed = metrics.of(run) if metrics else nullcontext()
        followed = LiveFile(live, plan, sink.notify).followed_by(run) if live else nullcontext()
        async with stopped_by_signals(run, sink.notify, pages.write), exposed, followed:
            if not reports.progress:
                await run.run()
            else:
                async with live_progress(run, source.total) as display:
                    sink.hide_display = display.held
                    await run.run()
            if mend:
                await mend.copy_rest(run)
    await _finish(run, sink, letters, writer)
    if mend:
        mend.swap(run, notify)
    if failed and failed.note:
        complain(failed.note)
    is_in_file = output is not None and mend is None
    status = await conclude(run, plan, reports, summary_file, table, is_in_file=is_in_file)
    return status or int(metrics is not None and metrics.has_failed)


@asynccontextmanager
async def _open_run(
    plan: RunPlan,
    ends: Ends,
    contexts: Contexts | None,
    crew: Crew | None,
    *,
    watch_head: bool,
    mends: bool,
    starts: Starts | None,
) -> AsyncIterator[Pipeline]:
    source, sink, notify = ends
    if crew:
        from tmux_fanout.engine.workers.coordinator import workers_pipeline  # needed rarely

        yield workers_pipeline(plan, crew, source, sink, notify=notify, watch_head=watch_head)
        return
    async with open_transports(plan.apis, contexts) as transports:
        yield local_pipeline(
            plan,
            transports,
            source,
            sink,
            notify=notify,
            watch_head=watch_head,
            mends=mends,
            starts=starts,
        )


def _writer(output: OutputFile | None, mend: Mend | None) -> FileSink | LineSink:
    if mend:
        return mend.writer
    return output.sink() if output else LineSink(STDOUT)


def _discard(_: str) -> None:
    """Drop a notice, as `-q` asks."""


async def _finish(
    run: Pipeline, sink: ResultSink, letters: DeadLetterSink | None, writer: object
) -> None:
    """Flush and fsync the outputs; a failure becomes the run's ending."""
    if isinstance(run.error, OutputError):
        return
    try:
        await sink.finish()
        if letters:
            await letters.finish()
        if isinstance(writer, FileSink):
            writer.finish()
    except OutputError as exc:
        run.error = run.error or exc
        if run.ending is Ending.FINISHED:
            run.ending = Ending.OUTPUT_BROKEN
