"""Carry out a planned run: transports, signals, progress, summary, exit status."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from tmux_fanout.cli.mend import Mend
from tmux_fanout.cli.progress import live_progress
from tmux_fanout.cli.stderr import complain, say
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.conversion.table import ResultTable
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import OutputError
from tmux_fanout.core.json_text import harmless, harmless_row
from tmux_fanout.core.report.summary import summary_json, summary_line, summary_table
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.resume import Kept
from tmux_fanout.core.spending.prices import show_money
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
    from tmux_fanout.engine.workers.worker import Crew

STDOUT, STDERR = 1, 2

_CUT_SHORT = ("cancelled", "deadline")  # kinds that the summary covers, where nothing was sent


class Reports(NamedTuple):
    """What to report on standard error.

    Attributes:
        summary: its form at the end; `line` appears only if something is not ok.
        progress: whether to show it live.
        verbose: -1: nothing; 0: notices, such as on an API that is down; 1: also the records that
            are not ok or hold up the output; 2: the outcome of every call.
    """

    summary: Literal["table", "json", "line", "none"]
    progress: bool
    verbose: int


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
    kept: Kept | None = None,
    mend: Mend | None = None,
    table: ResultTable | None = None,
    crew: Crew | None = None,
) -> int:
    """Run a plan, and return the exit status.

    Args:
        source: yields the records.
        reports: what to report on standard error.
        encode: returns the line of a result.
        contexts: as for `open_transports`.
        output: receives the results; None: standard output.
        failed: receives the dead letters, or None.
        kept: what an earlier run has left in `output`, which this one resumes, or None.
        mend: mends `output`, and has yielded `source`, or None.
        table: writes the rows that `encode` returns, or None.
        crew: the processes that make the calls; None: this process makes them.
    """
    on_terminal = os.isatty(output.fd if output else STDOUT)
    defuse = harmless_row if table else harmless
    shown = (lambda result: defuse(encode(result))) if on_terminal else encode
    report = (None, _report_failures, _report_outcomes)[min(max(reports.verbose, 0), 2)]
    notify = _discard if reports.verbose < 0 else complain
    writer = _writer(output, mend)
    letters = failed.sink() if failed else None
    header = table.header if table else b""
    sink = ResultSink(
        shown, writer, letters, report, notify, header=header, on_terminal=on_terminal
    )
    ends = Ends(source, mend.sink(sink) if mend else sink, sink.notify)
    if reports.verbose > 0:
        _report_plan(plan)
    async with _open_run(
        plan, ends, contexts, crew, watch_head=report is not None, mends=mend is not None
    ) as run:
        if kept:
            run.statistics.resume_after(kept)
        if mend:
            mend.count_in(run)
        async with stopped_by_signals(run, sink.notify):
            if not reports.progress:
                await run.run()
            else:
                async with live_progress(run.statistics, source.share_read) as progress:
                    sink.hide_display = progress.held
                    await run.run()
            if mend:
                await mend.copy_rest(run)
    await _finish(run, sink, letters, writer)
    if mend:
        mend.swap(run, notify)
    if failed and failed.note:
        complain(failed.note)
    for note in table.notes if table else ():
        notify(note)
    if run.ending is Ending.COST_LIMIT and plan.max_cost is not None:
        complain(_cost_limit(run, plan.max_cost))
    return _conclude(run, reports.summary)


@asynccontextmanager
async def _open_run(
    plan: RunPlan,
    ends: Ends,
    contexts: Contexts | None,
    crew: Crew | None,
    *,
    watch_head: bool,
    mends: bool,
) -> AsyncIterator[Pipeline]:
    source, sink, notify = ends
    if crew:
        from tmux_fanout.engine.workers.coordinator import workers_pipeline  # needed rarely

        yield workers_pipeline(plan, crew, source, sink, notify=notify, watch_head=watch_head)
        return
    async with open_transports(plan.apis, contexts) as transports:
        yield local_pipeline(
            plan, transports, source, sink, notify=notify, watch_head=watch_head, mends=mends
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


def _report_plan(plan: RunPlan) -> None:
    for api in plan.apis:
        which = f"{api.transport} ({api.why})"
        limit = f"up to {api.limit}" if api.adaptive else api.limit
        # Only the origin of the URL: the rest may hold a secret.
        fallback = f", then {api.fallback.name} (its fallback)" if api.fallback else ""
        say(f"{api.name}: {api.requests.method} {api.origin}, limit {limit}, {which}{fallback}")


def _report_failures(results: Sequence[Result]) -> None:
    for result in results:
        if result.ok:
            continue  # although some of its calls may be lost
        if result.error:
            say(f"record {result.index}: {result.error.kind}: {result.error.message}")
        for name, outcome in zip(result.names, result.outcomes):
            if outcome.error and (outcome.attempts or outcome.error.kind not in _CUT_SHORT):
                say(f"record {result.index}: {name}: {_describe(outcome)}")


def _report_outcomes(results: Sequence[Result]) -> None:
    for result in results:
        if result.error:
            _report_failures([result])
        for name, outcome in zip(result.names, result.outcomes):
            say(f"record {result.index}: {name}: {_describe(outcome)}")
        for error in (result.error, *(outcome.error for outcome in result.outcomes)):
            if error and error.trace:
                say(error.trace.rstrip())


def _describe(outcome: Outcome) -> str:
    if outcome.error:
        via = f"via {outcome.via}: " if outcome.via else ""
        return f"{via}{outcome.error.kind}: {outcome.error.message}"
    if outcome.skipped:
        return "skipped"
    attempts = f", {outcome.attempts} attempts" if outcome.attempts > 1 else ""
    via = f", via {outcome.via}" if outcome.via else ""
    return f"HTTP {outcome.status} in {outcome.seconds:.3f} s{attempts}{via}"


def _had_nothing_to_do(run: Pipeline) -> bool:
    stats = run.statistics
    return run.ending is Ending.FINISHED and 0 < stats.resumed == stats.read


def _why_nothing(run: Pipeline) -> str:
    if run.statistics.mended is not None:
        return f"no call of the {run.statistics.resumed:,} records has to be made again"
    return f"the output has all {run.statistics.resumed:,} records already"


def _cost_limit(run: Pipeline, max_cost: int) -> str:
    spent = f"{run.statistics.cost:f} is spent, and the next call may cost more than the rest"
    return f"given up: --max-cost {show_money(max_cost)} is reached: {spent}; go on with --resume"


def _conclude(run: Pipeline, summary: str) -> int:
    if run.ending is Ending.OUTPUT_CLOSED:
        return exit_status(run.ending, all_ok=False)
    if run.error:
        complain(str(run.error))
    all_ok = run.statistics.ok == run.statistics.read
    if summary != "none" and 0 < run.statistics.errors["invalid_record"] == run.statistics.read:
        complain("no line was a record; say with -i if these are lines of text, csv or tsv")
    if _had_nothing_to_do(run) and summary in ("table", "line"):
        say(f"nothing to do: {_why_nothing(run)}")
    if summary == "table":
        say(summary_table(run.statistics, run.ending))
    elif summary == "json":
        say(summary_json(run.statistics, run.ending))
    elif summary == "line" and not (all_ok and run.ending is Ending.FINISHED):
        complain(summary_line(run.statistics, run.ending))
    return exit_status(run.ending, all_ok=all_ok)
