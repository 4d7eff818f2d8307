"""Rates: their syntax, and the attempts that GCRA allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.rate import BURST_SECONDS, Pacer, parse_rate, show_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", 50.0),
        (" 300 / m", 5.0),
        ("3600/h", 1.0),
        ("0.5/s", 0.5),
        ("7/h", 7 / 3600),
        ("0.3/s", 0.3),
    ],
)
def test_parse_rate(text: str, rate: float) -> None:
    """A rate is a number per second, minute or hour."""
    assert parse_rate(text) == rate
    assert parse_rate(show_rate(rate)) == rate


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
    pacer, now, taken = Pacer(rate), 0.0, []
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
    pacer = Pacer(50.0)
    for _ in range(5):
        assert pacer.wait(0.0) == 0.0
        pacer.take(0.0)
    assert pacer.wait(0.0) == pytest.approx(0.02)
