"""Carry out a planned run: transports, signals, progress, summary, exit status."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tmux_fanout.cli.arguments.form import harmless_lines
from tmux_fanout.cli.mend import Mend
from tmux_fanout.cli.progress import live_progress
from tmux_fanout.cli.reporting.conclusion import Reports, conclude
from tmux_fanout.cli.reporting.details import report_failures, report_outcomes, report_plan
from tmux_fanout.cli.reporting.live import LiveFile
from tmux_fanout.cli.reporting.status import StatusPages
from tmux_fanout.cli.reporting.summary_file import SummaryFile
from tmux_fanout.cli.reporting.tuner import Tuner
from tmux_fanout.cli.stderr import complain
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.conversion.table import ResultTable
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ConfigError, OutputError
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.results.resume import Kept
from tmux_fanout.core.results.timings import Starts
from tmux_fanout.core.tracing.spans import Span
from tmux_fanout.engine.io.dead_letters import DeadLetterFile, DeadLetterSink
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.result_sink import ResultSink
from tmux_fanout.engine.io.sink import LineSink
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_pipeline
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.run.signals import stopped_by_signals
from tmux_fanout.transports.select import open_transports
from tmux_fanout.transports.tls import Contexts

if TYPE_CHECKING:
    from tmux_fanout.cli.metrics.reporting import Exposition
    from tmux_fanout.engine.workers.crew.base import Crew

STDOUT = 1
_NOTICES = 2  # that the full-screen view shows


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
    learn: str | None = None,
    kept: Kept | None = None,
    mend: Mend | None = None,
    table: ResultTable | None = None,
    crew: Crew | None = None,
    starts: Starts | None = None,
    export: Callable[[Span], None] | None = None,
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
        learn: path of the file that receives what the run learns, or None.
        kept: what an earlier run has left in `output`, which this one resumes, or None.
        mend: mends `output`, and has yielded `source`, or None.
        table: writes the rows that `encode` returns, or None.
        crew: the processes that make the calls; None: this process makes them.
        starts: where to note when records are begun, if this process makes their calls; or None.
        export: takes the spans of these calls, or None.
    """
    on_terminal = os.isatty(output.fd if output else STDOUT)
    show = harmless_lines(is_table=table is not None)
    shown = (lambda result: show(encode(result))) if on_terminal else encode
    report = (None, report_failures, report_outcomes)[min(max(reports.verbose, 0), 2)]
    notices: deque[str] = deque(maxlen=_NOTICES)
    notify = _discard if reports.verbose < 0 else partial(_notify, notices)
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
        export=export,
    ) as run:
        if kept:
            run.statistics.resume_after(kept)
        if mend:
            mend.count_in(run)
        pages = StatusPages(run, source.total, sink.write_beside)
        tuner = Tuner(run, plan, sink.notify)
        exposed = metrics.of(run) if metrics else nullcontext()
        followed = LiveFile(live, tuner, sink.notify).followed() if live else nullcontext()
        async with stopped_by_signals(run, sink.notify, pages.write), exposed, followed:
            async with _display(run, source, reports, tuner, notices) as held:
                sink.hide_display = held
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
    if learn:
        from tmux_fanout.cli.reporting.learn_file import keep_learned  # needed rarely

        try:
            keep_learned(learn, run, plan)
        except ConfigError as exc:
            complain(str(exc))
            status = status or 1
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
    export: Callable[[Span], None] | None,
) -> AsyncIterator[Pipeline]:
    source, sink, notify = ends
    if crew:
        from tmux_fanout.engine.workers.coordinator import workers_pipeline  # needed rarely

        yield workers_pipeline(plan, crew, source, sink, notify=notify, watch_head=watch_head)
        return
    async with open_transports(plan.apis, contexts) as transports:
        with redirect_stdout(sys.stderr):  # functions of the user's may print
            yield local_pipeline(
                plan,
                transports,
                source,
                sink,
                LocalOptions(mends=mends, starts=starts, export=export),
                notify=notify,
                watch_head=watch_head,
            )


def _writer(output: OutputFile | None, mend: Mend | None) -> FileSink | LineSink:
    if mend:
        return mend.writer
    return output.sink() if output else LineSink(STDOUT)


@asynccontextmanager
async def _display(
    run: Pipeline, source: Source, reports: Reports, tuner: Tuner, notices: Sequence[str]
) -> AsyncIterator[Callable[[], AbstractContextManager[None]]]:
    """Show a run within the block; yields what hides that while something else is written."""
    if reports.is_full:
        from tmux_fanout.cli.full_screen.view import full_screen  # needed rarely

        async with full_screen(run, source.total, tuner, notices) as screen:
            yield screen.held
    elif reports.progress:
        async with live_progress(run, source.total) as display:
            yield display.held
    else:
        yield nullcontext


def _notify(notices: deque[str], text: str) -> None:
    """Pass a notice to the user, and keep it for the display."""
    notices.append(text)
    complain(text)


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
