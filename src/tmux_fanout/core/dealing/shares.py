"""Dividing a run's limits among several processes, so that the shares add up to these limits.

Every process serves every API and needs at least one slot, and one attempt of each rate's burst:
so the smallest limit, and the smallest burst, bound the number of processes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Endpoint
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.rate import RateSettings, rate_of, show_rate
from tmux_fanout.core.text import invalid
from tmux_fanout.core.units import parse_whole


class MaxWorkers(NamedTuple):
    """How many processes can have a share, and the setting that allows no more."""

    number: int
    why: str


def max_workers(plan: RunPlan) -> MaxWorkers:
    """Return among how many processes a run can be divided."""
    bounds = [MaxWorkers(api.limit, f"{api.name}'s limit of {api.limit}") for api in plan.apis]
    for api in plan.apis:
        bounds += _rate_bounds(api.rate, f"{api.name}'s rate")
        for endpoint in api.endpoints:
            of_endpoint = f"{api.name}: {endpoint.name}"
            if endpoint.limit is not None:
                why = f"the limit of {endpoint.limit} of {of_endpoint}"
                bounds.append(MaxWorkers(endpoint.limit, why))
            bounds += _rate_bounds(rate_of(endpoint), f"the rate of {of_endpoint}")
    total = plan.settings.total_limit
    if total is not None:
        bounds.append(MaxWorkers(total, f"the total limit of {total}"))
    return min(bounds, key=lambda bound: bound.number)


def _rate_bounds(rate: RateSettings | None, what: str) -> list[MaxWorkers]:
    if rate is None or rate.requests is None:
        return []
    number = max(1, int(rate.requests * rate.burst))
    return [MaxWorkers(number, f"{what} of {show_rate(rate.requests)}")]


def parse_workers(text: str) -> int | Literal["auto"]:
    """Parse the requested number of processes; `auto` stands for the number of cores.

    Raises:
        ConfigError: it is neither.
    """
    if text == "auto":
        return "auto"
    number = parse_whole(text)
    if not number:
        raise ConfigError(invalid("number of processes", text, "a number such as 4, or auto"))
    return number


def plan_for_dealer(plan: RunPlan) -> RunPlan:
    """Return the plan of the process that deals, which has half of the window's bytes.

    It cannot know whether slots idle, so its window is not stretched.
    """
    plan = replace(plan, stretched_window=plan.window)
    return _with_bytes(plan, plan.settings.window_bytes // 2)


def plan_for_worker(plan: RunPlan, index: int, number: int) -> RunPlan:
    """Return the plan of one of several workers, which share half of the window's bytes.

    Args:
        plan: of the whole run.
        index: of the worker, from 0.
        number: of workers, not above `max_workers`.
    """
    plan = _with_bytes(plan, plan.settings.window_bytes // 2 // number)
    total = plan.settings.total_limit
    if total is not None:
        settings = replace(plan.settings, total_limit=_share(total, index, number))
        plan = replace(plan, settings=settings)
    apis = tuple(_api_share(api, index, number) for api in plan.apis)
    max_cost = None if plan.max_cost is None else plan.max_cost // number
    # The dealer counts the failures of all.
    return replace(plan, apis=apis, max_failures=None, max_cost=max_cost)


def _with_bytes(plan: RunPlan, size: int) -> RunPlan:
    return replace(plan, settings=replace(plan.settings, window_bytes=max(1, size)))


def _share(whole: int, index: int, number: int) -> int:
    """Return one of `number` shares that differ by one at most, the larger ones first."""
    return whole // number + (index < whole % number)


def _api_share(api: ApiPlan, index: int, number: int) -> ApiPlan:
    adaptive = api.adaptive
    if adaptive:
        minimum = max(1, _share(adaptive.min, index, number))
        adaptive = Adaptive(min=minimum, max=_share(adaptive.max, index, number))
    return replace(
        api,
        limit=_share(api.limit, index, number),
        adaptive=adaptive,
        rate=api.rate and api.rate.share(number),
        endpoints=tuple(_endpoint_share(each, index, number) for each in api.endpoints),
    )


def _endpoint_share(endpoint: Endpoint, index: int, number: int) -> Endpoint:
    return replace(
        endpoint,
        limit=None if endpoint.limit is None else _share(endpoint.limit, index, number),
        rate=None if endpoint.rate is None else endpoint.rate / number,
        tokens=None if endpoint.tokens is None else endpoint.tokens / number,
    )
