"""What comes of portions, as it is handed out; `test_dealing` has it together with the dealer."""

from __future__ import annotations

import pytest

from tmux_fanout.core.dealing.blocks import Block, BlocksAsCompleted, BlocksInOrder
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Result

Portions = BlocksInOrder[str] | BlocksAsCompleted[str]


def record(index: int) -> Record:
    return Record(index, b"{}", b"{}")


def portion_of(*indexes: int) -> Block[str]:
    return Block(map(record, indexes))


def came(portions: Portions, portion: Block[str], *indexes: int) -> None:
    portions.came(portion)
    for index in indexes:
        portion.add(Result(record(index), (), ()))


def taken(portions: Portions, most: int = 99) -> list[int]:
    results, size = portions.take(most)
    assert size == 2 * len(results)
    return [result.index for result in results]


def with_two(portions: Portions) -> tuple[Block[str], Block[str]]:
    first, second = portion_of(0, 1, 2), portion_of(3, 4, 5)
    portions.add(first)
    portions.add(second)
    return first, second


def test_head_is_handed_out_before_it_is_finished() -> None:
    """What comes of the others has to wait until all before it was taken."""
    portions = BlocksInOrder[str]()
    first, second = with_two(portions)
    came(portions, second, 3)
    assert not portions.ready
    came(portions, first, 0, 1)
    assert portions.ready
    assert taken(portions) == [0, 1]
    assert portions.head is first
    came(portions, first, 2)
    assert taken(portions) == [2, 3]
    assert portions.head is second
    came(portions, second, 4, 5)
    assert taken(portions) == [4, 5]
    assert not len(portions)


def test_as_completed_hands_out_what_comes() -> None:
    """The head is the portion that has been open for longest."""
    portions = BlocksAsCompleted[str]()
    first, second = with_two(portions)
    came(portions, second, 4)
    assert taken(portions) == [4]
    assert portions.head is first
    came(portions, first, 0, 1, 2)
    assert portions.head is second
    assert taken(portions) == [0, 1, 2]
    came(portions, second, 3, 5)
    assert portions.head is None
    assert len(portions)
    assert taken(portions) == [3, 5]
    assert not len(portions)


@pytest.mark.parametrize("portions", [BlocksInOrder[str](), BlocksAsCompleted[str]()])
def test_no_more_portions_are_taken_than_asked_for(portions: Portions) -> None:
    first, second = with_two(portions)
    came(portions, first, 0, 1, 2)
    came(portions, second, 3, 4, 5)
    assert taken(portions, 3) == [0, 1, 2]
    assert taken(portions, 1) == [3, 4, 5]


def test_parts_stand_where_the_portion_stood() -> None:
    """Behind what has come of it, and before all others, in their own order."""
    portions = BlocksInOrder[str]()
    first, second = with_two(portions)
    third = portion_of(6)
    portions.add(third)
    came(portions, second, 3)
    came(portions, third, 6)
    second.open.clear()
    parts = [portion_of(4), portion_of(5)]
    portions.replace({second: parts})
    for part, index in zip(reversed(parts), (5, 4)):
        came(portions, part, index)
    assert not portions.ready
    came(portions, first, 0, 1, 2)
    assert taken(portions) == [0, 1, 2, 3, 4, 5, 6]


def test_parts_of_what_goes_as_completed_are_open_in_its_place() -> None:
    portions = BlocksAsCompleted[str]()
    first, second = with_two(portions)
    came(portions, first, 1)
    first.open.clear()
    parts = [portion_of(0), portion_of(2)]
    portions.replace({first: parts})
    assert portions.head is parts[0]
    came(portions, parts[1], 2)
    assert taken(portions) == [1, 2]
    assert list(portions) == [parts[0], second]


def test_portion_of_which_nothing_came_is_gone_once_it_is_parted() -> None:
    """Nothing is ready then, nor is it the head of the line any more."""
    for portions in (BlocksInOrder[str](), BlocksAsCompleted[str]()):
        first, second = with_two(portions)
        first.open.clear()
        part = portion_of(0, 1, 2)
        portions.replace({first: [part]})
        assert not portions.ready
        assert portions.head is part
        assert list(portions) == [part, second]
