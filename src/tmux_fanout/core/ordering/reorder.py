"""The reorder buffer: items complete in any order and leave in the order of arrival.

There are two buffers with the same methods: `InOrder`, and `AsCompleted` for output in the order of
completion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Completable(Protocol):
    """An item that knows whether it is complete."""

    @property
    def complete(self) -> bool: ...


T = TypeVar("T", bound=Completable)


class InOrder(Generic[T]):
    """Hands out items in the order of arrival, once they and all before them are complete.

    Only the head is examined to find out what is ready, so the cost does not depend on the window.

    Attributes:
        incomplete: number of items that are not complete.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self.incomplete = 0

    def __repr__(self) -> str:
        return f"<InOrder: {len(self)} items, the first {'' if self.ready else 'not '}ready>"

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """Yield the items that have not been taken."""
        return iter(self._items)

    @property
    def ready(self) -> bool:
        """Whether `take` would return anything."""
        return bool(self._items) and self._items[0].complete

    @property
    def head(self) -> T | None:
        """The oldest item, which the others wait for."""
        return self._items[0] if self._items else None

    def add(self, item: T) -> None:
        """Add an item, complete or not."""
        self._items.append(item)
        if not item.complete:
            self.incomplete += 1

    def completed(self, item: T) -> None:
        """Note that an item that was added incomplete has become complete."""
        self.incomplete -= 1

    def take(self, max_items: int) -> list[T]:
        """Remove and return up to `max_items` items whose turn it is."""
        taken: list[T] = []
        items = self._items
        while items and len(taken) < max_items and items[0].complete:
            taken.append(items.popleft())
        return taken


class AsCompleted(Generic[T]):
    """Hands out items in the order of completion."""

    def __init__(self) -> None:
        self._incomplete: dict[int, T] = {}
        self._complete: deque[T] = deque()

    def __repr__(self) -> str:
        return f"<AsCompleted: {len(self)} items, {len(self._complete)} ready>"

    def __len__(self) -> int:
        return len(self._incomplete) + len(self._complete)

    def __iter__(self) -> Iterator[T]:
        """Yield the items that have not been taken."""
        yield from self._complete
        yield from self._incomplete.values()

    @property
    def incomplete(self) -> int:
        """The number of items that are not complete."""
        return len(self._incomplete)

    @property
    def ready(self) -> bool:
        """Whether `take` would return anything."""
        return bool(self._complete)

    @property
    def head(self) -> T | None:
        """The oldest item that is not complete."""
        return next(iter(self._incomplete.values()), None)

    def add(self, item: T) -> None:
        """Add an item, complete or not."""
        if item.complete:
            self._complete.append(item)
        else:
            self._incomplete[id(item)] = item

    def completed(self, item: T) -> None:
        """Note that an item that was added incomplete has become complete."""
        self._complete.append(self._incomplete.pop(id(item)))

    def take(self, max_items: int) -> list[T]:
        """Remove and return up to `max_items` items whose turn it is."""
        return [self._complete.popleft() for _ in range(min(max_items, len(self._complete)))]
