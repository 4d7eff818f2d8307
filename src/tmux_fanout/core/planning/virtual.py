"""Runs in virtual time: how a plan is changed for them, and what one of them came to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.planning.model import OK, ApiModel
from tmux_fanout.core.planning.series import model_series
from tmux_fanout.core.report.statistics import RunStatistics


class Milestone(NamedTuple):
    """How far a run had come when its source was asked for more.

    Attributes:
        records: number of records read.
        seconds: since the start.
        refused: number of attempts that were answered with 429.
    """

    records: int
    seconds: float
    refused: int


class VirtualRun(NamedTuple):
    """What a run in virtual time came to.

    Attributes:
        statistics: of the run.
        milestones: in order; the last one is at the end of the input.
        refused: for each API, the number of attempts that were answered with 429.
        window_records, window_bytes: the most that the window held.
        busy: seconds of processor time that it took.
        given_up: why it was given up, or "".
    """

    statistics: RunStatistics
    milestones: Sequence[Milestone]
    refused: Sequence[int]
    window_records: int
    window_bytes: int
    busy: float
    given_up: str = ""

    def milestone(self, records: float) -> Milestone:
        """Return the first milestone from a number of records on."""
        index = bisect_left(self.milestones, records, key=lambda each: each.records)
        return self.milestones[min(index, len(self.milestones) - 1)]


def for_models(plan: RunPlan, models: Sequence[ApiModel]) -> RunPlan:
    """Return the plan of a run whose answers come from models.

    What a model returns as the body of a response is what a run has kept of one, so nothing is
    selected from it or checked in it again.  Nothing ends the run early: a part of it stands for
    all of it, and what it comes to is compared with deadline and budget afterwards.
    """
    return replace(
        plan,
        apis=tuple(_for_model(api, model) for api, model in zip(plan.apis, models)),
        max_failures=None,
        max_cost=None,
        settings=replace(plan.settings, deadline=None, timings=False),
    )


def without_reuse(plan: RunPlan) -> RunPlan:
    """Return a plan whose calls all make requests, even if the answers are known."""
    apis = tuple(replace(api, share=False, cache=None) for api in plan.apis)
    return replace(plan, apis=apis)


def _for_model(api: ApiPlan, model: ApiModel) -> ApiPlan:
    spending = api.spending
    if spending and spending.spent and not reads_spent(api, model):
        spending = replace(spending, spent=None)
    return replace(
        api,
        responses=replace(
            api.responses,
            ok_status=frozenset({OK.status}),
            rules=None,
            stream=None,
            select=None,
            capture=(),
        ),
        cache=None,
        rate_headers=None,
        spending=spending,
        batch=api.batch and replace(api.batch, format="json", wrap=None, items=None, key=None),
        series=model_series(api.series, model.requests),
        redirects=0,
    )


def reads_spent(api: ApiPlan, model: ApiModel) -> bool:
    """Return whether the bodies of a model are whole, so that `spent` finds what it is to find."""
    is_whole = api.responses.select is None and api.responses.stream is None
    return model.has_bodies and is_whole and api.batch is None and api.series is None
