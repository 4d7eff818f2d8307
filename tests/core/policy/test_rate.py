"""Rates: their syntax, and the attempts that GCRA allows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.rate import (
    BURST_SECONDS,
    Pacer,
    RateSettings,
    parse_rate,
    show_rate,
)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", 50.0),
        (" 300 / m", 5.0),
        ("3600/h", 1.0),
        ("0.5/s", 0.5),
        ("7/h", 7 / 3600),
        ("0.3/s", 0.3),
        ("500/m", 500 / 60),
        ("0.00001/h", 0.00001 / 3600),
    ],
)
def test_parse_rate(text: str, rate: float) -> None:
    """A rate is a number per second, minute or hour."""
    assert parse_rate(text) == rate
    assert parse_rate(show_rate(rate)) == rate


def test_show_rate_is_what_was_written() -> None:
    """Divisions do not show."""
    assert [show_rate(parse_rate(text)) for text in ("500/m", "7/h")] == ["500/m", "7/h"]


@pytest.mark.parametrize("value", ["50", "50/d", "/s", "0/s", "-1/s", "1e3/s", 50, None, "٣/s"])
def test_parse_rate_refuses(value: object) -> None:
    """The message shows what to use."""
    with pytest.raises(ConfigError, match="use N/s, N/m or N/h, such as 50/s"):
        parse_rate(value)


@given(
    st.floats(0.1, 1000),
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_span_has_more_than_burst_and_rate(rate: float, gaps: list[float]) -> None:
    """Attempts that go as soon as they may never exceed burst and rate in any span."""
    pacer, now, taken = Pacer(RateSettings(rate)), 0.0, []
    for gap in gaps:
        now += gap
        now += pacer.wait(now)
        assert pacer.wait(now) <= 1e-9
        pacer.take(now)
        taken.append(now)
    burst = max(1.0, rate * BURST_SECONDS)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - start) + 1e-3


def test_burst_is_a_tenth_of_a_second() -> None:
    """At 50 per second five attempts may go at once, and the sixth 20 ms later."""
    pacer = Pacer(RateSettings(50.0))
    for _ in range(5):
        assert pacer.wait(0.0) == 0.0
        pacer.take(0.0)
    assert pacer.wait(0.0) == pytest.approx(0.02)


@pytest.mark.parametrize("text", ["60/m", "3600/h", "1/s"])
def test_a_rate_per_minute_starts_without_the_burst_of_a_minute(text: str) -> None:
    """60 a minute is one a second from the start, not 60 at once."""
    pacer = Pacer(RateSettings(parse_rate(text)))
    pacer.take(0.0)
    assert pacer.wait(0.0) == pytest.approx(1.0)


def test_burst_is_as_long_as_asked_for() -> None:
    """With a burst of a second, a second's worth may go at once: of requests, and of tokens."""
    pacer = Pacer(RateSettings(5.0, 100.0, burst=1.0))
    for _ in range(5):
        assert pacer.wait(0.0, 20.0) == 0.0
        pacer.take(0.0, 20.0)
    assert pacer.wait(0.0, 0.0) == pytest.approx(0.2)
    assert pacer.wait(0.0, 40.0) == pytest.approx(0.4)


def test_cost_above_the_burst_goes_in_debt() -> None:
    """A large attempt goes at once where nothing is owed, and the next ones wait for the rate."""
    pacer = Pacer(RateSettings(tokens=100.0))
    assert pacer.wait(0.0, 500.0) == 0.0
    pacer.take(0.0, 500.0)
    assert pacer.wait(0.0, 500.0) == pytest.approx(5.0)
    assert pacer.wait(0.0, 1.0) == pytest.approx(4.91)


