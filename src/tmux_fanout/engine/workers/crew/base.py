"""Where workers come from, and who replaces one that died."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tmux_fanout.core.sharing.holder import Holder
from tmux_fanout.engine.workers.assignment import WorkerJob
from tmux_fanout.engine.workers.worker import Worker


class Crew(Protocol):
    """Where workers come from.

    Attributes:
        job: what they all do.
        holder: of the limits that they share.
        reply_timeout: seconds that they have to show that they received an order.
        max_open: maximum records of a worker at the same time; None: as many as the window has.
    """

    @property
    def job(self) -> WorkerJob: ...

    @property
    def holder(self) -> Holder[Worker]: ...

    @property
    def reply_timeout(self) -> float: ...

    @property
    def max_open(self) -> int | None: ...

    def first(self) -> Sequence[Worker]:
        """Return the workers that begin, with their assignments."""

    def replacement(self, worker: Worker) -> Worker | None:
        """Start and return a worker in place of one that died; None if none comes at once.

        It has no assignment yet.

        Raises:
            OSError: the system has no process for it.
        """

    async def watch(
        self, employ: Callable[[Worker], object], notify: Callable[[str], object]
    ) -> None:
        """Watch who comes and who cannot be reached any more, whose reports then end.

        Returns once nobody can come any more.

        Args:
            employ: to be called with each worker that comes later, with its assignment.
            notify: to be called with one-line notices for the user.
        """
