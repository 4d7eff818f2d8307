"""What several processes share: the limits of a run, of which `core.sharing` grants shares.

Every process serves every API and needs at least one slot, and one attempt of each rate's burst:
so the smallest limit, and the smallest burst, bound the number of processes that work.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.rate import RateSettings, rate_of, show_rate
from tmux_fanout.core.sharing.holder import Amount
from tmux_fanout.core.text import invalid
from tmux_fanout.core.tuning.tuning import Tuning, slots_of
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
        bounds += _host_bounds(api)
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


def _host_bounds(api: ApiPlan) -> list[MaxWorkers]:
    """Return what bounds the number of processes where each has a fixed share of every host."""
    hosts = api.hosts
    if hosts is None:
        return []
    bounds = [MaxWorkers(hosts.limit, f"{api.name}'s host_limit of {hosts.limit}")]
    rate = None if hosts.rate is None else RateSettings(hosts.rate)
    return bounds + _rate_bounds(rate, f"{api.name}'s host_rate")


def _rate_bounds(rate: RateSettings | None, what: str) -> list[MaxWorkers]:
    if rate is None or rate.requests is None:
        return []
    return [MaxWorkers(_parts_of(rate), f"{what} of {show_rate(rate.requests)}")]


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
    """Return the plan of the process that deals, which has half of the window's bytes."""
    return _with_bytes(plan, plan.settings.window_bytes // 2)


def plan_for_worker(plan: RunPlan, number: int) -> RunPlan:
    """Return the plan of one of several workers, which share half of the window's bytes.

    Its limits are those of the whole run: of these it gets a share that changes.  Only the bounds
    of hosts that come from records are divided for good, as there may be any number of them.

    Args:
        plan: of the whole run.
        number: of workers.
    """
    plan = _with_bytes(plan, plan.settings.window_bytes // 2 // number)
    apis = tuple(
        replace(api, hosts=api.hosts.share(number)) if api.hosts else api for api in plan.apis
    )
    return replace(plan, apis=apis, max_failures=None)  # the dealer counts the failures of all


def _with_bytes(plan: RunPlan, size: int) -> RunPlan:
    return replace(plan, settings=replace(plan.settings, window_bytes=max(1, size)))


class SharedLimit(NamedTuple):
    """A limit of a run, of which each process has a share.

    Attributes:
        kind: `slots` of an API or an endpoint, parts of a `rate`, or what all APIs share.
        amount: how much there is to share.
        api: index of the API; of those that share a rate, the first one.
        endpoint: index of the endpoint; None: the API itself.
        unit: of a cost, in trillionths, so that messages can hold the amount.
    """

    kind: Literal["slots", "rate", "total", "cost"]
    amount: Amount
    api: int = 0
    endpoint: int | None = None
    unit: int = 1


_MAX_COST = 2**62  # trillionths that are shared one by one
_TOKEN_PARTS = 5040  # of a rate that limits nothing but tokens: it has many divisors


def shared_limits(plan: RunPlan) -> list[SharedLimit]:
    """Return all limits of a run that its processes share, in an order that is always the same.

    A rate is divided into parts, each with a burst of one attempt or more.
    """
    limits = []
    groups = set()
    for index, api in enumerate(plan.apis):
        limits.append(SharedLimit("slots", Amount(api.limit), index))
        if api.rate and (api.rate_group is None or api.rate_group not in groups):
            groups.add(api.rate_group)
            limits.append(SharedLimit("rate", Amount(_parts_of(api.rate)), index))
        for position, endpoint in enumerate(api.endpoints):
            if endpoint.limit is not None:
                limits.append(SharedLimit("slots", Amount(endpoint.limit), index, position))
            rate = rate_of(endpoint)
            if rate:
                limits.append(SharedLimit("rate", Amount(_parts_of(rate)), index, position))
    total = plan.settings.total_limit
    if total is not None:
        limits.append(SharedLimit("total", Amount(total)))
    if plan.max_cost is not None:
        unit = 1 + plan.max_cost // _MAX_COST
        amount = Amount(plan.max_cost // unit, is_budget=True)
        limits.append(SharedLimit("cost", amount, unit=unit))
    return limits


def tuned_amounts(plan: RunPlan, tuning: Tuning) -> list[int]:
    """Return how much there is of each of `shared_limits`, once limits are changed."""
    amounts = []
    for limit in shared_limits(plan):
        multiple = 1.0
        if limit.kind == "slots" and limit.endpoint is None:
            multiple = tuning.apis[limit.api].limit
        elif limit.kind == "total":
            multiple = tuning.total
        whole = limit.amount.whole
        amounts.append(whole if multiple == 1.0 else slots_of(multiple, whole))
    return amounts


def _parts_of(rate: RateSettings) -> int:
    if rate.requests is None:
        return _TOKEN_PARTS
    return max(1, int(rate.requests * rate.burst))
