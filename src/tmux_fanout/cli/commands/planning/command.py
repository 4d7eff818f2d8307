"""The `plan` command: what a run will take, by runs in virtual time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import trio

from tmux_fanout.cli.commands.inputs import check_paths, check_standard_streams
from tmux_fanout.cli.commands.planning.origins import SOURCE, learn_from
from tmux_fanout.cli.commands.run import Job, prepare, source_of
from tmux_fanout.cli.progress import terminal_size
from tmux_fanout.cli.stderr import complain, complain_of, warn
from tmux_fanout.core.dealing.shares import max_workers
from tmux_fanout.core.display.plan_text import plan_text
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError, InputError
from tmux_fanout.core.planning.figures import PlanFigures
from tmux_fanout.core.planning.sources import Knowledge
from tmux_fanout.core.text import counted
from tmux_fanout.engine.io.source import STDIN
from tmux_fanout.engine.planning.planner import Subject, make_plan
from tmux_fanout.engine.planning.reading import SomeRecords, read_some
from tmux_fanout.engine.planning.sampling import call_for
from tmux_fanout.engine.process import occupied_memory, usable_cores

_NO_RECORDS = "the input has no record to plan for: give a FILE that has some"


class PlanOptions(NamedTuple):
    """The options that `run` does not have.

    Attributes:
        records: number of records; None: those of the input.
        sources: outputs of runs, and what `--learn` wrote.
        sample: number of records to call the APIs for; None: none.
        latencies: as they are stated.
        as_json: whether to print data.
    """

    records: int | None
    sources: Sequence[str]
    sample: int | None
    latencies: Sequence[str]
    as_json: bool


def plan_command(closed: Sequence[int], own: PlanOptions, /, **options: Any) -> int:
    """Run the `plan` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        own: its own options.
        options: as in `options.RUN_OPTIONS`.
    """
    memory = occupied_memory()
    try:
        job = prepare(closed, options, os.environ, is_local=True)
        check_standard_streams(job.paths)
        _check_terminal(job.paths)
        knowledge = Knowledge(job.configuration.plan, own.latencies)
        check_paths(own.sources, closed, SOURCE)
        if [*job.paths, *own.sources].count(STDIN) > 1:
            raise ConfigError("standard input can only be read once: use a file for the others")
        for path in own.sources:
            trio.run(learn_from, knowledge, path, strict_exception_groups=True)
        if not own.sample:
            knowledge.models()  # before a long input is read
        records = trio.run(_read, job, strict_exception_groups=True)
        if own.sample:
            trio.run(_call, job, knowledge, records, own.sample, strict_exception_groups=True)
        if own.records is not None:
            records = records._replace(number=own.records)
        figures = make_plan(_subject(job, knowledge, records, memory))
    except ConfigError as exc:
        complain_of(exc)
        return 2
    except InputError as exc:
        complain(str(exc))
        return 1
    figures = msgspec.structs.replace(figures, notes=[*figures.notes, *_remarks(job)])
    return _print(figures, as_json=own.as_json)


def _check_terminal(paths: Sequence[str]) -> None:
    if STDIN in paths and os.isatty(0):
        advice = "name a FILE of records, and -n for the number of them if that differs"
        raise ConfigError(f"a plan needs records: {advice}")


async def _read(job: Job) -> SomeRecords:
    """Read the input.

    Raises:
        ConfigError: it has no record.
        InputError: it broke off.
    """
    source = source_of(job, warn)
    try:
        records = await read_some(source)
    finally:
        source.close()
    if not records.number:
        raise ConfigError(_NO_RECORDS)
    return records


async def _call(job: Job, knowledge: Knowledge, records: SomeRecords, number: int) -> None:
    """Make the calls of some records, spread evenly over those that there are."""
    some = records.some
    step = max(1.0, len(some) / number)
    chosen = [some[int(index * step)] for index in range(min(number, len(some)))]
    configuration = job.configuration
    lines = await call_for(configuration.plan, chosen, configuration.contexts, complain)
    for line in lines:
        knowledge.add_line(line, f"{counted(len(chosen), 'sample call')}")


def _subject(job: Job, knowledge: Knowledge, records: SomeRecords, memory: int) -> Subject:
    configuration = job.configuration
    cores = usable_cores()
    wanted = configuration.options["workers"]
    workers = min(cores if wanted == "auto" else wanted, max_workers(configuration.plan).number)
    return Subject(
        configuration.plan,
        records,
        knowledge.models(),
        has_window=configuration.settings.window is not None,
        processor=knowledge.processor,
        processes=min(workers, cores),
        memory=memory * (workers if workers == 1 else workers + 1),
    )


def _remarks(job: Job) -> Iterator[str]:
    options = job.configuration.options
    if job.destination.keeps:
        yield "planned are all records, also those that --resume or --mend keeps"
    if options["cluster"] is not None:
        yield "planned is a run of this process alone, although --cluster makes the calls"


def _print(figures: PlanFigures, *, as_json: bool) -> int:
    if as_json:
        text = msgspec.json.encode(figures).decode()
    else:
        text = plan_text(figures, terminal_size().columns)
    try:
        sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for buffered output
        return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
    return 0
