"""Live progress on standard error, drawn by rich.

A task draws, and not a thread of rich's, so that no thread outlives a run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.units import show_duration

if TYPE_CHECKING:
    from rich.console import Group

INTERVAL = 0.2
_RATE_SPAN = 2.0  # seconds that the rate is averaged over


class Progress:
    """The display.

    Args:
        statistics: of the run, live.
        share_read: returns how much of the input has been read, from 0 to 1, or None if unknown.
    """

    def __init__(self, statistics: RunStatistics, share_read: Callable[[], float | None]) -> None:
        from rich.console import Console  # needs 60 ms, and a terminal
        from rich.live import Live

        self._statistics = statistics
        self._share_read = share_read
        self._is_held = False
        self._started = trio.current_time()
        self._history: deque[tuple[float, int]] = deque()
        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    async def show(self) -> None:
        """Draw periodically; remove the display when cancelled."""
        try:
            with suppress(OSError):  # the terminal has gone
                while True:
                    await trio.sleep(INTERVAL)
                    if not self._is_held:
                        self._live.start()
                        self._live.update(self._draw(), refresh=True)
        finally:
            self._hide()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hide the display within the block, so that something else can be written."""
        self._is_held = True
        self._hide()
        try:
            yield
        finally:
            self._is_held = False

    def _hide(self) -> None:
        with suppress(OSError):
            self._live.stop()

    def _draw(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        stats = self._statistics
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("API", "in flight", "calls", "p50", "p99", "not ok"):
            table.add_column(column, justify="left" if column == "API" else "right")
        for api in stats.apis:
            p50, p99 = (show_duration(api.latency.percentile(share)) for share in (0.5, 0.99))
            not_ok = f"{api.errors.total():,}"
            table.add_row(Text(api.name), f"{api.in_flight:,}", f"{api.calls:,}", p50, p99, not_ok)
        return Group(Text(self._headline(trio.current_time()), no_wrap=True), table)

    def _headline(self, now: float) -> str:
        stats = self._statistics
        rate = self._rate(now, stats.written)
        text = f"{stats.read:,} records read, {stats.written:,} written, {rate:,.0f}/s"
        share = self._share_read()
        if share and stats.read:
            done = share * stats.written / stats.read
            text += f", {done:.0%} of about {stats.read / share:,.0f}"
            if done:
                left = (now - self._started) * (1 - done) / done
                text += f", {show_duration(round(left))} left"
        return text

    def _rate(self, now: float, written: int) -> float:
        """Return records per second over the last `_RATE_SPAN`."""
        history = self._history
        history.append((now, written))
        while now - history[0][0] > _RATE_SPAN:
            history.popleft()
        then, former = history[0]
        return (written - former) / (now - then) if now > then else 0.0


@asynccontextmanager
async def live_progress(
    statistics: RunStatistics, share_read: Callable[[], float | None]
) -> AsyncIterator[Progress]:
    """Show progress within the block."""
    progress = Progress(statistics, share_read)
    async with trio.open_nursery(strict_exception_groups=True) as nursery:
        nursery.start_soon(progress.show)
        yield progress
        nursery.cancel_scope.cancel()
