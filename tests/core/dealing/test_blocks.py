"""The order in which the results of blocks are handed out; `test_dealer` adds the dealer."""

from __future__ import annotations

import pytest

from tmux_fanout.core.dealing.blocks import Block, BlocksAsCompleted, BlocksInOrder
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Result

Blocks = BlocksInOrder[str] | BlocksAsCompleted[str]


def record(index: int) -> Record:
    return Record(index, b"{}", b"{}")


def block_of(*indexes: int) -> Block[str]:
    return Block(map(record, indexes))


def add_results(blocks: Blocks, block: Block[str], *indexes: int) -> None:
    blocks.mark_ready(block)
    for index in indexes:
        block.add(Result(record(index), (), ()))


def taken(blocks: Blocks, max_results: int = 99) -> list[int]:
    results, size = blocks.take(max_results)
    assert size == 2 * len(results)
    return [result.index for result in results]


def with_two(blocks: Blocks) -> tuple[Block[str], Block[str]]:
    first, second = block_of(0, 1, 2), block_of(3, 4, 5)
    blocks.add(first)
    blocks.add(second)
    return first, second


def test_head_is_handed_out_before_it_is_finished() -> None:
    """Results of later blocks wait until all before them are taken."""
    blocks = BlocksInOrder[str]()
    first, second = with_two(blocks)
    add_results(blocks, second, 3)
    assert not blocks.ready
    add_results(blocks, first, 0, 1)
    assert blocks.ready
    assert taken(blocks) == [0, 1]
    assert blocks.head is first
    add_results(blocks, first, 2)
    assert taken(blocks) == [2, 3]
    assert blocks.head is second
    add_results(blocks, second, 4, 5)
    assert taken(blocks) == [4, 5]
    assert not len(blocks)


def test_as_completed_hands_out_what_comes() -> None:
    """The head is the block that has been open for longest."""
    blocks = BlocksAsCompleted[str]()
    first, second = with_two(blocks)
    add_results(blocks, second, 4)
    assert taken(blocks) == [4]
    assert blocks.head is first
    add_results(blocks, first, 0, 1, 2)
    assert blocks.head is second
    assert taken(blocks) == [0, 1, 2]
    add_results(blocks, second, 3, 5)
    assert blocks.head is None
    assert len(blocks)
    assert taken(blocks) == [3, 5]
    assert not len(blocks)


@pytest.mark.parametrize("blocks", [BlocksInOrder[str](), BlocksAsCompleted[str]()])
def test_no_more_blocks_are_taken_than_asked_for(blocks: Blocks) -> None:
    first, second = with_two(blocks)
    add_results(blocks, first, 0, 1, 2)
    add_results(blocks, second, 3, 4, 5)
    assert taken(blocks, 3) == [0, 1, 2]
    assert taken(blocks, 1) == [3, 4, 5]


def test_parts_take_the_place_of_their_block() -> None:
    """Parts follow the results of their block and precede all later blocks, in order."""
    blocks = BlocksInOrder[str]()
    first, second = with_two(blocks)
    third = block_of(6)
    blocks.add(third)
    add_results(blocks, second, 3)
    add_results(blocks, third, 6)
    second.open.clear()
    parts = [block_of(4), block_of(5)]
    blocks.replace({second: parts})
    for part, index in zip(reversed(parts), (5, 4)):
        add_results(blocks, part, index)
    assert not blocks.ready
    add_results(blocks, first, 0, 1, 2)
    assert taken(blocks) == [0, 1, 2, 3, 4, 5, 6]


def test_parts_are_open_in_the_place_of_their_block_without_order() -> None:
    blocks = BlocksAsCompleted[str]()
    first, second = with_two(blocks)
    add_results(blocks, first, 1)
    first.open.clear()
    parts = [block_of(0), block_of(2)]
    blocks.replace({first: parts})
    assert blocks.head is parts[0]
    add_results(blocks, parts[1], 2)
    assert taken(blocks) == [1, 2]
    assert list(blocks) == [parts[0], second]


def test_block_without_results_is_gone_once_it_is_split() -> None:
    """It is then neither ready nor the head of the line."""
    for blocks in (BlocksInOrder[str](), BlocksAsCompleted[str]()):
        first, second = with_two(blocks)
        first.open.clear()
        part = block_of(0, 1, 2)
        blocks.replace({first: [part]})
        assert not blocks.ready
        assert blocks.head is part
        assert list(blocks) == [part, second]
