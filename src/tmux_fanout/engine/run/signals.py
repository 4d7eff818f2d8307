"""Signals: the first asks a run to drain, the second to stop.

Python runs a handler once for signals that arrive close together, so handlers cannot count them.
`signal.set_wakeup_fd` makes the C handler write one byte, the signal's number, for each arrival,
and those bytes are read as a stream.  (Signals that arrive before the process has run at all since
the last one are a single signal to the kernel, too.)
"""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.run.pipeline import Pipeline

_ENDINGS = {
    signal.SIGINT: Ending.SIGINT,
    signal.SIGTERM: Ending.SIGTERM,
    signal.SIGHUP: Ending.SIGHUP,
}


@asynccontextmanager
async def stopped_by_signals(run: Pipeline, notify: Callable[[str], None]) -> AsyncIterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP stop `run` within the block.  For the main thread only.

    SIGHUP stays ignored where it was, as nohup wants.

    Args:
        notify: called with one line on the effect of the first signal.
    """
    numbers = [n for n in _ENDINGS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    arrivals, wakeup = socket.socketpair()
    with arrivals, wakeup:
        arrivals.setblocking(False)
        wakeup.setblocking(False)
        former_fd = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        former = {number: signal.signal(number, _leave_to_the_stream) for number in numbers}
        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(_pass_on, arrivals, run, notify)
                yield
                nursery.cancel_scope.cancel()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)


def _leave_to_the_stream(number: int, frame: object) -> None:
    """Do nothing; without a handler the signal would end the process."""


async def _pass_on(arrivals: socket.socket, run: Pipeline, notify: Callable[[str], None]) -> None:
    stop: Callable[[Ending], None] = run.drain
    while True:
        await trio.lowlevel.wait_readable(arrivals)
        for number in arrivals.recv(64):
            if number in _ENDINGS:  # a number is a signal.Signals, which is an int
                ending = _ENDINGS[signal.Signals(number)]
                stop(ending)
                if stop == run.drain and run.statistics.written < run.statistics.read:
                    left = show_duration(round(run.stops_at - trio.current_time(), 1))
                    what = f"reading has stopped; records in progress have {left} to finish"
                    notify(f"{ending.value}: {what}; a second signal cancels them")
                stop = run.abort
