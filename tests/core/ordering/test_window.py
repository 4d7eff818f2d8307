"""The window: which records may come in; into an empty one, any record may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.ordering.window import Window


@pytest.mark.parametrize(
    ("inside", "size", "fits"),
    [
        pytest.param([], 10, True, id="empty"),
        pytest.param([], 101, True, id="empty-takes-one-of-any-size"),
        pytest.param([0], 101, False, id="not-empty-even-of-no-bytes"),
        pytest.param([60], 40, True, id="full-to-the-byte"),
        pytest.param([60], 41, False, id="one-byte-too-many"),
        pytest.param([500], 0, False, id="overfull-takes-nothing"),
        pytest.param([1, 1], 1, True, id="last-record"),
        pytest.param([1, 1, 1], 0, False, id="no-more-records"),
    ],
)
def test_window_takes_a_record_where_there_is_room(
    inside: list[int], size: int, fits: bool
) -> None:
    """A record needs room by count and by bytes, unless the window is empty."""
    window = Window(3, 100)
    for entered in inside:
        window.enter(entered)
    before = (window.records, window.bytes)
    assert window.admit([size]) == fits
    after = (before[0] + 1, before[1] + size) if fits else before
    assert (window.records, window.bytes) == after


def test_window_responses_fill_it_and_leaving_empties_it() -> None:
    """Bytes that are added later count, and what is written makes room again."""
    window = Window(3, 100)
    assert window.admit([10])
    assert window.admit([10])
    window.grow(81)
    assert window.is_overfull
    assert not window.admit([0])
    window.leave(1, 91)
    assert not window.is_overfull
    assert window.admit([90])
    window.leave(2, 100)
    assert (window.records, window.bytes) == (0, 0)


def test_window_is_overfull_past_its_bytes_only() -> None:
    """Full to the byte is not too full."""
    window = Window(1, 100)
    window.enter(100)
    assert not window.is_overfull
    window.grow(1)
    assert window.is_overfull


@pytest.mark.parametrize(
    ("inside", "size", "fits"),
    [
        pytest.param([60], 40, True, id="unstretched-to-the-byte"),
        pytest.param([1] * 3, 1, True, id="beyond"),
        pytest.param([1] * 4, 1, True, id="last-record-beyond"),
        pytest.param([1] * 5, 1, False, id="no-more-records-beyond"),
        pytest.param([8] * 3, 1, True, id="quarter-full-to-the-byte"),
        pytest.param([8] * 3, 2, False, id="one-byte-more-than-a-quarter"),
    ],
)
def test_window_is_stretched_for_what_is_needed(inside: list[int], size: int, fits: bool) -> None:
    """More records come in then, while a quarter of the bytes is enough for all."""
    window = Window(3, 100, 5)
    for entered in inside:
        window.enter(entered)
    assert window.admit([size]) == (len(inside) < 3)
    window = Window(3, 100, 5)
    for entered in inside:
        window.enter(entered)
    assert window.has_room(size, is_needed=True) == fits
    assert window.admit([size], is_needed=True) == fits


@given(
    st.integers(1, 4),
    st.integers(0, 9),
    st.integers(0, 50),
    st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans())),
)
def test_window_never_holds_more_than_it_may(
    records: int, stretched_to: int, size: int, steps: list[tuple[int, bool, bool]]
) -> None:
    """Records never exceed their maximum; bytes do only if a single record is inside."""
    window = Window(records, size, stretched_to)
    inside: list[int] = []
    for number, leaves, is_needed in steps:
        before = len(inside)
        if leaves and inside:
            window.leave(1, inside.pop(0))
        elif window.admit([number], is_needed=is_needed):
            inside.append(number)
            assert before < (max(records, stretched_to) if is_needed else records)
        else:
            assert inside
        assert (window.records, window.bytes) == (len(inside), sum(inside))
        assert window.bytes <= size or window.records == 1


def test_window_repr_shows_how_full_it_is() -> None:
    """The repr shows the records, their maximum, and the bytes."""
    window = Window(3, 100)
    window.enter(7)
    assert repr(window) == "<Window: 1/3 records, 7 bytes>"
