"""What is made of request heads, kept for those that are sent again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tmux_fanout.core.http.messages import RequestHead

_MAX_KEPT = 64  # a token that is replaced makes new heads of the old ones

T = TypeVar("T")


class Prepared(dict[RequestHead, T]):
    """Look up what a function makes of a head: `prepared[head]`.

    A head with something of a record in it is not sent again and may be large, so nothing that is
    made of it is kept.  Heads are told apart by identity.

    A lookup of what is kept runs no Python code; `functools.lru_cache` costs more.

    Args:
        prepare: makes it.
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
