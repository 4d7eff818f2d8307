"""From estimates to the figures of a plan, with what has to be said about them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.planning.estimate import Estimate, Processor
from tmux_fanout.core.planning.figures import ApiFigures, PlanFigures, Row, Window
from tmux_fanout.core.planning.model import ApiModel
from tmux_fanout.core.planning.notes import knows_spending, notes_on
from tmux_fanout.core.planning.virtual import VirtualRun
from tmux_fanout.core.report.statistics import ApiStatistics

_RECORD_MEMORY = 3 << 10  # bytes of a record in the window, beside its own and its responses

Run = tuple[VirtualRun, Estimate]


def figures_of(
    plan: RunPlan,
    models: Sequence[ApiModel],
    runs: Sequence[Run],
    *,
    records: int,
    processor: Processor,
    memory: int,
    is_sampled: bool,
    bottlenecks: Sequence[str | None],
    table: Sequence[Row],
) -> PlanFigures:
    """Return the figures of a plan.

    Args:
        plan: of the run, as it is written.
        models: of its APIs.
        runs: that were simulated, each with what it says of all records.
        records: number of records.
        processor: what requests cost.
        memory: bytes that a process occupies without any record.
        is_sampled: whether only some of the records were looked at.
        bottlenecks: of the runs.
        table: what other limits would bring.
    """
    order = sorted(range(len(runs)), key=lambda index: runs[index][1].seconds)
    middle = order[len(order) // 2]
    run, found = runs[middle]
    durations = [each.seconds for _, each in runs]
    window = Window(
        max(each.window_records for each, _ in runs), max(each.window_bytes for each, _ in runs)
    )
    stats = run.statistics
    apis = {
        api.name: _api(api, model, counted, refused, found)
        for api, model, counted, refused in zip(plan.apis, models, stats.apis, run.refused)
    }
    not_ok = round(stats.not_ok * found.scale)
    figures = PlanFigures(
        records=records,
        simulated=stats.read,
        runs=len(runs),
        seconds=round(found.seconds, 3),
        low=round(min(durations), 3),
        high=round(max(durations), 3),
        requests=found.requests,
        refused=found.refused,
        ok=round(stats.ok * found.scale) if run.given_up else records - not_ok,
        not_ok=not_ok,
        failures=_failures(run, found),
        window=window,
        memory=memory + 2 * window.bytes + _RECORD_MEMORY * window.records,
        processor=round(processor.seconds, 7),
        tokens=_sum([each.tokens for each in apis.values()]),
        cost=_sum([each.cost for each in apis.values()]),
        bottleneck=bottlenecks[middle],
        apis=apis,
        table=table,
        notes=[],
    )
    is_steady = all(each.is_steady for _, each in runs)
    notes = notes_on(
        figures,
        plan,
        models,
        given_up=run.given_up,
        is_steady=is_steady,
        is_sampled=is_sampled,
    )
    return replace(figures, notes=list(notes))


def _api(
    api: ApiPlan, model: ApiModel, stats: ApiStatistics, refused: int, found: Estimate
) -> ApiFigures:
    tokens = cost = None
    if knows_spending(api, model):
        total = stats.spending.total
        tokens = round((total.input + total.output) * found.scale) if _counts(api) else None
        cost = round(float(stats.cost) * found.scale, 6) if stats.price else None
    return ApiFigures(
        limit=api.limit,
        requests=round(stats.attempts * found.scale),
        refused=round(refused * found.scale),
        p50=round(stats.latency.percentile(0.5), 6),
        p99=round(stats.latency.percentile(0.99), 6),
        source=model.source,
        tokens=tokens,
        cost=cost,
    )


def _counts(api: ApiPlan) -> bool:
    """Return whether units are counted, beside money for each call."""
    return api.spending is not None and bool(api.spending.cost or api.spending.spent)


def _failures(run: VirtualRun, found: Estimate) -> dict[str, int]:
    """Return the number of records that fail in each way, such as `a: HTTP 503`."""
    failures = run.statistics.failures.most_common()
    return {
        f"{failure.api}: {failure.label}" if failure.api else failure.label: number
        for failure, count in failures
        if (number := round(count * found.scale))
    }


def _sum(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return round(sum(known), 6) if known else None
