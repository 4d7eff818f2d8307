"""Limits that fit the number of files that a process may open."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.policy.adaptive import Adaptive


def share_out(limits: Sequence[int], descriptors: int) -> list[int]:
    """Return a number of connections for each API so that all fit: in proportion, at least one.

    Args:
        limits: connections that each API would have.
        descriptors: number of descriptors left for all of them.
    """
    wanted = sum(limits)
    if wanted <= descriptors:
        return list(limits)
    return [max(1, limit * descriptors // wanted) for limit in limits]


def fit(plan: RunPlan, descriptors: int) -> RunPlan:
    """Return the plan with limits lowered so that every connection gets a descriptor."""
    shares = share_out([api.max_connections for api in plan.apis], descriptors)
    apis = tuple(
        _limited(api, max(1, share * api.limit // api.max_connections))
        for api, share in zip(plan.apis, shares)
    )
    return msgspec.structs.replace(plan, apis=apis)


def _limited(api: ApiPlan, limit: int) -> ApiPlan:
    adaptive = api.adaptive and Adaptive(min=min(api.adaptive.min, limit), max=limit)
    return msgspec.structs.replace(api, limit=limit, max_limit=limit, adaptive=adaptive)
