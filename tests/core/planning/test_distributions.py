"""How long attempts take, as it is stated and as it was measured."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.planning.distributions import (
    Distribution,
    Exponential,
    Fixed,
    LogNormal,
    Measured,
    Percentiles,
    parse_latency,
)

ALL: list[Distribution] = [
    Fixed(0.05),
    Exponential(0.08),
    LogNormal(0.12, 2.0),
    LogNormal(0.12, 0.12),
    Measured([0.1, 0.2, 0.2, 0.9]),
    Measured([0.1]),
    Percentiles([0.0, 0.5, 0.99, 1.0], [0.01, 0.05, 0.9, 1.2]),
    Percentiles([0.0, 0.5, 1.0], [0.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(
    ("text", "name", "latency"),
    [
        ("a=fixed:50ms", "a", Fixed(0.05)),
        ("fixed:0.5", None, Fixed(0.5)),
        ("a=exponential:1m", "a", Exponential(60.0)),
        ("a=lognormal:120ms,p99=2s", "a", LogNormal(0.12, 2.0)),
        ("lognormal:120ms, p99=2s", None, LogNormal(0.12, 2.0)),
        ("a=b=fixed:1s", "a=b", Fixed(1.0)),
    ],
)
def test_latency_is_read(text: str, name: str | None, latency: Distribution) -> None:
    """The name of the API comes first, and may be left out."""
    assert parse_latency(text) == (name, latency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "50ms",
        "a=50ms",
        "=fixed:50ms",
        "a=fixed:",
        "a=fixed:-1s",
        "a=fixed:50ms,p99=1s",
        "a=gauss:50ms",
        "a=exponential:50ms,1",
        "a=lognormal:50ms",
        "a=lognormal:50ms,p95=1s",
        "a=lognormal:0,p99=1s",
        "a=lognormal:2s,p99=1s",
    ],
)
def test_mistake_says_what_to_write(text: str) -> None:
    """The message has a value that can be used."""
    with pytest.raises(ConfigError, match=r"use .*\d+ms|use 250ms"):
        parse_latency(text)


@given(st.sampled_from(ALL), st.floats(0, 1), st.floats(0, 1))
def test_durations_grow_with_their_share(latency: Distribution, one: float, other: float) -> None:
    """Whatever share is asked for, a duration is finite, and no less than that of a lower share."""
    low, high = sorted((one, other))
    assert 0 <= latency.at(low) <= latency.at(high) * (1 + 1e-9) < math.inf


def test_lognormal_has_its_median_and_p99() -> None:
    """What is stated is what comes out."""
    latency = LogNormal(0.12, 2.0)
    assert latency.at(0.5) == pytest.approx(0.12)
    assert latency.at(0.99) == pytest.approx(2.0)


def test_exponential_has_its_mean() -> None:
    """The mean over all shares is the one that is stated."""
    latency, steps = Exponential(0.08), 10_000
    mean = sum(latency.at((step + 0.5) / steps) for step in range(steps)) / steps
    assert mean == pytest.approx(0.08, rel=0.01)


def test_measured_durations_and_those_between_them() -> None:
    """The shortest and the longest are met exactly."""
    latency = Measured([0.1, 0.2, 0.4])
    assert [latency.at(share) for share in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(
        [0.1, 0.15, 0.2, 0.4]
    )


def test_percentiles_are_met() -> None:
    """At a share that is known, the duration is the one that is known."""
    latency = Percentiles([0.0, 0.5, 0.99, 1.0], [0.01, 0.05, 0.9, 1.2])
    assert [latency.at(share) for share in (0.0, 0.5, 0.99, 1.0)] == pytest.approx(
        [0.01, 0.05, 0.9, 1.2]
    )
