"""Heads of responses that were seen before.

Many servers send the same head again and again, at least as long as their Date is the same.  What
llhttp has once made of a head need not be found out again: looking at it byte by byte, and calling
back for each header, is a tenth of all that a call costs.

Only what is plain is remembered: a final response whose one Content-Length says all about its end,
on a connection that stays open; and only a response that comes whole, in one piece, is recognised.
Whatever else comes, llhttp sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tmux_fanout.core.http.messages import MISDIRECTED
from tmux_fanout.core.policy.keep_alive import requests_left

_MOST = 128  # heads; when there are more, they are hardly the same again
_LONGEST = 4096  # bytes


class Head(NamedTuple):
    """What a head says.

    Attributes:
        size: its bytes, the empty line included.
        length: bytes of the body.
    """

    size: int
    length: int
    status: int
    headers: Sequence[tuple[bytes, bytes]]


class Heads:
    """Remembers heads of the responses of one transport."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def __repr__(self) -> str:
        return f"<Heads: {len(self._heads)}>"

    def recognise(self, data: bytes) -> Head | None:
        """The head of a whole response; None unless it was seen before, and `data` is whole."""
        head = self._heads.get(data[: data.find(b"\r\n\r\n") + 4])
        return head if head and len(data) == head.size + head.length else None

    def remember(
        self, data: bytes, status: int, headers: Sequence[tuple[bytes, bytes]], length: int
    ) -> None:
        """`data` has turned out to be a whole response, with a body of this length."""
        size = data.find(b"\r\n\r\n") + 4
        if size > _LONGEST or len(data) != size + length:
            return
        if status == MISDIRECTED or requests_left(headers) == 0:  # the connection is closed then
            return
        if len(self._heads) >= _MOST:
            self._heads.clear()
        self._heads[data[:size]] = Head(size, length, status, tuple(headers))
