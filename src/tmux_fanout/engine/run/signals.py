"""Signals: the first asks a run to drain, the second to stop.

Python runs a handler once for signals that arrive close together, so they are not counted there:
`signal.set_wakeup_fd` makes the C handler write one byte, the signal's number, for each arrival.
Those bytes are a stream like any other.  (What arrives before the process has run at all since the
last is one signal to the kernel too.)
"""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from tmux_fanout.core.ending import Ending
from tmux_fanout.engine.run.pipeline import Flow

_ENDINGS = {
    signal.SIGINT: Ending.SIGINT,
    signal.SIGTERM: Ending.SIGTERM,
    signal.SIGHUP: Ending.SIGHUP,
}


@asynccontextmanager
async def stopped_by_signals(run: Flow[Any], tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Within the block, SIGINT, SIGTERM and SIGHUP stop `run`.  For the main thread only.

    SIGHUP stays ignored where it was, as nohup wants.

    Args:
        tell: called with what the first of them has brought about.
    """
    numbers = [n for n in _ENDINGS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    ours, written_to = socket.socketpair()
    with ours, written_to:
        ours.setblocking(False)
        written_to.setblocking(False)
        former_fd = signal.set_wakeup_fd(written_to.fileno(), warn_on_full_buffer=False)
        former = {number: signal.signal(number, _leave_to_the_stream) for number in numbers}
        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(_pass_on, ours, run, tell)
                yield
                nursery.cancel_scope.cancel()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)


def _leave_to_the_stream(number: int, frame: object) -> None:
    """A handler has to be there, or the signal would end the process."""


async def _pass_on(arrivals: socket.socket, run: Flow[Any], tell: Callable[[str], None]) -> None:
    stop: Callable[[Ending], None] = run.drain
    while True:
        await trio.lowlevel.wait_readable(arrivals)
        for number in arrivals.recv(64):
            if number in _ENDINGS:  # a number is a signal.Signals, which is an int
                ending = _ENDINGS[signal.Signals(number)]
                stop(ending)
                if stop == run.drain and run.statistics.written < run.statistics.read:
                    what = "no more is read, and what is under way finishes"
                    tell(f"{ending.value}: {what}; once more stops at once")
                stop = run.abort
