"""The stretches of a run."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.review.course import MAX_STRETCHES, Course
from tmux_fanout.core.review.figures import Stretch


def counted(positions: list[float], unit: float = 1) -> list[Stretch]:
    course = Course(unit)
    for each in positions:
        section = course.at(each)
        section.add_record(ok=each % 3 != 0)
        section.add_call("a", each / 100, 1 + (each % 5 == 0), "timeout" if each % 3 == 0 else "")
    return list(course.stretches())


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=500), st.randoms())
def test_order_does_not_matter(positions: list[float], chance: random.Random) -> None:
    """Stretches are bounded in number, have all records, and are the same for any order."""
    found = counted(positions)
    assert len(found) <= MAX_STRETCHES
    for each in found:
        within = [index for index in positions if each.start <= index < each.end]
        failed = sum(index % 3 == 0 for index in within)
        recovered = sum(index % 3 != 0 and index % 5 == 0 for index in within)
        assert (each.records, each.not_ok) == (len(within), failed)
        api = each.apis["a"]
        assert (api.calls, api.not_ok, api.recovered) == (len(within), failed, recovered)
        assert api.failures == ({"timeout": failed} if failed else {})
        assert api.max == round(max(within) / 100, 6)
    assert sum(each.records for each in found) == len(positions)
    mixed = [*positions]
    chance.shuffle(mixed)
    assert counted(mixed) == found


def test_stretches_are_as_short_as_their_number_allows() -> None:
    """Each record has its own as long as that is few; then they double."""
    assert [each.end - each.start for each in counted([*range(MAX_STRETCHES)])] == [1] * 200
    found = counted([*range(MAX_STRETCHES + 1)])
    assert {each.end - each.start for each in found} == {2}
    assert len(found) == 101


def test_one_far_position_leaves_few_stretches() -> None:
    """However far apart positions are, their stretches are found at once."""
    found = counted([0, 1, 2**52, 5, 2**52 + 1])
    assert [each.records for each in found] == [3, 2]


def test_times_are_counted_in_fractions() -> None:
    """A stretch of time is as short as its unit."""
    found = counted([1_700_000_000.0, 1_700_000_000.2, 1_700_000_000.3], 0.25)
    assert [(each.start, each.records) for each in found] == [
        (1_700_000_000.0, 2),
        (1_700_000_000.25, 1),
    ]
