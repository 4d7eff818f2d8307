"""What each of several processes gets of the limits of a run, so that their sums are these limits.

Every process serves every API, so there are no more processes than the least of the limits has
slots, nor than the least of the rates lets attempts through at once: each of them needs one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.rate import BURST_SECONDS, show_rate
from tmux_fanout.core.text import describe
from tmux_fanout.core.units import parse_whole


class Most(NamedTuple):
    """How many processes can have a share, and whose sake it is for."""

    number: int
    why: str


def most_workers(plan: RunPlan) -> Most:
    """How many processes a run can be divided among at most, and what does not go further."""
    limits = [Most(api.limit, f"{api.name}'s limit of {api.limit}") for api in plan.apis]
    for api in plan.apis:
        if api.rate is not None:
            number = max(1, int(api.rate * BURST_SECONDS))
            limits.append(Most(number, f"{api.name}'s rate of {show_rate(api.rate)}"))
    total = plan.settings.total_limit
    if total is not None:
        limits.append(Most(total, f"the total limit of {total}"))
    return min(limits, key=lambda most: most.number)


def parse_workers(text: str) -> int | Literal["auto"]:
    """How many processes are wished for; `auto` is as many as there are cores.

    Raises:
        ConfigError: it is neither a number nor that.
    """
    if text == "auto":
        return "auto"
    number = parse_whole(text)
    if not number:
        raise ConfigError(f"{describe(text)} is no number of processes; write 4, say, or auto")
    return number


def plan_for_dealer(plan: RunPlan) -> RunPlan:
    """The plan of who deals: half of the window's bytes are its own, the others' the rest.

    Whether slots idle is not known here, so the window is not stretched.
    """
    plan = replace(plan, stretched_window=plan.window)
    return _with_bytes(plan, plan.settings.window_bytes // 2)


def plan_for_worker(plan: RunPlan, place: int, number: int) -> RunPlan:
    """The plan of one of several processes.

    Args:
        plan: of the whole run.
        place: which of them, from 0.
        number: how many there are, at most as `most_workers` says.
    """
    plan = _with_bytes(plan, plan.settings.window_bytes // 2 // number)
    total = plan.settings.total_limit
    if total is not None:
        settings = replace(plan.settings, total_limit=_share(total, place, number))
        plan = replace(plan, settings=settings)
    apis = tuple(_api_share(api, place, number) for api in plan.apis)
    return replace(plan, apis=apis, max_failures=None)  # the failures of all are counted elsewhere


def _with_bytes(plan: RunPlan, size: int) -> RunPlan:
    return replace(plan, settings=replace(plan.settings, window_bytes=max(1, size)))


def _share(whole: int, place: int, number: int) -> int:
    """Shares that differ by one at most, the larger ones first."""
    return whole // number + (place < whole % number)


def _api_share(api: ApiPlan, place: int, number: int) -> ApiPlan:
    adaptive = api.adaptive
    if adaptive:
        least = max(1, _share(adaptive.min, place, number))
        adaptive = Adaptive(min=least, max=_share(adaptive.max, place, number))
    return replace(
        api,
        limit=_share(api.limit, place, number),
        adaptive=adaptive,
        rate=None if api.rate is None else api.rate / number,
        budget_share=1 / number,
    )
