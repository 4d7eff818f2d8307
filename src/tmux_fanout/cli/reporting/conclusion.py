"""What is said at the end of a run, and the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from tmux_fanout.cli.progress import terminal_size
from tmux_fanout.cli.reporting.summary_file import SummaryFile
from tmux_fanout.cli.stderr import complain, say
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.conversion.table import ResultTable
from tmux_fanout.core.display.failure_text import last_failures
from tmux_fanout.core.display.summary import summary_line, summary_table
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import OutputError
from tmux_fanout.core.policy.max_failures import MaxFailures
from tmux_fanout.core.report.nothing import Settings, shows_effects, without_effect
from tmux_fanout.core.requests.series.pages import PagesPlan
from tmux_fanout.core.spending.prices import show_money
from tmux_fanout.core.text import counted
from tmux_fanout.engine.run.pipeline import Pipeline

_GO_ON = "go on with --mend, which keeps all answers, or with --resume"


class Reports(NamedTuple):
    """What to report on standard error.

    Attributes:
        summary: its form at the end; `line` appears only if something is not ok.
        progress: whether to show it live, on some lines.
        verbose: -1: nothing; 0: notices, such as on an API that is down; 1: also the records that
            are not ok or hold up the output; 2: the outcome of every call.
        is_strict: whether settings without any effect are errors.
        is_full: whether to show it live, on the whole terminal.
    """

    summary: Literal["table", "json", "line", "none"]
    progress: bool
    verbose: int
    is_strict: bool = False
    is_full: bool = False


def settings_of(plan: RunPlan) -> Sequence[Settings]:
    """Return what may have no effect in the APIs of a plan."""
    return [
        Settings(
            api.name,
            api.requests,
            api.responses,
            is_first=not api.after,
            pages=api.series if isinstance(api.series, PagesPlan) else None,
        )
        for api in plan.apis
    ]


async def conclude(
    run: Pipeline,
    plan: RunPlan,
    reports: Reports,
    summary_file: SummaryFile | None,
    table: ResultTable | None,
    *,
    is_in_file: bool,
) -> int:
    """Report on a run that has ended, and return the exit status.

    Args:
        run: the run.
        plan: that it followed.
        reports: what to report on standard error.
        summary_file: receives the summary, or None.
        table: wrote the results as rows, or None.
        is_in_file: whether the results are in a file, from which a run may go on.
    """
    if run.ending is Ending.COST_LIMIT and plan.max_cost is not None:
        complain(_cost_limit(run, plan.max_cost))
    if run.ending is Ending.GIVEN_UP and plan.max_failures and not run.reason:
        complain(_too_many_failures(run, plan.max_failures))
    if _lost_an_api_after_answers(run) and is_in_file and not table and reports.verbose >= 0:
        complain(f"given up: {_GO_ON}")
    warnings: list[str] = []
    if shows_effects(run.statistics, run.ending):
        warnings += without_effect(run.statistics, settings_of(plan))
        warnings += table.notes if table else ()
    status = _report(run, reports, warnings)
    if summary_file:
        try:
            await summary_file.write(_as_json(run, warnings))
        except OutputError as exc:
            complain(str(exc))
            status = status or 1
    return status


def _report(run: Pipeline, reports: Reports, warnings: Sequence[str]) -> int:
    """Say how a run has ended, and return the exit status."""
    if run.ending is Ending.OUTPUT_CLOSED:
        return exit_status(run.ending, all_ok=False)
    summary = reports.summary
    if run.error:
        complain(str(run.error))
    all_ok = run.statistics.ok == run.statistics.read
    if summary != "none" and 0 < run.statistics.errors["invalid_record"] == run.statistics.read:
        advice = "with -i if these are lines of text, csv or tsv; jq -c '.[]' splits a JSON list"
        complain(f"no line was a record; say {advice}")
    if reports.is_strict or reports.verbose >= 0:
        for warning in warnings:
            complain(f"{'--strict' if reports.is_strict else 'warning'}: {warning}")
    if _had_nothing_to_do(run) and summary in ("table", "line"):
        complain(f"nothing to do: {_why_nothing(run)}")
    elif run.statistics.mended is not None and summary in ("table", "line"):
        complain(_mended(run))
    if run.error and not run.statistics.read and summary in ("table", "line"):
        return exit_status(run.ending, all_ok=False)  # that says it all
    if summary == "table":
        say(summary_table(run.statistics, run.ending, terminal_size().columns))
    elif summary == "json":
        say(_as_json(run, warnings))
    elif summary == "line" and not (all_ok and run.ending is Ending.FINISHED):
        complain(summary_line(run.statistics, run.ending))
    return exit_status(run.ending, all_ok=all_ok and not (reports.is_strict and warnings))


def _had_nothing_to_do(run: Pipeline) -> bool:
    stats = run.statistics
    return run.ending is Ending.FINISHED and 0 < stats.resumed == stats.read


def _why_nothing(run: Pipeline) -> str:
    resumed = run.statistics.resumed
    if run.statistics.mended is not None:
        return f"no call of the {counted(resumed, 'record')} has to be made again"
    return f"the output has {'all ' if resumed > 1 else ''}{counted(resumed, 'record')} already"


def _mended(run: Pipeline) -> str:
    return f"{run.statistics.mended:,} mended, {run.statistics.not_ok:,} still not ok"


def _lost_an_api_after_answers(run: Pipeline) -> bool:
    """Return whether a run has answers worth keeping and was given up as an API stayed down."""
    return run.ending is Ending.GIVEN_UP and bool(run.reason) and run.statistics.ok > 0


def _cost_limit(run: Pipeline, max_cost: int) -> str:
    spent = f"{run.statistics.cost:f} is spent, and the next call may cost more than the rest"
    return f"given up: --max-cost {show_money(max_cost)} is reached: {spent}; {_GO_ON}"


def _too_many_failures(run: Pipeline, max_failures: MaxFailures) -> str:
    last = last_failures(run.statistics)
    return f"given up, past --max-failures {max_failures}; the last errors: {last}"


def _as_json(run: Pipeline, warnings: Sequence[str]) -> str:
    from tmux_fanout.core.display.summary_json import summary_json  # needs 2 ms, and rarely

    return summary_json(run.statistics, run.ending, warnings)
