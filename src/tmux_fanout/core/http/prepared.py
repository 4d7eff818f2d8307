"""A cache of what is derived from request heads, for those that are sent again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tmux_fanout.core.http.messages import RequestHead

_MAX_KEPT = 64  # heads; each replaced token makes new ones

T = TypeVar("T")


class Prepared(dict[RequestHead, T]):
    """Caches the result of a function for each shared head: `prepared[head]`.

    A head with data of a record in it is not sent again and may be large, so its result is not
    kept.  Two heads are the same if they are one object.

    A cache hit runs no Python code; `functools.lru_cache` costs more.

    Args:
        prepare: computes the result for a head.
    """

    def __init__(self, prepare: Callable[[RequestHead], T]) -> None:
        super().__init__()
        self._prepare = prepare

    def __repr__(self) -> str:
        return f"<Prepared: {len(self)} heads>"

    def __missing__(self, head: RequestHead) -> T:
        prepared = self._prepare(head)
        if head.is_shared:
            if len(self) >= _MAX_KEPT:
                self.clear()
            self[head] = prepared
        return prepared
