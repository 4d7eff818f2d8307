"""The reorder buffer: things finish in any order and leave in the order they came.

Two buffers with the same methods: `InOrder`, and `AsCompleted` for those who do not care.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Completable(Protocol):
    @property
    def complete(self) -> bool: ...


T = TypeVar("T", bound=Completable)


class InOrder(Generic[T]):
    """Hands out items in the order of arrival, once they and all before them are complete.

    Finding what is ready looks at the head only, so its cost does not depend on the window.

    Attributes:
        incomplete: how many of the items are not complete.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self.incomplete = 0

    def __repr__(self) -> str:
        return f"<InOrder: {len(self)} items, the first {'' if self.ready else 'not '}ready>"

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """All that came and has not been taken."""
        return iter(self._items)

    @property
    def ready(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self._items) and self._items[0].complete

    @property
    def head(self) -> T | None:
        """The item that the others wait for."""
        return self._items[0] if self._items else None

    def add(self, item: T) -> None:
        """An item has arrived, complete or not."""
        self._items.append(item)
        if not item.complete:
            self.incomplete += 1

    def completed(self, item: T) -> None:
        """An item that arrived incomplete has become complete."""
        self.incomplete -= 1

    def take(self, most: int) -> list[T]:
        """Up to `most` items whose turn it is."""
        taken: list[T] = []
        items = self._items
        while items and len(taken) < most and items[0].complete:
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
        """All that came and has not been taken."""
        yield from self._complete
        yield from self._incomplete.values()

    @property
    def incomplete(self) -> int:
        """How many of the items are not complete."""
        return len(self._incomplete)

    @property
    def ready(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self._complete)

    @property
    def head(self) -> T | None:
        """The oldest item that is not complete."""
        return next(iter(self._incomplete.values()), None)

    def add(self, item: T) -> None:
        """An item has arrived, complete or not."""
        if item.complete:
            self._complete.append(item)
        else:
            self._incomplete[id(item)] = item

    def completed(self, item: T) -> None:
        """An item that arrived incomplete has become complete."""
        self._complete.append(self._incomplete.pop(id(item)))

    def take(self, most: int) -> list[T]:
        """Up to `most` items whose turn it is."""
        return [self._complete.popleft() for _ in range(min(most, len(self._complete)))]
