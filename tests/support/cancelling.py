"""Cancel at a chosen checkpoint, more precisely than any clock could."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope once the task that created this, or its children, has run `steps` times."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._steps_left = steps
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._is_ours(task):
            self._steps_left -= 1
            if not self._steps_left:
                self._scope.cancel()

    def _is_ours(self, task: trio.lowlevel.Task) -> bool:
        while task is not self._task:
            if task.parent_nursery is None:
                return False
            task = task.parent_nursery.parent_task
        return True


async def cancelled_after(steps: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Run `call`, cancel it after `steps` task steps, and return whether that interrupted it.

    With 0 steps, `call` is cancelled at its first checkpoint.
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
