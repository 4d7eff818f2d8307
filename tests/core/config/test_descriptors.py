"""Limits that fit the number of files that may be open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.descriptors import fit, share_out
from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.policy.adaptive import Adaptive


@pytest.mark.parametrize(
    ("limits", "descriptors", "shares"),
    [
        ([64, 64], 128, [64, 64]),
        ([500, 500, 500], 30, [10, 10, 10]),
        ([90, 9], 11, [10, 1]),
        ([64, 64], 1, [1, 1]),
        ([64, 64], -20, [1, 1]),
    ],
)
def test_limits_shrink_in_proportion(
    limits: list[int], descriptors: int, shares: list[int]
) -> None:
    """Limits shrink to the descriptors that there are, but not below one."""
    assert share_out(limits, descriptors) == shares


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.integers(-10, 20_000))
def test_shares_fit(limits: list[int], descriptors: int) -> None:
    """Shares never exceed the limits, nor, except for one each, the descriptors."""
    shares = share_out(limits, descriptors)
    assert all(1 <= share <= limit for share, limit in zip(shares, limits))
    assert sum(shares) <= max(descriptors, len(limits)) + len(limits)


def test_fit_lowers_adaptive_limits_too() -> None:
    """The bounds of an adaptive limit shrink with it."""
    apis = [
        Api("a", "http://api.test", limit=100),
        Api("b", "http://api.test", limit={"min": 60, "max": 300}),
    ]
    one, other = fit(plan_run(apis, RunSettings(), {}), 40).apis
    assert (one.limit, one.adaptive) == (10, None)
    assert (other.limit, other.adaptive) == (30, Adaptive(min=30, max=30))
