"""What `-v` and `-vv` say: what runs, and the outcomes of records."""

from __future__ import annotations

from collections.abc import Sequence

from tmux_fanout.cli.stderr import complain, say
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.output_line import CUT_SHORT


def report_plan(plan: RunPlan) -> None:
    """Say what each API is called with."""
    for api in plan.apis:
        which = f"{api.transport} ({api.why})"
        limit = f"up to {api.limit}" if api.adaptive else api.limit
        # Only the origin of the URL: the rest may hold a secret.
        fallback = f", then {api.fallback.name} (its fallback)" if api.fallback else ""
        where, limit_of_hosts = f"{api.origin}", ""
        if api.hosts:
            where, limit_of_hosts = f"{api.hosts.rules}", f" ({api.hosts.limit} for each host)"
        complain(
            f"{api.name}: {api.requests.method} {where}, limit {limit}{limit_of_hosts}, "
            f"{which}{fallback}"
        )


def report_failures(results: Sequence[Result]) -> None:
    """Say why records are not ok."""
    for result in results:
        if result.ok:
            continue  # although some of its calls may be lost
        if result.error:
            complain(f"record {result.index}: {result.error.kind}: {result.error.message}")
        for name, outcome in zip(result.names, result.outcomes):
            # The summary covers those that were cut short before anything was sent.
            if outcome.error and (outcome.attempts or outcome.error.kind not in CUT_SHORT):
                complain(f"record {result.index}: {name}: {_describe(outcome)}")


def report_outcomes(results: Sequence[Result]) -> None:
    """Say what came of each call."""
    for result in results:
        if result.error:
            report_failures([result])
        for name, outcome in zip(result.names, result.outcomes):
            complain(f"record {result.index}: {name}: {_describe(outcome)}")
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
    reused = f"{', shared' * outcome.shared}{', cached' * outcome.cached}"
    return f"HTTP {outcome.status} in {outcome.seconds:.3f} s{attempts}{via}{reused}"
