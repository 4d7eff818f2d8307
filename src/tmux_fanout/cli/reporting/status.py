"""What SIGUSR1, and SIGINFO where it is known, show on standard error: how the run stands."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.cli.progress import terminal_size
from tmux_fanout.cli.stderr import complain, say
from tmux_fanout.core.display.status import Since, Status, since_now, status_page
from tmux_fanout.core.report.progress import Total
from tmux_fanout.engine.process import occupied_memory
from tmux_fanout.engine.run.pipeline import Pipeline


class StatusPages:
    """Writes how a run stands; rates are those since the page before, or since the beginning.

    Args:
        run: the run, which begins now.
        total: returns how many records the input holds, or None if unknown.
        write_beside: has something written to standard error, beside the results.
    """

    def __init__(
        self,
        run: Pipeline,
        total: Callable[[], Total | None],
        write_beside: Callable[[Callable[[], None]], None],
    ) -> None:
        self._run = run
        self._total = total
        self._write_beside = write_beside
        self._started = trio.current_time()
        self._since = since_now(run.statistics, 0.0)

    def __repr__(self) -> str:
        return f"<StatusPages: the last one after {self._since.at:.0f} s>"

    async def write(self) -> None:
        """Write a page."""
        await self._run.refresh()
        self._write_beside(self._write)

    def _write(self) -> None:
        status = status_of(self._run, self._started, self._since, self._total())
        self._since = since_now(self._run.statistics, status.elapsed)
        say(status_page(status, terminal_size().columns))


def status_of(run: Pipeline, started: float, since: Since, total: Total | None) -> Status:
    """Return how a run stands.

    Args:
        run: the run.
        started: when it began.
        since: what rates are taken from.
        total: how many records the input holds, or None if unknown.
    """
    now = trio.current_time()
    stops_in = run.stops_at - now
    return Status(
        run.statistics,
        now - started,
        since,
        total,
        run.window,
        run.head(),
        run.waits(),
        run.loads(),
        occupied_memory(),
        run.ending,
        max(0.0, stops_in) if stops_in < float("inf") else None,
    )


def say_there_is_no_run() -> None:
    """Answer who asks before a run begins, or after its end."""
    complain("no call is made now: the run is about to begin, or to end")
