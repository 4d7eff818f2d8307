"""Replacing workers that died, at once or after a pause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import trio

from tmux_fanout.core.dealing.restarts import restart_delay
from tmux_fanout.engine.workers.worker import Worker


class Restarts:
    """Replaces workers as `core.dealing.restarts` decides.

    Args:
        nursery: where pauses are waited for.
        start: starts another in place of a worker; raises OSError if the system has no process
            for it.
        is_wanted: whether workers are still needed.
        given_up: called when a worker will not be replaced.
        notify: called with one-line notices for the user.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        start: Callable[[Worker], object],
        *,
        is_wanted: Callable[[], bool],
        given_up: Callable[[], object],
        notify: Callable[[str], None],
    ) -> None:
        self._nursery = nursery
        self._start = start
        self._is_wanted = is_wanted
        self._given_up = given_up
        self._notify = notify
        self._deaths: Counter[int] = Counter()  # by index: in a row, of workers that did nothing
        self._pending = 0

    def __repr__(self) -> str:
        return f"<Restarts: {self._pending} pending, deaths {dict(self._deaths)}>"

    @property
    def are_pending(self) -> bool:
        """Whether a worker will be started after a pause."""
        return self._pending > 0

    def replace(self, worker: Worker, *, killed: bool = True) -> None:
        """Replace a worker that died: now, after a pause, or not any more.

        Args:
            killed: whether a signal ended it.
        """
        self._replace(worker, has_answered=worker.has_answered, killed=killed)

    def _replace(self, worker: Worker, *, has_answered: bool, killed: bool = True) -> None:
        index = worker.index
        self._deaths[index] = 0 if has_answered else self._deaths[index] + 1
        delay = restart_delay(self._deaths[index], killed=killed)
        if delay is None:
            self._notify(f"{worker.name} will not be restarted: it has died too often")
            self._given_up()
        elif delay == 0:
            self._start_now(worker)
        else:
            self._pending += 1
            self._nursery.start_soon(self._start_later, worker, delay)

    async def _start_later(self, worker: Worker, delay: float) -> None:
        await trio.sleep(delay)
        self._pending -= 1
        if self._is_wanted():
            self._start_now(worker)

    def _start_now(self, worker: Worker) -> None:
        try:
            self._start(worker)
        except OSError as exc:
            self._notify(f"{worker.name} cannot be restarted: {exc.strerror}")
            self._replace(worker, has_answered=False)
