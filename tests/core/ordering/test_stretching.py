"""What a full window lacks, depending on whether slots idle because of the order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.ordering.stretching import Load, Need, need

BUSY = Load(slots=8, free=0, waiting=0)
IDLE = Load(slots=8, free=3, waiting=0)
HELD = Load(slots=8, free=3, waiting=2)  # by its rate or the total limit
DOWN = Load(slots=8, free=7, waiting=8, is_held=True)


@pytest.mark.parametrize(
    ("incomplete", "loads", "expected"),
    [
        pytest.param(0, [IDLE], Need(7, 0), id="three-idle-slots-and-half-of-all-in-advance"),
        pytest.param(49, [IDLE], Need(7, 0), id="just-less-than-half-incomplete"),
        pytest.param(50, [IDLE], Need(0, 1), id="half-incomplete"),
        pytest.param(80, [IDLE], Need(0, 31), id="until-less-than-half-is-incomplete"),
        pytest.param(8, [BUSY], Need(0, 1), id="next-to-settle-leaves-a-slot"),
        pytest.param(8, [Load(8, 0, 5)], Need(0, 6), id="next-to-settle-has-a-successor"),
        pytest.param(8, [Load(8, 0, 5), BUSY], Need(0, 1), id="first-to-run-short-counts"),
        pytest.param(8, [HELD], Need(0, 1), id="held-up"),
        pytest.param(8, [Load(8, 3, 7)], Need(0, 5), id="some-are-about-to-go"),
        pytest.param(8, [HELD, IDLE], Need(7, 0), id="one-held-up-and-one-idle"),
        pytest.param(8, [Load(8, -3, 0)], Need(0, 4), id="limit-lowered"),
        pytest.param(8, [Load(1, 1, 0)], Need(1, 0), id="one-slot"),
        pytest.param(8, [IDLE, Load(80, 10, 0)], Need(50, 0), id="largest-need"),
        pytest.param(8, [Load(4, 1, 0, calls=10)], Need(30, 0), id="batches"),
        pytest.param(8, [Load(4, 4, 0, calls=100)], Need(92, 0), id="as-many-as-without-order"),
        pytest.param(8, [Load(4, 0, 25, calls=10)], Need(0, 3), id="batches-wait"),
    ],
)
def test_need_depends_on_idle_slots(incomplete: int, loads: list[Load], expected: Need) -> None:
    """A window of 100 records is full, and the writer waits for the head of the line."""
    assert need(100, incomplete, loads, is_held=False) == expected


@pytest.mark.parametrize(
    ("incomplete", "loads", "expected"),
    [
        pytest.param(100, [DOWN, IDLE], Need(7, 0), id="beyond-the-window"),
        pytest.param(300, [DOWN, IDLE], Need(7, 0), id="far-beyond-it"),
        pytest.param(8, [DOWN, IDLE], Need(7, 0), id="few-open"),
        pytest.param(100, [DOWN, BUSY], Need(0, 1), id="the-other-is-busy"),
        pytest.param(100, [DOWN, Load(8, 0, 5)], Need(0, 6), id="the-other-has-calls-waiting"),
        pytest.param(100, [DOWN], Need(0, 2), id="all-are-held"),
    ],
)
def test_an_api_does_not_wait_for_one_that_is_held(
    incomplete: int, loads: list[Load], expected: Need
) -> None:
    """The window of 100 records takes more, since the calls of one API fill it."""
    assert need(100, incomplete, loads, is_held=True) == expected


def test_loads_are_not_looked_at_where_many_calls_are_open() -> None:
    loads = iter([IDLE])
    assert need(100, 80, loads, is_held=False) == Need(0, 31)
    assert next(loads) is IDLE


LOADS = st.builds(
    Load,
    slots=st.integers(1, 9),
    free=st.integers(-2, 9),
    waiting=st.integers(0, 30),
    calls=st.integers(1, 5),
    is_held=st.booleans(),
)


@given(st.integers(1, 50), st.integers(0, 60), st.lists(LOADS, min_size=1, max_size=3))
def test_need_is_for_records_or_for_settled_calls(
    window: int, incomplete: int, loads: list[Load]
) -> None:
    """Either records are admitted, within what unordered output would allow, or calls awaited."""
    is_held = any(load.is_held for load in loads)
    records, settled = need(window, incomplete, loads, is_held=is_held)
    assert (records > 0) != (settled > 0)
    if records:
        assert any(load.free > 0 and not load.waiting for load in loads)
        if not is_held:
            assert incomplete + records <= window
            assert incomplete < window / 2
