"""The limit and the rate of an API as a whole, which its hosts share."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from tmux_fanout.core.policy.rate import Pacer
from tmux_fanout.engine.calls.alarm import AT_ONCE
from tmux_fanout.engine.calls.hosts.alarms import Timer, Timers
from tmux_fanout.engine.calls.sharing.fence import Fence
from tmux_fanout.engine.calls.slots import Start, TotalLimit


class ApiLimit(TotalLimit):
    """Hand the slots of one API to its hosts, in turns, at its rate and within a total limit.

    Args:
        limit: maximum number of attempts under way, over all hosts.
        outer: the slots that all APIs share, or None.
        pacer: of the API's rate, or None.
        fence: knows until when this process has a share of the limit; None: it is its own.
        timers: ring when the rate allows the next attempt.
        resume: begins attempts then.

    Attributes:
        is_paused: whether the user has paused the API.
    """

    def __init__(
        self,
        limit: int,
        outer: TotalLimit | None,
        *,
        pacer: Pacer | None,
        fence: Fence | None,
        timers: Timers,
        resume: Callable[[], None],
    ) -> None:
        super().__init__(limit)
        self.is_paused = False
        self._outer = outer
        self._pacer = pacer
        self._fence = fence
        self._timer = Timer(timers, resume)

    @property
    def is_held_by_rate(self) -> bool:
        """Whether hosts wait, and nothing but the rate delays them."""
        if not (self._waiting and self._pacer) or self.limiter.borrowed_tokens >= self._limit:
            return False
        return self._pacer.wait(trio.current_time()) > AT_ONCE

    @property
    def limit(self) -> int:
        """The number of slots."""
        return self._limit

    @property
    def waiting(self) -> int:
        """The number of hosts that have calls to begin, and lack only a slot or the rate."""
        return len(self._waiting)

    def has_slot(self, start: Start) -> bool:
        if self._max_slots and self._is_free():
            return True
        self._waiting[start] = None
        return False

    def _is_free(self) -> bool:
        """Return whether an attempt may begin; if not, the hosts get their turns later."""
        if self.is_paused or self.limiter.borrowed_tokens >= self._limit:
            return False
        if self._fence and trio.current_time() >= self._fence.until:
            return False
        if self._pacer:
            now = trio.current_time()
            wait = self._pacer.wait(now)
            if wait > AT_ONCE:
                if wait < math.inf:
                    self._timer.set(now + wait)
                return False
        return self._outer is None or self._outer.has_slot(self.take_turns)

    def take(self, borrower: object) -> None:
        super().take(borrower)
        if self._pacer:
            self._pacer.take(trio.current_time())
        if self._outer:
            self._outer.take(borrower)

    def give_back(self, borrower: object) -> None:
        super().give_back(borrower)
        if self._outer:
            self._outer.give_back(borrower)

    def pass_on(self) -> None:
        """Offer free slots to the hosts that wait, and what these leave to other APIs."""
        if self._outer:
            self._outer.pass_on()
        self.take_turns()

    def take_turns(self) -> None:
        """Offer free slots to the hosts that wait, one slot each and in turns."""
        while self._waiting and self._is_free():
            start = next(iter(self._waiting))
            del self._waiting[start]
            self._max_slots = 1.0
            start()
        self._max_slots = math.inf
