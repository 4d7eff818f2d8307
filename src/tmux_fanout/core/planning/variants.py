"""The same run with other limits."""

from __future__ import annotations

from msgspec.structs import replace

from tmux_fanout.core.config import settings as default
from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.policy.adaptive import Adaptive

FACTORS = (0.5, 1.0, 2.0, 4.0)


def with_limits(plan: RunPlan, factor: float, *, has_window: bool) -> RunPlan:
    """Return a plan with all limits multiplied, and at least 1.

    Args:
        plan: of the run.
        factor: of the limits.
        has_window: whether the settings state the window; otherwise it follows the largest limit.
    """
    if factor == 1:
        return plan
    apis = tuple(_with_limit(api, factor) for api in plan.apis)
    total = plan.settings.total_limit
    settings = replace(plan.settings, total_limit=total and _times(total, factor))
    plan = replace(plan, apis=apis, settings=settings)
    if has_window:
        return plan
    batch = max(api.batch.size if api.batch else 1 for api in apis)
    window = max(default.WINDOW, 4 * max(api.limit for api in apis), 4 * batch)
    is_rigid = plan.settings.unordered
    stretched = window if is_rigid else max(default.STRETCHED_WINDOW, window)
    return replace(plan, window=window, stretched_window=stretched)


def _with_limit(api: ApiPlan, factor: float) -> ApiPlan:
    adaptive = api.adaptive
    if adaptive:
        limit = _times(adaptive.max, factor)
        adaptive = Adaptive(min=min(adaptive.min, limit), max=limit)
    endpoints = tuple(
        replace(each, limit=each.limit and _times(each.limit, factor)) for each in api.endpoints
    )
    return replace(api, limit=_times(api.limit, factor), adaptive=adaptive, endpoints=endpoints)


def _times(limit: int, factor: float) -> int:
    return max(1, round(limit * factor))
