"""Slots: how many attempts may be under way at the same time, at one API and at all of them.

The limit of an API is fixed, or adapts itself to what the API can take (`core.policy.adaptive`).  A
shortage on this machine lowers it for a while (`Squeeze`), and all APIs may share a total limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import refuses
from tmux_fanout.core.policy.adaptive import AdaptiveLimit
from tmux_fanout.core.tuning.tuning import slots_of
from tmux_fanout.engine.calls.call import Answer, Attempt

_PAUSE = 0.1  # seconds between two steps of loosening a squeeze
_GROWTH = 8  # each step adds an eighth to the limit, and at least one
_ADVICE = {
    "open files": "allow more of them: ulimit -n",
    "local ports": "widen net.ipv4.ip_local_port_range, or lower the limit",
}

Start = Callable[[], object]


class TotalLimit:
    """`--total-limit`: hand the slots of one limiter to the APIs in turns.

    Args:
        limit: maximum number of attempts under way, over all APIs.

    Attributes:
        limiter: the limiter; each attempt under way holds one of its tokens.
    """

    def __init__(self, limit: int) -> None:
        self.limiter = trio.CapacityLimiter(limit)
        self._limit = self._granted = limit
        self._multiple = 1.0
        self._waiting: dict[Start, None] = {}  # in the order of arrival
        self._max_slots = math.inf  # how many the API whose turn it is may still take

    def __repr__(self) -> str:
        return f"<TotalLimit: {self.limiter!r}, {len(self._waiting)} APIs wait>"

    def has_slot(self, start: Start) -> bool:
        """Return whether there is a free slot; if not, `pass_on` calls `start` in its turn."""
        if self._max_slots and self.limiter.borrowed_tokens < self._limit:
            return True
        self._waiting[start] = None
        return False

    def change(self, limit: int) -> None:
        """Change the limit; slots that are taken beyond it are waited for."""
        self._granted = limit
        self._limit = slots_of(self._multiple, limit) if limit else 0
        self.limiter.total_tokens = max(1, self._limit)

    def tune(self, multiple: float) -> None:
        """Use a multiple of the limit."""
        self._multiple = multiple
        self.change(self._granted)

    def take(self, borrower: object) -> None:
        """Take a slot, one being free."""
        self.limiter.acquire_on_behalf_of_nowait(borrower)
        self._max_slots -= 1

    def give_back(self, borrower: object) -> None:
        """Return a slot; `pass_on` has to follow."""
        self.limiter.release_on_behalf_of(borrower)

    def pass_on(self) -> None:
        """Offer the free slots to the APIs that wait, one slot each and in turns."""
        while self._waiting and self.limiter.borrowed_tokens < self._limit:
            start = next(iter(self._waiting))
            del self._waiting[start]
            self._max_slots = 1.0
            start()
        self._max_slots = math.inf


class Slots:
    """Hand out the slots of one API.

    Args:
        plan: the API.
        total: the slots that all APIs share, or None.
        nursery: runs the task that loosens a squeeze.
        start: starts attempts on the free slots; called in turn with other APIs.
        resume: starts attempts after slots became free.
        notify: called with one line for the user when a shortage begins.

    Attributes:
        limiter: the limiter; each attempt under way holds one of its tokens.
        is_adaptive: whether `observe` has to be called for each attempt.
    """

    def __init__(
        self,
        plan: ApiPlan,
        total: TotalLimit | None,
        nursery: trio.Nursery,
        *,
        start: Callable[[], object],
        resume: Callable[[], object],
        notify: Callable[[str], None],
    ) -> None:
        bounds = plan.adaptive
        self._adaptive = AdaptiveLimit(bounds.min, bounds.max) if bounds else None
        self.is_adaptive = self._adaptive is not None
        self._bounds = bounds
        self._is_fixed = self._adaptive is None
        self._fixed_limit = self._granted = plan.limit
        self._max = math.inf if plan.max_limit is None else plan.max_limit
        self._multiple = 1.0
        self._rate_headers = plan.rate_headers
        self.limiter = trio.CapacityLimiter(self.limit)
        self._total = total
        self._start = start
        # Tokens that ended attempts leave for the next ones: releasing one and acquiring another
        # takes the limiter 1 us.
        self._spare: list[object] = []
        self._squeeze = Squeeze(
            plan.name,
            self.limiter,
            nursery,
            limit=lambda: max(1, self.limit),  # a limiter of older versions of trio has one token
            resume=resume,
            notify=notify,
        )

    def __repr__(self) -> str:
        return f"<Slots: {self.limiter!r}, {self._squeeze!r}>"

    @property
    def limit(self) -> int:
        """The number of slots while this machine is short of nothing."""
        return self._adaptive.limit if self._adaptive else self._fixed_limit

    @property
    def maximum(self) -> int:
        """The limit, or the maximum of one that adapts itself."""
        return self._fixed_limit

    def change(self, limit: int) -> None:
        """Change the limit, or the maximum of one that adapts itself.

        Slots that are taken beyond it are waited for.
        """
        self._granted = limit
        limit = slots_of(self._multiple, limit) if limit else 0
        self._fixed_limit = limit = int(min(limit, self._max))
        if self._adaptive and self._bounds:
            minimum = self._bounds.min * limit // self._bounds.max
            self._adaptive.bound(min(max(1, minimum), limit), limit)
        slots = max(1, self.limit)
        if self._squeeze.is_on:
            slots = min(slots, int(self.limiter.total_tokens))
        self.limiter.total_tokens = slots

    def tune(self, multiple: float) -> None:
        """Use a multiple of the limit; of an adaptive one, its bounds."""
        self.release_spare()
        self._is_fixed = False
        self._multiple = multiple
        self.change(self._granted)

    @property
    def total_taken(self) -> int:
        """The number of slots taken of those that all APIs share; 0 if they share none."""
        return self._total.limiter.borrowed_tokens if self._total else 0

    def has_free(self) -> bool:
        """Return whether an attempt may take a slot; if not, `start` is called in its turn."""
        if self._total and not self._total.has_slot(self._start):
            return False
        return bool(self._spare) or self.limiter.available_tokens >= 1

    def take(self, attempt: Attempt) -> None:
        """Take a slot for an attempt, one being free."""
        if self._spare:
            attempt.slot = self._spare.pop()
        else:
            attempt.slot = object()
            self.limiter.acquire_on_behalf_of_nowait(attempt.slot)
        if self._total:
            self._total.take(attempt)

    def give_back(self, attempt: Attempt) -> None:
        """Return the slot of an attempt; `release_spare` has to follow."""
        if self._is_fixed:
            self._spare.append(attempt.slot)
        else:
            self.limiter.release_on_behalf_of(attempt.slot)  # the limit may be lower now
        if self._total:
            self._total.give_back(attempt)

    def release_spare(self) -> None:
        """Release the tokens that no new attempt has taken over."""
        while self._spare:
            self.limiter.release_on_behalf_of(self._spare.pop())

    def pass_on(self) -> None:
        """Let the other APIs take their turns, where all share a total limit."""
        if self._total:
            self._total.pass_on()

    def reduce(self, shortage: str) -> None:
        """Run fewer attempts at once, as this machine is short of something.

        Args:
            shortage: what it is short of.
        """
        self.release_spare()
        self._squeeze.tighten(shortage)

    def observe(self, attempt: Attempt, now: float, in_flight: int, answer: Answer) -> None:
        """Adapt the limit to the result of an attempt.

        Args:
            attempt: the attempt that ended.
            now: the time.
            in_flight: number of attempts under way just before it ended.
            answer: its result.
        """
        assert self._adaptive  # only called where `is_adaptive`
        refused = False
        if isinstance(answer, Response):
            if refuses(answer, self._rate_headers):
                return  # the throttle sees to these, and they say nothing of the time
        elif answer is None and now >= attempt.deadline:
            refused = True
        else:
            return  # cancelled, or no server: neither tells how many attempts it can take
        is_changed = self._adaptive.observe(
            attempt.began, now, in_flight=in_flight, refused=refused
        )
        if is_changed and not self._squeeze.is_on:
            self.limiter.total_tokens = self._adaptive.limit


class Squeeze:
    """Lower the limit of an API while this machine is short of what a connection takes.

    An attempt that meets a shortage (of open files, of local ports) has not really started, and its
    call waits at the front of the queue.  From then on there is room for the attempts under way and
    for no others: their connections, or what those took, serve the next calls.  After each pause
    one more attempt is let in to find out whether the shortage is over; as long as it is, the limit
    grows back to its normal value.

    Args:
        name: name of the API.
        limiter: the limiter of its attempts.
        nursery: runs the task that loosens the limit.
        limit: returns the normal limit.
        resume: starts attempts for which there is room.
        notify: called with one line for the user when a shortage begins, once for each kind.

    Attributes:
        is_on: whether the limit is lower than normal.
    """

    def __init__(
        self,
        name: str,
        limiter: trio.CapacityLimiter,
        nursery: trio.Nursery,
        *,
        limit: Callable[[], float],
        resume: Callable[[], object],
        notify: Callable[[str], None],
    ) -> None:
        self._name = name
        self._limiter = limiter
        self._nursery = nursery
        self._limit = limit
        self._resume = resume
        self._notify = notify
        self._reported: set[str] = set()
        # A limiter has one token at least; holding it leaves no room where nothing is under way.
        self._holds_token = False
        self.is_on = False

    def __repr__(self) -> str:
        return f"<Squeeze: {'on' if self.is_on else 'off'}>"

    def tighten(self, shortage: str) -> None:
        """Leave room only for the attempts under way, and loosen that step by step."""
        self._report(shortage)
        self._limiter.total_tokens = self._limiter.borrowed_tokens + (not self._holds_token)
        if not self._holds_token:
            self._holds_token = True
            self._limiter.acquire_on_behalf_of_nowait(self)
        if not self.is_on:
            self.is_on = True
            self._nursery.start_soon(self._loosen)

    def _report(self, shortage: str) -> None:
        if shortage not in self._reported:
            self._reported.add(shortage)
            advice = f"; {_ADVICE[shortage]}" if shortage in _ADVICE else ""
            self._notify(f"{self._name}: out of {shortage}, so fewer calls run at once{advice}")

    async def _loosen(self) -> None:
        try:
            while self.is_on:
                await trio.sleep(_PAUSE)
                if self._holds_token:
                    self._release_token()
                else:
                    limit = self._limiter.total_tokens
                    more = limit + max(1, limit // _GROWTH)
                    self._limiter.total_tokens = int(min(self._limit(), more))
                self.is_on = self._limiter.total_tokens < self._limit()
                self._resume()
        finally:
            if self._holds_token:
                self._release_token()

    def _release_token(self) -> None:
        self._holds_token = False
        self._limiter.release_on_behalf_of(self)
