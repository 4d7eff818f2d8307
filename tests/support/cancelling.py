"""Cancelling at a chosen checkpoint, which no clock can hit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope when the task that entered it, with its children, has run so many times."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._left = steps
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._is_ours(task):
            self._left -= 1
            if not self._left:
                self._scope.cancel()

    def _is_ours(self, task: trio.lowlevel.Task) -> bool:
        while task is not self._task:
            if task.parent_nursery is None:
                return False
            task = task.parent_nursery.parent_task
        return True


async def cancelled_after(steps: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Whether `call` was cancelled, rather than over, after having run so many times.

    With 0 steps it is cancelled at its first checkpoint.
    """
    with trio.CancelScope() as scope:
        if not steps:
            scope.cancel()
        instrument = CancelAfter(scope, steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            await call()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught
