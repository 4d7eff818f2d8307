"""The `run` command: from options to a plan and a source."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import trio
from msgspec.structs import replace

from tmux_fanout.cli.arguments.form import choose_table
from tmux_fanout.cli.commands.crew import open_crew, worker_job_of
from tmux_fanout.cli.commands.inputs import (
    announce_typing,
    check_dialect,
    check_no_configuration,
    check_paths,
    check_standard_streams,
    check_stdout,
)
from tmux_fanout.cli.commands.trial import check_effects
from tmux_fanout.cli.configuration import Configuration, Use, configure
from tmux_fanout.cli.failed import Failed, Files, check_tables, choose_failed, open_files
from tmux_fanout.cli.job import STDOUT, do_job
from tmux_fanout.cli.mend import Mend, can_read_twice, check_mendable
from tmux_fanout.cli.metrics.opening import open_metrics
from tmux_fanout.cli.output import (
    CannotResume,
    Destination,
    choose_destination,
    resume,
)
from tmux_fanout.cli.progress import INTERVAL as PROGRESS_INTERVAL
from tmux_fanout.cli.reporting.choosing import choose_reports
from tmux_fanout.cli.reporting.conclusion import Reports
from tmux_fanout.cli.reporting.status import say_there_is_no_run
from tmux_fanout.cli.reporting.summary_file import SummaryFile, check_summary_file, open_summary
from tmux_fanout.cli.stderr import complain, complain_of, warn
from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.conversion.table import ResultTable
from tmux_fanout.core.dealing.shares import max_workers
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.fingerprint.fingerprint import find_differences, take_fingerprint
from tmux_fanout.core.fingerprint.shape import Shape, shape_of
from tmux_fanout.core.results.dead_letters import DeadLetters
from tmux_fanout.core.results.envelope import Emit, with_lines
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.results.timings import Starts, encoder_for
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.tracing.spans import Span
from tmux_fanout.engine.io.dead_letters import DeadLetterFile
from tmux_fanout.engine.io.output_file import OutputFile, mark
from tmux_fanout.engine.io.source import STDIN, FileSource
from tmux_fanout.engine.process import (
    allow_connections,
    check_open_files,
    collect_garbage_rarely,
    connections_left,
    usable_cores,
)
from tmux_fanout.engine.run.signals import answered_signals
from tmux_fanout.engine.telemetry import FLUSH_TIMEOUT, Exporters, exporting, make_exporters

if TYPE_CHECKING:
    from tmux_fanout.cli.metrics.reporting import Exposition
    from tmux_fanout.engine.workers.crew.base import Crew


class Job(NamedTuple):
    """A run whose configuration is valid, with nothing opened yet."""

    configuration: Configuration
    paths: Sequence[str]
    emit: Emit  # of the engine's lines; a table is made of envelopes
    encode: Callable[[Result], bytes]
    destination: Destination
    failed: Failed | None
    summary_file: str | None
    table: ResultTable | None = None
    workers: int = 1
    starts: Starts | None = None  # of the records, for `--timings`


class Opened(NamedTuple):
    """What a run writes to, beside standard output and standard error."""

    files: Files
    summary_file: SummaryFile | None
    metrics: Exposition | None
    export: Callable[[Span], None] | None


def _discard(_: str) -> None:
    """Drop a warning, as `-q` asks."""


def run_command(closed: Sequence[int], **options: Any) -> int:
    """Run the `run` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        options: as in `options.RUN_OPTIONS`.
    """
    with answered_signals(say_there_is_no_run):
        return _prepare_and_run(closed, options)


def _prepare_and_run(closed: Sequence[int], options: Mapping[str, Any]) -> int:
    try:
        job = prepare(closed, options, os.environ)
        check_standard_streams(job.paths)
        check_tables(job.configuration, job.failed, job.paths)
        if job.configuration.options["strict"]:
            check_effects(job.configuration.plan, job.paths, source_of(job))
        job = _with_workers(job, quiet=options["quiet"])
        check_open_files()
        reports = choose_reports(job.configuration.options, job.paths, job.destination.path)
        say_so = _discard if options["quiet"] else warn
        exporters = make_exporters(os.environ, say_so)
        collect_garbage_rarely()
        with (
            _crew(job, reports, exporters) as crew,
            _open_metrics(job, reports.verbose) as metrics,
            open_summary(job.summary_file, job.paths, job.destination) as summary_file,
            open_files(job.destination, job.failed, job.paths) as files,
            exporting([] if crew else exporters, say_so) as export,
        ):
            if not crew:
                job = _within_descriptors(job, quiet=options["quiet"])
            return trio.run(
                _run,
                job,
                Opened(files, summary_file, metrics, export),
                reports,
                crew,
                strict_exception_groups=True,
            )
    except ConfigError as exc:
        complain_of(exc)
        return 2


def prepare(
    closed: Sequence[int],
    options: Mapping[str, Any],
    env: Mapping[str, str],
    *,
    is_local: bool = False,
    use: Use = "run",
) -> Job:
    """Return the job that the options describe, after all checks that need no file opened.

    Args:
        closed: standard descriptors that were closed at the start.
        options: as in `options.RUN_OPTIONS`.
        env: the environment.
        is_local, use: as for `configure`.

    Raises:
        ConfigError: a check fails.
    """
    check_no_configuration(options["files"], options["input_format"])
    paths = check_paths(options["files"] or (STDIN,), closed)
    configuration = configure(options, env, is_local=is_local, use=use)
    if not configuration.options["quiet"]:
        for warning in configuration.warnings:
            warn(warning)
    destination = choose_destination(configuration.options, options)
    names = configuration.plan.names
    table = choose_table(configuration.options, names)
    emit: Emit = "envelope" if table else configuration.options["emit"]
    starts = _starts(configuration, emit)
    encode = encoder_for(
        emit,
        names,
        mends=destination.mend,
        starts=starts,
        has_marks=configuration.plan.has_marks,
    )
    if destination.path is None:
        check_stdout(closed)
    check_dialect(options, paths, configuration.options["input_format"])
    failed = choose_failed(configuration.options, destination, paths)
    options = configuration.options
    summary_file = check_summary_file(options["summary_file"], destination, options["failed"])
    _check_learn(options, paths, destination)
    return Job(
        configuration, paths, emit, encode, destination, failed, summary_file, table, starts=starts
    )


def _check_learn(
    options: Mapping[str, Any], paths: Sequence[str], destination: Destination
) -> None:
    if options["learn"] is not None:
        from tmux_fanout.cli.reporting.learn_file import check_learn_file  # needed rarely

        names = ("config", "failed", "summary_file", "metrics_file", "live")
        others = [*paths, destination.path, *(options[name] for name in names)]
        check_learn_file(options["learn"], others)


def _starts(configuration: Configuration, emit: Emit) -> Starts | None:
    """Return where to note when records are begun; None without `--timings`."""
    if not configuration.settings.timings:
        return None
    if emit != "envelope":
        advice = "use --emit envelope, and tmux-fanout convert at the end"
        raise ConfigError(f"--timings with --emit {emit}, which has none: {advice}")
    return Starts()


def _with_workers(job: Job, *, quiet: bool) -> Job:
    """Return the job with as many of the requested processes as can share its limits."""
    if job.configuration.options["cluster"] is not None:
        return job
    wanted = job.configuration.options["workers"]
    maximum = max_workers(job.configuration.plan)
    number = usable_cores() if wanted == "auto" else wanted
    if number > maximum.number and wanted != "auto" and not quiet:
        complain(f"--workers is {maximum.number}: {maximum.why} cannot be shared by {number}")
    return job._replace(workers=min(number, maximum.number))


def _within_descriptors(job: Job, *, quiet: bool) -> Job:
    """Return the job with limits lowered to the connections that the system allows."""
    plan = job.configuration.plan
    wanted = sum(api.max_connections for api in plan.apis)
    allow_connections(wanted)
    allowed = connections_left()
    if wanted <= allowed:
        return job
    fitted = fit(plan, allowed)
    if not quiet:
        limits = ", ".join(f"{api.limit} for {api.name!r}" for api in fitted.apis)
        complain(f"too few open files are allowed: limit lowered to {limits}; raise `ulimit -n`")
    return job._replace(configuration=replace(job.configuration, plan=fitted))


def _crew(job: Job, reports: Reports, exporters: Exporters) -> AbstractContextManager[Crew | None]:
    """Start the processes that make the calls, for the block; None: this process makes them."""
    configuration = job.configuration
    if job.workers == 1 and configuration.options["cluster"] is None:
        return nullcontext()
    return open_crew(
        configuration,
        worker_job_of(
            configuration,
            job.emit,
            workers=job.workers,
            mends=job.destination.mend,
            verbose=reports.verbose,
            interval=PROGRESS_INTERVAL if reports.progress or reports.is_full else 1.0,
            flush_timeout=FLUSH_TIMEOUT if exporters else 0.0,
        ),
    )


def _open_metrics(job: Job, verbose: int) -> AbstractContextManager[Exposition | None]:
    options = job.configuration.options
    others = [*job.paths, job.destination.path, options["failed"], job.summary_file]
    return open_metrics(options["metrics"], options["metrics_file"], others, verbose=verbose)


async def _run(job: Job, opened: Opened, reports: Reports, crew: Crew | None) -> int:
    plan = job.configuration.plan
    files, summary_file, metrics, export = opened
    if reports.verbose > 0 and job.configuration.origin is not None:
        complain(f"configuration from {job.configuration.origin}")
    if not job.configuration.options["quiet"]:
        announce_typing(job.paths)
    source = source_of(job, None if job.configuration.options["quiet"] else warn)
    failed = mend = None
    if job.failed and files.failed:
        letters = DeadLetters(
            job.failed.input_format, lambda: source.header, job.configuration.dialect
        )
        failed = DeadLetterFile(files.failed, letters)
    try:
        kept = None
        if files.output and job.destination.mend:
            mend = await _mend(job, files.output, source, shows_progress=reports.progress)
        if files.output and job.destination.resume:
            kept = await resume(
                files.output,
                source,
                plan.names,
                _different_settings(job, files.output),
                replay=failed.replay() if failed else None,
                shows_progress=reports.progress,
            )
            if reports.verbose > 0:
                where = printable(files.output.path)
                complain(f"{where}: continues after {counted(kept.records, 'record')}")
        if summary_file:
            summary_file.begin()
        if not mend:
            _mark(job, files.output)
        encode = with_lines(job.encode) if crew else job.encode
        return await do_job(
            plan,
            mend.source if mend else source,
            reports,
            job.table.after(encode) if job.table else encode,
            job.configuration.contexts,
            output=files.output,
            failed=failed,
            summary_file=summary_file,
            metrics=metrics,
            live=job.configuration.options["live"],
            learn=job.configuration.options["learn"],
            kept=kept,
            mend=mend,
            table=job.table,
            crew=crew,
            starts=job.starts,
            export=export,
        )
    except CannotResume as exc:
        if files.output:
            files.output.discard()
        complain(str(exc))
        return exc.status
    finally:
        source.close()
        if mend:
            mend.close()


def source_of(job: Job, notify: Callable[[str], None] | None = None) -> FileSource:
    """Return the input of a job, from its start."""
    settings = job.configuration.plan.settings
    return FileSource(
        job.paths,
        job.configuration.options["input_format"],
        max_line=settings.max_line,
        chunk_size=job.configuration.plan.chunk_size,
        chunk_linger=settings.chunk_linger,
        dialect=job.configuration.dialect,
        one_header=job.failed is not None,
        notify=notify,
    )


async def _mend(job: Job, output: OutputFile, source: FileSource, *, shows_progress: bool) -> Mend:
    """Return what mends the output, after checking it if the input can be read twice."""
    names = job.configuration.plan.names
    if can_read_twice(job.paths):
        await check_mendable(output, source_of(job), names, shows_progress=shows_progress)
    return Mend(output, source, names, take_fingerprint(_shape(job)))


def _shape(job: Job) -> Shape:
    configuration = job.configuration
    return shape_of(configuration.apis, configuration.settings, os.path.realpath)


def _different_settings(job: Job, output: OutputFile) -> str:
    """Return which settings that shape results differ from those that the output has lines of."""
    return "" if job.destination.anyway else find_differences(output.fingerprint(), _shape(job))


def _mark(job: Job, output: OutputFile | None) -> None:
    """Keep the settings with the output, if that is a file that a later run may resume."""
    fd = output.fd if output else STDOUT
    status = os.fstat(fd)
    if job.configuration.options["emit"] != "envelope" or not stat.S_ISREG(status.st_mode):
        return
    if output or not status.st_size:
        mark(fd, take_fingerprint(_shape(job)))
