"""Starting workers again in the places of those that died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import trio

from tmux_fanout.core.dealing.restarts import restart_delay


class Restarts:
    """Starts workers again, at once or after a pause, as `core.dealing.restarts` decides.

    Args:
        start: starts a worker in a place; raises OSError if the system has no process for it.
        is_wanted: whether workers are still needed.
        given_up: called when a place stays empty.
        tell: called with what a user should know at once, in one line.
    """

    def __init__(
        self,
        start: Callable[[int], object],
        *,
        is_wanted: Callable[[], bool],
        given_up: Callable[[], object],
        tell: Callable[[str], None],
    ) -> None:
        self._start = start
        self._is_wanted = is_wanted
        self._given_up = given_up
        self._tell = tell
        self._deaths: Counter[int] = Counter()  # by place, in a row, of those that did nothing
        self._pending = 0

    def __repr__(self) -> str:
        return f"<Restarts: {self._pending} pending, deaths {dict(self._deaths)}>"

    @property
    def are_pending(self) -> bool:
        """Whether a worker is to be started after a pause."""
        return self._pending > 0

    def replace(
        self, nursery: trio.Nursery, place: int, *, has_answered: bool, killed: bool = True
    ) -> None:
        """Start a worker in the place of one that died, now or later, or never again.

        Args:
            nursery: where a pause is waited for.
            has_answered: whether anything came of what the dead one was handed.
            killed: whether a signal ended it.
        """
        self._deaths[place] = 0 if has_answered else self._deaths[place] + 1
        delay = restart_delay(self._deaths[place], killed=killed)
        if delay is None:
            self._tell(f"worker process {place} is not started again: it has died too often")
            self._given_up()
        elif delay == 0:
            self._start_now(nursery, place)
        else:
            self._pending += 1
            nursery.start_soon(self._start_later, nursery, place, delay)

    async def _start_later(self, nursery: trio.Nursery, place: int, delay: float) -> None:
        await trio.sleep(delay)
        self._pending -= 1
        if self._is_wanted():
            self._start_now(nursery, place)

    def _start_now(self, nursery: trio.Nursery, place: int) -> None:
        try:
            self._start(place)
        except OSError as exc:
            self._tell(f"worker process {place} cannot be started again: {exc.strerror}")
            self.replace(nursery, place, has_answered=False)
