"""Fewer attempts at once, while this machine is short of what a connection takes.

An attempt that meets a shortage (of open files, of local ports, ...) has not really begun, and its
call waits in front of the queue.  From then on there is room for those attempts that are under way,
and for no others: their connections, or what they took, serve the next calls.  After each pause one
more is let in to see whether there is more to be had again, and as long as there is, the room grows
until it is what it was.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

_PAUSE = 0.1  # seconds, in which something may have been given back
_GROWTH = 8  # after each pause the room is larger by an eighth, at least by one
_ADVICE = {
    "open files": "allow more of them: ulimit -n",
    "local ports": "widen net.ipv4.ip_local_port_range, or lower the limit",
}


class Squeeze:
    """Makes the limiter of one API tighter, and loose again.

    Args:
        name: of the API.
        limiter: of its attempts.
        limit: returns how many there may be where nothing is short.
        tell: called when it begins, once for each thing that is short.
        resume: begins attempts for which there is room.

    Attributes:
        is_on: whether there is less room than usual.
    """

    def __init__(
        self,
        name: str,
        limiter: trio.CapacityLimiter,
        *,
        limit: Callable[[], float],
        tell: Callable[[str], None],
        resume: Callable[[], None],
    ) -> None:
        self._name = name
        self._limiter = limiter
        self._limit = limit
        self._tell = tell
        self._resume = resume
        self._told: set[str] = set()
        self._holds = False  # a token, so that there is no room at all where nothing is under way
        self.is_on = False

    def __repr__(self) -> str:
        return f"<Squeeze: {'on' if self.is_on else 'off'}, {self._limiter!r}>"

    def tighten(self, nursery: trio.Nursery, what: str) -> None:
        """Leave room for nothing but what is under way, and loosen that step by step."""
        if what not in self._told:
            self._told.add(what)
            advice = f"; {_ADVICE[what]}" if what in _ADVICE else ""
            self._tell(f"{self._name}: out of {what}, so fewer calls run at once{advice}")
        self._limiter.total_tokens = self._limiter.borrowed_tokens + (0 if self._holds else 1)
        if not self._holds:
            self._holds = True
            self._limiter.acquire_on_behalf_of_nowait(self)
        if not self.is_on:
            self.is_on = True
            nursery.start_soon(self._loosen)

    async def _loosen(self) -> None:
        try:
            while self.is_on:
                await trio.sleep(_PAUSE)
                if self._holds:
                    self._release()
                else:
                    room = self._limiter.total_tokens
                    self._limiter.total_tokens = min(self._limit(), room + max(1, room // _GROWTH))
                self.is_on = self._limiter.total_tokens < self._limit()
                self._resume()
        finally:
            if self._holds:
                self._release()

    def _release(self) -> None:
        self._holds = False
        self._limiter.release_on_behalf_of(self)
