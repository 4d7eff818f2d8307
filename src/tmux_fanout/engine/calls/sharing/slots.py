"""The slots of one API of which this process has a share that changes."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.engine.calls.sharing.fence import Fence
from tmux_fanout.engine.calls.slots import Slots, TotalLimit


class SharedSlots(Slots):
    """Hand out slots, no more than the share has, and none after it is over.

    Args:
        fence: knows when it is over.
        plan, total, nursery, start, resume, notify: as for `Slots`.
    """

    def __init__(
        self,
        fence: Fence,
        plan: ApiPlan,
        total: TotalLimit | None,
        nursery: trio.Nursery,
        *,
        start: Callable[[], object],
        resume: Callable[[], object],
        notify: Callable[[str], None],
    ) -> None:
        super().__init__(plan, total, nursery, start=start, resume=resume, notify=notify)
        self._fence = fence

    def has_free(self) -> bool:
        if trio.current_time() >= self._fence.until:
            return False
        # The limiter has one token at least, also where the share has no slot.
        taken, limit = self.limiter.borrowed_tokens, self.limit
        is_free = taken <= limit if self._spare else taken < limit
        return is_free and super().has_free()
