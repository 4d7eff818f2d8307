"""Percentiles and the histogram."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.review.latencies import EDGES, EXACTLY, Latencies

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
durations = st.lists(
    st.floats(0, 2_000_000).map(lambda seconds: round(seconds, 4)), min_size=1, max_size=300
)


def filled(seconds: list[float], gathered: int = 7) -> Latencies:
    made = Latencies(EXACTLY, gathered)
    for each in seconds:
        made.add(each)
    return made


@given(durations)
def test_percentiles_are_within_their_accuracy(seconds: list[float]) -> None:
    """Each is a duration that was added, but for 0.2 %; least, most and mean are exact."""
    found = filled(seconds).latency()
    assert found
    assert (found.count, found.min, found.max) == (len(seconds), min(seconds), max(seconds))
    assert found.mean == pytest.approx(sum(seconds) / len(seconds), abs=1e-5)
    ordered = sorted(seconds)
    for share, value in zip(SHARES, (found.p50, found.p90, found.p95, found.p99, found.p999)):
        rank = share * (len(ordered) - 1)
        near = {ordered[int(rank)], ordered[ceil(rank)]}
        assert any(value == pytest.approx(each, rel=EXACTLY * 1.01, abs=1e-6) for each in near)


@given(durations)
def test_histogram_counts_exactly(seconds: list[float]) -> None:
    """A bar has the durations from its start to before its end, and the last has the rest."""
    bars = filled(seconds).histogram()
    assert sum(bar.calls for bar in bars) == len(seconds)
    for bar in bars:
        end = bar.end if bar.end < EDGES[-1] else float("inf")
        assert bar.calls == sum(bar.start <= each < end for each in seconds)
    assert [bar.end for bar in bars[:-1]] == [bar.start for bar in bars[1:]]
    assert bars[0].calls
    assert bars[-1].calls


@given(durations, durations)
def test_parts_added_up_are_the_whole(one: list[float], other: list[float]) -> None:
    """It does not matter whether durations were counted together or apart."""
    joined = filled(one, 3)
    joined.include(filled(other, 1000))
    whole = filled(one + other)
    assert joined.histogram() == whole.histogram()
    assert joined.percentiles(*SHARES) == whole.percentiles(*SHARES)
    assert joined.max == whole.max


def test_nothing_has_no_percentiles() -> None:
    """An API that was never called has none, and no bars."""
    empty = Latencies(EXACTLY, 10)
    assert (empty.latency(), empty.percentiles(0.5), empty.max) == (None, None, None)
    assert empty.histogram() == ()


def test_no_percentile_is_between_the_modes() -> None:
    """Where most calls are quick and the rest time out, p99 is one or the other."""
    found = filled([0.01] * 9899 + [30.0] * 101).latency()
    assert found
    assert found.p90 == pytest.approx(0.01, rel=EXACTLY)
    assert found.p99 == pytest.approx(30, rel=EXACTLY)
    found = filled([0.01] * 9901 + [30.0] * 99).latency()
    assert found
    assert found.p99 == pytest.approx(0.01, rel=EXACTLY)
