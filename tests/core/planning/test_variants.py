"""The same run with other limits."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.planning.variants import with_limits


@pytest.mark.parametrize(
    ("settings", "factor", "limits", "total", "window"),
    [
        ({}, 0.5, [5, 32], None, 1024),
        ({}, 1.0, [10, 64], None, 1024),
        ({}, 4.0, [40, 256], None, 1024),
        ({}, 16.0, [160, 1024], None, 4096),
        ({"total_limit": 20, "window": 2000}, 2.0, [20, 128], 40, 2000),
    ],
)
def test_all_limits_are_multiplied(
    settings: dict[str, Any], factor: float, limits: list[int], total: int | None, window: int
) -> None:
    """A window that nobody has stated follows the largest limit."""
    apis = [Api("a", "http://a.test", limit=10), Api("b", "http://b.test")]
    plan = plan_run(apis, RunSettings(**settings), {})
    found = with_limits(plan, factor, has_window="window" in settings)
    assert [api.limit for api in found.apis] == limits
    assert found.settings.total_limit == total
    assert found.window == window
    assert found.stretched_window >= found.window


def test_bounds_and_endpoints_are_multiplied() -> None:
    """A limit is at least one."""
    api = Api(
        "a",
        "/",
        limit={"min": 1, "max": 9},
        endpoints=[{"url": "http://a.test", "limit": 1}, {"url": "http://b.test"}],
    )
    (found,) = with_limits(plan_run([api], RunSettings(), {}), 0.5, has_window=False).apis
    assert found.adaptive
    assert (found.adaptive.min, found.adaptive.max, found.limit) == (1, 4, 4)
    assert [each.limit for each in found.endpoints] == [1, None]
