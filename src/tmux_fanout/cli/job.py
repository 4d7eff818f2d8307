"""See a planned run through: transports, signals, progress, summary, exit status."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from tmux_fanout.cli.progress import live_progress
from tmux_fanout.cli.stderr import complain, say
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import OutputError
from tmux_fanout.core.json_text import harmless
from tmux_fanout.core.report.summary import summary_json, summary_line, summary_table
from tmux_fanout.core.results.containment import encode_lines
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.resume import Kept
from tmux_fanout.engine.io.dead_letters import DeadLetterFile, DeadLetterSink
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.sink import LineSink
from tmux_fanout.engine.io.streams import Source
from tmux_fanout.engine.run.local import local_pipeline
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.run.signals import stopped_by_signals
from tmux_fanout.transports.select import open_transports
from tmux_fanout.transports.tls import Contexts

if TYPE_CHECKING:
    from tmux_fanout.engine.workers.worker import Crew

STDOUT, STDERR = 1, 2

_CUT_SHORT = ("cancelled", "deadline")  # where nothing was sent, the summary says enough


class Reports(NamedTuple):
    """What is said on standard error.

    Attributes:
        summary: at the end; `line` is said only where something is not ok.
        progress: whether it is shown live.
        verbose: 0: what an API that is down makes wait; 1: which records are not ok, and which
            hold up the output, too; 2: what each call came to; -1: nothing.
    """

    summary: Literal["table", "json", "line", "none"]
    progress: bool
    verbose: int


class Writer(Protocol):
    """Writes lines; see `engine.io.sink.LineSink`."""

    async def write(self, lines: bytes) -> None: ...

    async def reader_gone(self) -> None: ...

    def hurry(self, patience: float) -> None: ...


class Watched:
    """Encodes, shows and writes results: the dead letters among them first.

    Encoding comes before all else, since a result that cannot be encoded turns out not to be ok.

    Args:
        encode: a result as a line.
        writer: where lines go.
        letters: where the dead letters among them go, or None.
        look: called with results, or None.
        tell: called with what else there is to say.
        on_terminal: whether the writer writes to a terminal.

    Attributes:
        is_verbose: whether results are looked at.
        held: keeps a live display away from what is written; by default there is none.
    """

    def __init__(
        self,
        encode: Callable[[Result], bytes],
        writer: Writer,
        letters: DeadLetterSink | None,
        look: Callable[[Sequence[Result]], None] | None,
        tell: Callable[[str], None],
        *,
        on_terminal: bool,
    ) -> None:
        self._encode = encode
        self._writer = writer
        self._letters = letters
        self._look = look
        self._tell = tell
        self._on_terminal = on_terminal
        self.is_verbose = look is not None
        self.held: Callable[[], AbstractContextManager[None]] = nullcontext

    async def put(self, results: Sequence[Result]) -> None:
        lines = b"".join(encode_lines(self._encode, results))
        if self._look:
            with self.held():
                self._look(results)
        if self._letters:
            await self._letters.put(results)
        with self.held() if self._on_terminal else nullcontext():
            await self._writer.write(lines)

    def tell(self, text: str) -> None:
        """Say something beside the results."""
        with self.held():
            self._tell(text)

    async def reader_gone(self) -> None:
        await self._writer.reader_gone()

    def hurry(self, patience: float) -> None:
        if self._letters:
            self._letters.hurry(patience)
        self._writer.hurry(patience)


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
    crew: Crew | None = None,
) -> int:
    """Run to standard output, or to a file.  Returns the exit status.

    Args:
        encode: a result as a line.
        contexts: for `open_transports`.
        output: the file.
        failed: where dead letters go, or None.
        kept: what is in it already.
        crew: the processes that make the calls; None: this one makes them.
    """
    on_terminal = os.isatty(output.fd if output else STDOUT)
    shown = (lambda result: harmless(encode(result))) if on_terminal else encode
    look = (None, _say_what_failed, _say_what_came)[min(max(reports.verbose, 0), 2)]
    tell = _say_nothing if reports.verbose < 0 else complain
    writer = output.sink() if output else LineSink(STDOUT)
    letters = failed.sink() if failed else None
    sink = Watched(shown, writer, letters, look, tell, on_terminal=on_terminal)
    if reports.verbose > 0:
        _say_what_runs(plan)
    async with _open_run(plan, source, sink, contexts, crew) as run:
        if kept:
            run.statistics.go_on_after(kept)
        async with stopped_by_signals(run, sink.tell):
            if not reports.progress:
                await run.run()
            else:
                async with live_progress(run.statistics, source.share_read) as progress:
                    sink.held = progress.held
                    await run.run()
    await _finish(run, letters, writer)
    if failed and failed.note:
        complain(failed.note)
    return _conclude(run, reports.summary)


@asynccontextmanager
async def _open_run(
    plan: RunPlan,
    source: Source,
    sink: Watched,
    contexts: Contexts | None,
    crew: Crew | None,
) -> AsyncIterator[Pipeline]:
    if crew:
        from tmux_fanout.engine.workers.coordinator import workers_pipeline  # needed rarely

        yield workers_pipeline(
            plan, crew, source, sink, notify=sink.tell, watch_head=sink.is_verbose
        )
        return
    async with open_transports(plan.apis, contexts) as transports:
        yield local_pipeline(
            plan, transports, source, sink, notify=sink.tell, watch_head=sink.is_verbose
        )


def _say_nothing(_: str) -> None:
    """What is said to those who are quiet."""


async def _finish(run: Pipeline, letters: DeadLetterSink | None, writer: object) -> None:
    """Have what was written on the disk; that this cannot be is how the run ends, then."""
    if isinstance(run.error, OutputError):
        return
    try:
        if letters:
            await letters.finish()
        if isinstance(writer, FileSink):
            writer.finish()
    except OutputError as exc:
        run.error = run.error or exc
        if run.ending is Ending.FINISHED:
            run.ending = Ending.OUTPUT_BROKEN


def _say_what_runs(plan: RunPlan) -> None:
    for api in plan.apis:
        # The origin and not the URL, which may hold a secret.
        where = f"{api.origin.scheme}://{api.origin.authority}"
        which = f"{api.transport} ({api.why})"
        limit = f"up to {api.limit}" if api.adaptive else api.limit
        say(f"{api.name}: {api.requests.method} {where}, limit {limit}, {which}")


def _say_what_failed(results: Sequence[Result]) -> None:
    for result in results:
        if result.ok:
            continue  # calls may be lost all the same
        if result.error:
            say(f"record {result.index}: {result.error.kind}: {result.error.message}")
        for name, outcome in zip(result.names, result.outcomes):
            if outcome.error and (outcome.attempts or outcome.error.kind not in _CUT_SHORT):
                say(f"record {result.index}: {name}: {_in_words(outcome)}")


def _say_what_came(results: Sequence[Result]) -> None:
    for result in results:
        if result.error:
            _say_what_failed([result])
        for name, outcome in zip(result.names, result.outcomes):
            say(f"record {result.index}: {name}: {_in_words(outcome)}")
        for error in (result.error, *(outcome.error for outcome in result.outcomes)):
            if error and error.trace:
                say(error.trace.rstrip())


def _in_words(outcome: Outcome) -> str:
    if outcome.error:
        return f"{outcome.error.kind}: {outcome.error.message}"
    if outcome.skipped:
        return "skipped"
    attempts = f", {outcome.attempts} attempts" if outcome.attempts > 1 else ""
    return f"HTTP {outcome.status} in {outcome.seconds:.3f} s{attempts}"


def _had_nothing_to_do(run: Pipeline) -> bool:
    stats = run.statistics
    return run.ending is Ending.FINISHED and 0 < stats.there == stats.read


def _conclude(run: Pipeline, summary: str) -> int:
    if run.ending is Ending.OUTPUT_CLOSED:
        return exit_status(run.ending, all_ok=False)
    if run.error:
        complain(str(run.error))
    all_ok = run.statistics.ok == run.statistics.read
    if summary != "none" and 0 < run.statistics.errors["invalid_record"] == run.statistics.read:
        complain("no line was a record; say with -i if these are lines of text, csv or tsv")
    if _had_nothing_to_do(run) and summary in ("table", "line"):
        say(f"nothing to do: the output has all {run.statistics.there:,} records already")
    if summary == "table":
        say(summary_table(run.statistics, run.ending))
    elif summary == "json":
        say(summary_json(run.statistics, run.ending))
    elif summary == "line" and not (all_ok and run.ending is Ending.FINISHED):
        complain(summary_line(run.statistics, run.ending))
    return exit_status(run.ending, all_ok=all_ok)
