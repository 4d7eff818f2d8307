"""Signals: the first asks a run to drain, the second to stop; others ask how it stands.

Python runs a handler once for signals that arrive close together, so handlers cannot count them.
`signal.set_wakeup_fd` makes the C handler write one byte, the signal's number, for each arrival,
and those bytes are read as a stream.  (Signals that arrive before the process has run at all since
the last one are a single signal to the kernel, too.)
"""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.run.pipeline import Pipeline

_ENDINGS = {
    signal.SIGINT: Ending.SIGINT,
    signal.SIGTERM: Ending.SIGTERM,
    signal.SIGHUP: Ending.SIGHUP,
}
# SIGINFO, which Ctrl-T sends, is known on macOS and the BSDs only.
STATUS_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGUSR1", "SIGINFO") if hasattr(signal, name)
)


@contextmanager
def answered_signals(answer: Callable[[], None]) -> Iterator[None]:
    """Answer the signals that ask how a run stands within the block, while there is no run.

    They would end the process otherwise.  For the main thread only.
    """
    former = {n: signal.signal(n, lambda *_: answer()) for n in STATUS_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@asynccontextmanager
async def stopped_by_signals(
    run: Pipeline, notify: Callable[[str], None], show_status: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP stop `run` within the block.  For the main thread only.

    SIGHUP stays ignored where it was, as nohup wants.

    Args:
        notify: called with one line on the effect of the first signal.
        show_status: called for each SIGUSR1 or SIGINFO.
    """
    numbers = [*STATUS_SIGNALS]
    numbers += [n for n in _ENDINGS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    arrivals, wakeup = socket.socketpair()
    with arrivals, wakeup:
        arrivals.setblocking(False)
        wakeup.setblocking(False)
        former_fd = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        former = {number: signal.signal(number, _leave_to_the_stream) for number in numbers}
        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(_pass_on, arrivals, run, notify, show_status, nursery)
                yield
                nursery.cancel_scope.cancel()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)


def _leave_to_the_stream(number: int, frame: object) -> None:
    """Do nothing; without a handler the signal would end the process."""


async def _pass_on(
    arrivals: socket.socket,
    run: Pipeline,
    notify: Callable[[str], None],
    show_status: Callable[[], Awaitable[None]],
    nursery: trio.Nursery,
) -> None:
    stop: Callable[[Ending], None] = run.drain
    while True:
        await trio.lowlevel.wait_readable(arrivals)
        for number in arrivals.recv(64):
            if number in STATUS_SIGNALS:
                nursery.start_soon(show_status)
            elif number in _ENDINGS:  # a number is a signal.Signals, which is an int
                ending = _ENDINGS[signal.Signals(number)]
                stop(ending)
                if stop == run.drain and run.statistics.written < run.statistics.read:
                    left = show_duration(round(run.stops_at - trio.current_time(), 1))
                    what = f"reading has stopped; records in progress have {left} to finish"
                    notify(f"{ending.value}: {what}; a second signal cancels them")
                stop = run.abort
