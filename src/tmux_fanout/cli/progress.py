"""Live progress on standard error, which may be the terminal that results appear on.

Others write to that terminal, too: the results, notices, the kernel that echoes `^C`, the next
program in a pipe.  So the display never moves the cursor to where they may have written.  It is
drawn below the cursor, which then goes back to where it was: up by the lines just written, as part
of the same write.

    {"id": 1, "score": 0.5}          results
    _                                the cursor, on an empty line
    1 of about 20 records written    the display
    API    in flight  calls ...

Whatever comes next is written at the cursor, and before that the display is erased: everything
below the cursor.  No terminal can be resized such that this erases anything else, even if it breaks
long lines anew.  (rich's `Live` leaves the cursor below what it has drawn, and then moves it up
over what it believes to be its own.)

A task draws, and not a thread, so that no thread outlives a run.
"""

from __future__ import annotations

import os
import select
import signal
import stat
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType

import trio

from tmux_fanout.cli.stderr import STDERR, encode
from tmux_fanout.core.display.live import Situation, frame
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.report.waits import stands_still
from tmux_fanout.engine.run.pipeline import Pipeline

INTERVAL = 0.2
_RATE_SPAN = 2.0  # seconds that the rate is averaged over
_USUAL_SIZE = os.terminal_size((80, 24))
_ERASE = b"\r\x1b[J"
# Without automatic wrapping (DECAWM) as many lines are drawn as the cursor goes up afterwards, even
# if the terminal has just become narrower.
_NO_WRAP, _WRAP = b"\x1b[?7l", b"\x1b[?7h"
_DUMB = ("", "dumb", "unknown")
_CONTROLLING = "/dev/tty"


def can_draw(env: Mapping[str, str]) -> bool:
    """Return whether standard error is a terminal whose cursor can be moved."""
    return os.isatty(STDERR) and env.get("TERM", "") not in _DUMB


def is_terminal(file: int | str) -> bool:
    """Return whether a descriptor or a path leads to the terminal that standard error is."""
    with suppress(OSError):
        found, terminal = os.stat(file), os.fstat(STDERR)
        if stat.S_ISCHR(found.st_mode):
            return found.st_rdev in (terminal.st_rdev, os.stat(_CONTROLLING).st_rdev)
    return False


def ends_on_terminal(fd: int) -> bool:
    """Return whether a pipe leads to the terminal, through the programs that read it.

    As in `tmux-fanout ... | jq . | tee results`: what they write would be mixed with the display.
    Known on Linux only.
    """
    with suppress(OSError):
        output, terminal = os.fstat(fd), os.fstat(STDERR)
        seen: set[int] = set()
        while stat.S_ISFIFO(output.st_mode) and output.st_ino not in seen:
            seen.add(output.st_ino)
            output = _output_of_reader(output)
        is_terminal = stat.S_ISCHR(output.st_mode) and output.st_rdev == terminal.st_rdev
        return bool(seen) and is_terminal
    return False


def _output_of_reader(pipe: os.stat_result) -> os.stat_result:
    """Return where the program writes whose standard input is a pipe; the pipe if there is none."""
    for process in os.listdir("/proc"):
        with suppress(OSError):  # it has ended, or belongs to somebody else
            if process.isdecimal() and os.path.samestat(os.stat(f"/proc/{process}/fd/0"), pipe):
                return os.stat(f"/proc/{process}/fd/1")
    return pipe


def terminal_size() -> os.terminal_size:
    """Return the size of the terminal, in columns and lines."""
    try:
        size = os.get_terminal_size(STDERR)
    except OSError:
        return _USUAL_SIZE
    return size if size.columns and size.lines else _USUAL_SIZE


