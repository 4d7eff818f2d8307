"""What has to be said about a plan: what it does not know, and what will end the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.planning.figures import PlanFigures
from tmux_fanout.core.planning.model import ApiModel
from tmux_fanout.core.planning.virtual import reads_spent
from tmux_fanout.core.spending.prices import money
from tmux_fanout.core.text import counted, joined
from tmux_fanout.core.units import show_duration, show_time_left


def notes_on(
    figures: PlanFigures,
    plan: RunPlan,
    models: Sequence[ApiModel],
    *,
    given_up: str,
    is_steady: bool,
    is_sampled: bool,
) -> Iterator[str]:
    """Yield sentences on a plan.

    Args:
        figures: of the plan.
        plan: of the run, as it is written.
        models: of its APIs.
        given_up: why the run is given up, or "".
        is_steady: whether the simulated runs had found their pace.
        is_sampled: whether only some of the records were looked at.
    """
    if given_up:
        yield f"the run is given up after about {show_time_left(figures.seconds)}: {given_up}"
    elif figures.simulated < figures.records:
        yield (
            f"{figures.simulated:,} of {counted(figures.records, 'record')} were simulated; the "
            "rest is taken to go on at the pace of their second half"
        )
    if not is_steady:
        yield "that pace was still changing, so the duration is uncertain"
    yield from _ends(figures, plan)
    yield from _reused(plan, is_sampled=is_sampled)
    unknown = [
        api.name for api, model in zip(plan.apis, models) if api.rate is None and model.rate is None
    ]
    if unknown:
        yield (
            f"not known: how much {joined(unknown)} can take.  The plan assumes that answers come "
            "as quickly under higher limits, and that no more requests are refused; a rate says "
            "where that ends"
        )
    for api, model in zip(plan.apis, models):
        if api.name in unknown and model.repeated:
            yield (
                f"not known: why {counted(model.repeated, 'request')} of {api.name} had to be "
                f"repeated, as {model.source} does not say.  The plan assumes failures by chance; "
                "if the API refused them with 429, the run takes longer: give --from a file of "
                "`run --learn` too, or set a rate"
            )
        if api.series and not model.requests:
            yield (
                f"not known: how many requests a call of {api.name} makes, as its responses decide "
                "that: give --from an output, which has their number"
            )
    without_bodies = {api.name for api, model in zip(plan.apis, models) if not model.has_bodies}
    for api in plan.apis:
        if needed := [name for name in api.after.values() if name in without_bodies]:
            yield (
                f"not known: what calls of {api.name} send, as that may need the responses of "
                f"{joined(needed)}: give --from an output, which has them"
            )
    for api, model in zip(plan.apis, models):
        if _is_counted(api) and not knows_spending(api, model):
            yield (
                f"not known: what calls of {api.name} spend, as `spent` reads it from whole "
                "responses: give --from an output of a run without `select`, or set `cost`"
            )


def _reused(plan: RunPlan, *, is_sampled: bool) -> Iterator[str]:
    """Yield what is not known of answers that are used again."""
    sharing = [api.name for api in plan.apis if api.share]
    if sharing and is_sampled:
        yield (
            f"not known: how many calls of {joined(sharing)} share an answer, as the input is too "
            "large to look at all of it.  The plan assumes that none does"
        )
    cached = [api.name for api in plan.apis if api.cache]
    if cached:
        yield (
            f"not known: which answers of {joined(cached)} the cache has.  The plan assumes that "
            "it has none"
        )


def _ends(figures: PlanFigures, plan: RunPlan) -> Iterator[str]:
    """Yield what will end the run before its input does."""
    deadline = plan.settings.deadline
    if deadline is not None and figures.seconds > deadline:
        records = int(figures.records * deadline / figures.seconds)
        yield (
            f"the deadline of {show_duration(deadline)} passes first, after about "
            f"{counted(records, 'record')}"
        )
    if plan.max_cost is not None and figures.cost:
        budget = float(money(plan.max_cost))
        if figures.cost > budget:
            records = int(figures.records * budget / figures.cost)
            yield f"--max-cost is reached first, after about {counted(records, 'record')}"
    if plan.max_failures and plan.max_failures.are_passed(figures.not_ok, figures.records):
        yield f"--max-failures {plan.max_failures} is passed, so the run gives up on the way"


def knows_spending(api: ApiPlan, model: ApiModel) -> bool:
    """Return whether it is known what the calls of an API spend, if that is counted."""
    spending = api.spending
    if spending is None:
        return False
    return spending.spent is None or spending.cost is not None or reads_spent(api, model)


def _is_counted(api: ApiPlan) -> bool:
    return api.spending is not None
