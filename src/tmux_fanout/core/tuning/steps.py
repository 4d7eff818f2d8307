"""What the keys of the full-screen view change: pauses, and limits step by step."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.tuning.tuning import MAX_LIMIT, ApiTuning, Tuning, slots_of

_STEPS = 10  # a step is a tenth of the limit, and at least one


def pause_or_resume(tuning: Tuning, chosen: Collection[int]) -> Tuning:
    """Return a tuning in which APIs are paused, or resumed if all of them are paused.

    Args:
        tuning: what they may do now.
        chosen: indexes of the APIs.
    """
    paused = not all(tuning.apis[index].paused for index in chosen)
    return _with(tuning, {index: replace(tuning.apis[index], paused=paused) for index in chosen})


def step_limits(tuning: Tuning, plan: RunPlan, chosen: Collection[int], *, up: bool) -> Tuning:
    """Return a tuning in which the limits of APIs are a step higher or lower.

    Args:
        tuning: what they may do now.
        plan: of the run.
        chosen: indexes of the APIs.
        up: whether limits become higher.
    """
    return _with(
        tuning,
        {index: _step(tuning.apis[index], plan.apis[index], up=up) for index in chosen},
    )


def _step(now: ApiTuning, api: ApiPlan, *, up: bool) -> ApiTuning:
    slots = slots_of(now.limit, api.limit)
    step = max(1, slots // _STEPS)
    most = MAX_LIMIT if api.max_limit is None else api.max_limit
    slots = min(max(slots + step if up else slots - step, 1), most)
    return replace(now, limit=slots / api.limit)


def _with(tuning: Tuning, changed: dict[int, ApiTuning]) -> Tuning:
    return replace(
        tuning, apis=[changed.get(index, each) for index, each in enumerate(tuning.apis)]
    )