class Display:
    """Lines below the cursor, on the terminal that standard error is."""

    def __init__(self) -> None:
        self._drawn = b""  # with what brings the cursor back
        self._size = os.terminal_size((0, 0))  # for which that was composed
        self._is_shown = False
        self._holders = 0

    def __repr__(self) -> str:
        return f"<Display: {'shown' if self._is_shown else 'hidden'}>"

    def show(self, compose: Callable[[int, int], list[str]]) -> None:
        """Show lines in place of those before.

        Args:
            compose: returns them, given their maximum width and number.
        """
        if self._holders or not _is_writable():
            return
        columns, rows = self._size = terminal_size()
        # At first the cursor may be behind a prompt.  As many blanks as a row has lead to the next
        # row then, and otherwise to the end of this one.
        begin = _ERASE if self._drawn else b" " * columns + _ERASE
        # Never the last column, where terminals differ, and at least a row for something else.
        lines = compose(max(columns - 1, 3), max(rows - 2, 1))
        text = "".join(f"\r\n{line}" for line in lines)
        self._drawn = b"%b%b%b\r\x1b[%dA" % (_NO_WRAP, encode(text), _WRAP, len(lines))
        self._is_shown = True  # first: a signal may come in between
        self._write(begin + self._drawn)

    def hide(self) -> None:
        """Erase what is shown."""
        if self._is_shown:
            self._is_shown = False
            self._write(_ERASE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hide the display within the block, so that something else can be written."""
        was_shown = self._is_shown
        self.hide()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
        can_show = not self._holders and self._size == terminal_size() and _is_writable()
        if was_shown and can_show:
            self._is_shown = True
            self._write(self._drawn)

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # the terminal has gone
            while data:
                data = data[os.write(STDERR, data) :]


def _is_writable() -> bool:
    """Return whether the terminal takes anything; Ctrl-S stops it, which must not stop the run."""
    return bool(select.select([], [STDERR], [], 0)[1])


@contextmanager
def _hidden_while_stopped(display: Display) -> Iterator[None]:
    """Hide the display before Ctrl-Z stops the process within the block."""

    def stop(number: int, _: FrameType | None) -> None:
        with display.held():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)  # returns once the process continues
            signal.signal(number, stop)

    former = signal.getsignal(signal.SIGTSTP)
    if former == signal.SIG_DFL:  # not where it is ignored
        signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, former)


class Progress:
    """Draws how far a run is.

    Args:
        run: the run.
        total: returns how many records the input holds, or None if unknown.
    """

    def __init__(self, run: Pipeline, total: Callable[[], Total | None]) -> None:
        self._run = run
        self._total = total
        self._head: int | None = None  # index of the record that results wait for
        self._head_since = 0.0
        self._started = self._drawn_at = trio.current_time()
        self._paused = 0.0
        self._history: deque[tuple[float, int]] = deque()
        self.display = Display()

    def __repr__(self) -> str:
        return f"<Progress: {self.display!r}>"

    async def draw(self) -> None:
        """Draw periodically; remove the display when cancelled."""
        try:
            while True:
                await trio.sleep(INTERVAL)
                self.display.show(partial(frame, self._situation(trio.current_time())))
        finally:
            self.display.hide()

    def _situation(self, now: float) -> Situation:
        run = self._run
        waits = run.waits()
        if any(map(stands_still, waits)):
            self._paused += now - self._drawn_at
        self._drawn_at = now
        stops_in = run.stops_at - now
        head = run.head_of_line()
        if self._head != (index := head.record if head else None):
            self._head, self._head_since = index, now
        return Situation(
            run.statistics,
            now=now,
            elapsed=now - self._started,
            paused=self._paused,
            rate=self._rate(now, run.statistics.written + (head.held if head else 0)),
            total=self._total(),
            head=head,
            head_since=self._head_since,
            waits=waits,
            ending=run.ending,
            stops_in=max(0.0, stops_in) if stops_in < float("inf") else None,
        )

    def _rate(self, now: float, completed: int) -> float:
        """Return records per second over the last `_RATE_SPAN`."""
        history = self._history
        history.append((now, completed))
        while now - history[0][0] > _RATE_SPAN:
            history.popleft()
        then, former = history[0]
        return (completed - former) / (now - then) if now > then else 0.0


@asynccontextmanager
async def live_progress(run: Pipeline, total: Callable[[], Total | None]) -> AsyncIterator[Display]:
    """Show progress within the block."""
    progress = Progress(run, total)
    with _hidden_while_stopped(progress.display):
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(progress.draw)
            yield progress.display
            nursery.cancel_scope.cancel()
