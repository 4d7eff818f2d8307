"""Draws a run on the whole terminal, and does what keys say."""

from __future__ import annotations

import re
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from tmux_fanout.cli.full_screen.screen import Screen
from tmux_fanout.cli.progress import INTERVAL
from tmux_fanout.cli.reporting.status import status_of
from tmux_fanout.cli.reporting.tuner import Tuner
from tmux_fanout.cli.stderr import terminal_encoding
from tmux_fanout.core.display.full import View, full_view
from tmux_fanout.core.display.sparkline import ASCII, BLOCKS
from tmux_fanout.core.display.status import since_now
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.tuning.steps import pause_or_resume, step_limits
from tmux_fanout.engine.run.pipeline import Pipeline

_RATE_SPAN = 2.0  # seconds that rates are averaged over
_SECONDS = 200  # of the sparklines
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|.)?")  # of arrows and function keys


class FullScreen:
    """Shows a run.

    Args:
        run: the run, which begins now.
        total: returns how many records the input holds, or None if unknown.
        tuner: changes what the run may do.
        notices: the last notices to the user.
        screen: where to draw.
    """

    def __init__(
        self,
        run: Pipeline,
        total: Callable[[], Total | None],
        tuner: Tuner,
        notices: Sequence[str],
        screen: Screen,
    ) -> None:
        self._run = run
        self._total = total
        self._tuner = tuner
        self._notices = notices
        self._screen = screen
        self._chosen: int | None = None
        self._started = trio.current_time()
        self._since = deque([since_now(run.statistics, 0.0)])
        self._second = self._since[0]  # from which on the next rate is measured
        self._rates: list[deque[float]] = [deque(maxlen=_SECONDS) for _ in tuner.plan.apis]
        self._characters = BLOCKS if _has_blocks() else ASCII

    def __repr__(self) -> str:
        return f"<FullScreen: {self._screen!r}>"

    async def draw(self) -> None:
        """Draw periodically until cancelled."""
        while True:
            self._look()
            self._show()
            await trio.sleep(INTERVAL)

    async def obey(self) -> None:
        """Do what keys say, until cancelled or the terminal is gone."""
        if self._screen.keyboard is None:
            return
        while True:
            await trio.lowlevel.wait_readable(self._screen.keyboard)
            if not self._screen.is_in_foreground:  # then keys are for others
                await trio.sleep(INTERVAL)
                continue
            keys = self._screen.read_keys()
            if not keys:
                return
            for key in _ESCAPES.sub("", keys.decode("ascii", "replace")):
                self._press(key)
            self._show()

    def _press(self, key: str) -> None:
        apis = range(len(self._tuner.plan.apis))
        chosen = apis if self._chosen is None else [self._chosen]
        match key:
            case "p":
                self._tuner.change(pause_or_resume(self._tuner.tuning, chosen), "keys")
            case "+" | "=" | "-":
                plan, up = self._tuner.plan, key != "-"
                self._tuner.change(step_limits(self._tuner.tuning, plan, chosen, up=up), "keys")
            case "\t" if len(apis) > 1:
                after = 0 if self._chosen is None else self._chosen + 1
                self._chosen = after if after < len(apis) else None
            case "q":
                signal.raise_signal(signal.SIGINT)  # what Ctrl-C does, once and twice

    def _look(self) -> None:
        """Record what rates are made of."""
        now = since_now(self._run.statistics, trio.current_time() - self._started)
        self._since.append(now)
        while len(self._since) > 2 and now.at - self._since[1].at >= _RATE_SPAN:
            self._since.popleft()
        seconds = now.at - self._second.at
        if seconds >= 1.0:
            for rates, after, before in zip(self._rates, now.attempts, self._second.attempts):
                rates.append(max(0, after - before) / seconds)
            self._second = now

    def _show(self) -> None:
        view = View(
            status_of(self._run, self._started, self._since[0], self._total()),
            [list(rates) for rates in self._rates],
            self._chosen,
            self._screen.keyboard is not None,
            list(self._notices),
            self._characters,
        )
        self._screen.show(partial(full_view, view))


def _has_blocks() -> bool:
    try:
        BLOCKS.encode(terminal_encoding())
    except UnicodeEncodeError:
        return False
    return True


@asynccontextmanager
async def full_screen(
    run: Pipeline,
    total: Callable[[], Total | None],
    tuner: Tuner,
    notices: Sequence[str],
) -> AsyncIterator[Screen]:
    """Show a run on the whole terminal within the block; arguments as for `FullScreen`."""
    screen = Screen()
    try:
        with screen.kept_in_order():
            shown = FullScreen(run, total, tuner, notices, screen)
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(shown.draw)
                nursery.start_soon(shown.obey)
                yield screen
                nursery.cancel_scope.cancel()
    finally:
        screen.close()
