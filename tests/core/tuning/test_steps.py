"""What keys change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.tuning.steps import pause_or_resume, step_limits
from tmux_fanout.core.tuning.tuning import slots_of, untuned


def plan_of(limit: int) -> RunPlan:
    apis = [Api(name, "http://a", limit=limit) for name in "ab"]
    return plan_run(apis, RunSettings(), {})


def test_apis_are_paused_unless_all_of_them_are() -> None:
    """One that is paused already stays so."""
    tuning = untuned(plan_of(10))
    one = pause_or_resume(tuning, [1])
    assert [api.paused for api in one.apis] == [False, True]
    both = pause_or_resume(one, [0, 1])
    assert [api.paused for api in both.apis] == [True, True]
    assert pause_or_resume(both, [0, 1]) == tuning


@pytest.mark.parametrize(
    ("limit", "up", "expected"),
    [(1, True, 2), (1, False, 1), (9, True, 10), (64, True, 70), (64, False, 58)],
)
def test_step_is_a_tenth_and_at_least_one(limit: int, up: bool, expected: int) -> None:
    """The other API keeps its limit."""
    plan = plan_of(limit)
    stepped = step_limits(untuned(plan), plan, [0], up=up)
    assert slots_of(stepped.apis[0].limit, limit) == expected
    assert stepped.apis[1].limit == 1.0


@given(st.integers(1, 500), st.lists(st.booleans(), max_size=60))
def test_steps_stay_within_bounds(limit: int, steps: list[bool]) -> None:
    """Each step changes the limit, but at its bounds."""
    plan = fit(plan_of(limit), 200)
    began, most = plan.apis[0].limit, plan.apis[0].max_limit
    tuning = untuned(plan)
    for up in steps:
        before = slots_of(tuning.apis[0].limit, began)
        tuning = step_limits(tuning, plan, [0], up=up)
        now = slots_of(tuning.apis[0].limit, began)
        assert 1 <= now <= (most or 100_000)
        assert (now > before) if up and before != most else (now <= before)


def test_pause_and_limit_are_apart() -> None:
    """One changes nothing of the other."""
    plan = plan_of(10)
    paused = pause_or_resume(untuned(plan), [0, 1])
    stepped = step_limits(paused, plan, [0, 1], up=True)
    assert list(stepped.apis) == [replace(api, limit=1.1) for api in paused.apis]
