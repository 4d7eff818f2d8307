"""The reorder buffers: whatever the order of completion, no item is lost or repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.ordering.reorder import AsCompleted, InOrder
from tmux_fanout.core.ordering.window import Window


class Item:
    """An item that becomes complete."""

    def __init__(self, index: int, *, complete: bool = False) -> None:
        self.index = index
        self.complete = complete

    def __repr__(self) -> str:
        return f"<Item {self.index}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Item)  # buffers must not tell items apart by equality

    __hash__ = None  # type: ignore[assignment]  # nor hash them


def indexes(items: list[Item]) -> list[int]:
    return [item.index for item in items]


def complete(buffer: InOrder[Item] | AsCompleted[Item], item: Item) -> None:
    item.complete = True
    buffer.completed(item)


@given(st.permutations(range(12)), st.integers(1, 12))
def test_in_order_gives_any_completion_order_in_order(order: list[int], max_items: int) -> None:
    """The output is always the longest complete prefix of the input."""
    buffer = InOrder[Item]()
    items = [Item(index) for index in range(len(order))]
    for item in items:
        buffer.add(item)
    out: list[int] = []
    for done, index in enumerate(order, 1):
        complete(buffer, items[index])
        while buffer.ready:
            taken = buffer.take(max_items)
            assert 1 <= len(taken) <= max_items
            out += indexes(taken)
        assert buffer.take(max_items) == []
        finished = set(order[:done])
        expected = next((n for n in range(len(order)) if n not in finished), len(order))
        assert out == list(range(expected))
        assert len(buffer) == len(order) - len(out)
    assert buffer.head is None


@given(st.permutations(range(12)), st.integers(1, 12))
def test_as_completed_gives_the_order_of_completion(order: list[int], max_items: int) -> None:
    """Each item comes out as soon as it completes, and once."""
    buffer = AsCompleted[Item]()
    items = [Item(index) for index in range(len(order))]
    for item in items:
        buffer.add(item)
    out: list[int] = []
    for index in order:
        assert not buffer.ready
        complete(buffer, items[index])
        assert buffer.ready
        out += indexes(buffer.take(max_items))
        assert len(buffer) == len(order) - len(out)
    assert out == order
    assert buffer.head is None


@given(st.data(), st.integers(1, 5), st.booleans())
def test_buffers_behind_a_window_hold_no_more_than_the_window(
    data: st.DataObject, size: int, ordered: bool
) -> None:
    """No interleaving leaves a gap, repeats an item or exceeds the window."""
    buffer: InOrder[Item] | AsCompleted[Item] = InOrder() if ordered else AsCompleted()
    window = Window(size, 1000)
    open_items: list[Item] = []
    finished: list[int] = []
    out: list[int] = []
    admitted = 0
    for _ in range(data.draw(st.integers(0, 40))):
        match data.draw(st.sampled_from(["admit", "admit complete", "complete", "take"])):
            case "complete" if open_items:
                item = open_items.pop(data.draw(st.integers(0, len(open_items) - 1)))
                complete(buffer, item)
                finished.append(item.index)
            case "take":
                taken = buffer.take(data.draw(st.integers(1, 3)))
                window.leave(len(taken), len(taken))
                out += indexes(taken)
            case action if action.startswith("admit") and window.admit([1]):
                item = Item(admitted, complete=action != "admit")
                buffer.add(item)
                if item.complete:
                    finished.append(item.index)
                else:
                    open_items.append(item)
                admitted += 1
        assert len(buffer) == window.records <= size
        assert buffer.incomplete == len(open_items)
        assert sorted(indexes(list(buffer)) + out) == list(range(admitted))
        assert out == (list(range(len(out))) if ordered else finished[: len(out)])
        oldest = min(indexes(open_items), default=None)
        if not ordered or not buffer.ready:
            assert (buffer.head.index if buffer.head else None) == oldest


@pytest.mark.parametrize("kind", [InOrder, AsCompleted])
def test_buffers_pass_on_what_arrives_complete(kind: type[InOrder[Item]]) -> None:
    """An item that needs no work, such as an invalid record, is ready on arrival."""
    buffer = kind()
    assert not buffer.ready
    buffer.add(Item(0, complete=True))
    assert buffer.ready
    assert indexes(buffer.take(9)) == [0]
    assert not buffer.ready


def test_in_order_holds_complete_items_behind_an_incomplete_head() -> None:
    """The head is what all wait for, and iteration yields all items."""
    buffer = InOrder[Item]()
    first, second = Item(0), Item(1, complete=True)
    buffer.add(first)
    buffer.add(second)
    assert buffer.head is first
    assert not buffer.ready
    assert buffer.take(9) == []
    assert [item.index for item in buffer] == [0, 1]


@pytest.mark.parametrize(
    ("buffer", "shown"),
    [
        (InOrder[Item](), "<InOrder: 2 items, the first not ready>"),
        (AsCompleted[Item](), "<AsCompleted: 2 items, 1 ready>"),
    ],
    ids=["in-order", "as-completed"],
)
def test_buffers_repr_shows_what_they_wait_for(
    buffer: InOrder[Item] | AsCompleted[Item], shown: str
) -> None:
    """The repr shows how many items there are, and whether any can be taken."""
    head = Item(0)
    buffer.add(head)
    buffer.add(Item(1, complete=True))
    assert repr(buffer) == shown
    complete(buffer, head)
    assert repr(buffer).endswith((" first ready>", " 2 ready>"))