def test_cost_above_the_burst_is_saved_up_for_where_no_debt_is_allowed() -> None:
    """From when it is asked for; what comes between delays it, and what follows starts empty."""
    pacer = Pacer(RateSettings(tokens=100.0))
    pacer.allow_debt(is_allowed=False)
    assert pacer.wait(100.0, 5.0) == 0.0
    assert pacer.wait(100.0, 510.0) == pytest.approx(5.0)
    assert pacer.wait(103.0, 510.0) == pytest.approx(2.0)
    pacer.take(103.0, 10.0)
    assert pacer.wait(103.0, 510.0) == pytest.approx(2.1)
    pacer.take(105.1, 510.0)
    assert pacer.wait(105.1, 10.0) == pytest.approx(0.1)
    assert pacer.wait(105.1, 510.0) == pytest.approx(5.1)
    pacer.change(0.5, 105.1)
    assert pacer.wait(105.1, 510.0) == pytest.approx(10.15, abs=0.06)
    pacer.allow_debt(is_allowed=True)
    assert pacer.wait(106.0, 510.0) == 0.0


def test_corrections_move_what_follows() -> None:
    """What was spent beyond the reservation delays the next attempts."""
    pacer = Pacer(RateSettings(tokens=100.0))
    pacer.take(0.0, 100.0)
    pacer.correct(0.5, 50.0)
    assert pacer.wait(0.5, 10.0) == pytest.approx(1.0)
    pacer.correct(0.5, -150.0)
    assert pacer.wait(0.5, 10.0) == 0.0


def test_corrections_after_a_pause_count_in_full() -> None:
    """Units that turn out to be spent long after the reservation are owed from then on."""
    pacer = Pacer(RateSettings(tokens=100.0))
    pacer.take(0.0, 10.0)
    pacer.correct(100.0, 200.0)
    assert pacer.wait(100.0, 10.0) == pytest.approx(2.0)


@given(st.floats(1, 1000), st.lists(st.tuples(st.floats(0, 2), st.floats(0, 3)), max_size=100))
def test_no_span_has_more_units_than_burst_and_rate(
    rate: float, attempts: list[tuple[float, float]]
) -> None:
    """Costs, in seconds' worth here, never exceed the rate, one burst and one largest cost."""
    pacer, now, taken = Pacer(RateSettings(tokens=rate)), 0.0, []
    for gap, seconds in attempts:
        now += gap
        now += pacer.wait(now, seconds * rate)
        pacer.take(now, seconds * rate)
        taken.append((now, seconds))
    for first, (start, _) in enumerate(taken):
        total = largest = 0.0
        for time, seconds in taken[first:]:
            total += seconds
            largest = max(largest, seconds)
            assert total <= max(BURST_SECONDS, largest) + time - start + 1e-6


def taken(pacer: Pacer, now: float) -> int:
    """Return how many attempts may begin at once, after beginning them."""
    number = 0
    while pacer.wait(now) <= 1e-9:
        pacer.take(now)
        number += 1
    return number


def test_larger_share_of_a_rate_comes_with_an_empty_burst() -> None:
    """What it adds to the burst has to be earned, as another pacer may have just used it up."""
    pacer = Pacer(RateSettings(100.0))
    pacer.change(0.5, 0.0)
    assert taken(pacer, 0.0) == 5
    pacer.change(1.0, 0.0)
    assert taken(pacer, 0.0) == 0
    assert taken(pacer, 0.1) == 10


def test_smaller_share_of_a_rate_gives_up_its_part_of_the_burst() -> None:
    """The attempts that have begun still count."""
    pacer = Pacer(RateSettings(100.0))
    pacer.take(0.0)
    pacer.change(0.5, 0.0)
    assert taken(pacer, 0.0) == 5
    assert pacer.wait(0.0) == pytest.approx(1 / 50)


def test_no_share_of_a_rate_lets_nothing_through() -> None:
    """What was taken meanwhile, beyond what was reserved, is owed afterwards."""
    pacer = Pacer(RateSettings(tokens=10.0, burst=1.0))
    pacer.change(0.0, 0.0)
    assert pacer.wait(1e9, 1.0) == math.inf
    pacer.correct(5.0, 10.0)
    pacer.change(1.0, 5.0)
    assert pacer.wait(5.0, 10.0) == pytest.approx(2.0)
