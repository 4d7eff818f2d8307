"""When an attempt counts as slow, and how many hedges there may be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.histogram import Histogram
from tmux_fanout.core.policy.hedging import is_affordable, parse_hedge, patience


@pytest.mark.parametrize(
    ("written", "meant"),
    [("200ms", 0.2), (2, 2.0), (0.5, 0.5), ("p95", "p95"), ("head", "head")],
)
def test_parse_hedge_knows_three_forms(written: object, meant: object) -> None:
    """A hedge is a duration, the percentile, or the head of the line."""
    assert parse_hedge(written) == meant


@pytest.mark.parametrize("written", ["p99", "soon", 0, -1, True, [], {}])
def test_parse_hedge_refuses_the_rest(written: Any) -> None:
    """The message shows what to use."""
    with pytest.raises(ConfigError, match='use a duration such as "200ms", "p95" or "head"'):
        parse_hedge(written)


def test_patience_is_a_percentile_once_there_is_one() -> None:
    """Before 20 calls no attempt counts as slow."""
    latency = Histogram()
    for _ in range(19):
        latency.add(0.1)
    assert patience("p95", latency) == math.inf
    latency.add(5.0)
    assert patience("p95", latency) == pytest.approx(0.1, rel=0.03)
    assert patience(0.25, latency) == 0.25


def test_hedges_are_five_in_a_hundred() -> None:
    """The share is never exceeded, not even by the first attempts."""
    made = 0
    for attempts in range(1, 1001):
        while is_affordable(made, attempts):
            made += 1
        assert made <= 0.05 * attempts
    assert made == 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hedge": "p95"}, "API 'a': hedge: a second POST may be applied twice: add idempotent"),
        (
            {"hedge": "p95", "idempotent": True, "batch": {"size": 5}},
            "API 'a': hedge: a batch cannot be hedged",
        ),
    ],
)
def test_what_cannot_be_hedged_is_a_mistake(settings: dict[str, Any], message: str) -> None:
    """The mistake is reported before anything is sent."""
    with pytest.raises(ConfigError) as info:
        plan_run([Api("a", "http://api.test", **settings)], RunSettings(), {})
    assert str(info.value).startswith(message)
