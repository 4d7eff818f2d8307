"""The whole terminal: what is shown there is gone once it is left.

A terminal has a second screen for programs such as `top` and `less`.  While a run is shown there,
the first screen keeps what the shell and earlier commands wrote, and gets it back in the end:

    enter   the second screen, no cursor, keys one by one and without echo
    leave   all of that undone

The terminal belongs to the jobs of a shell in turns.  One in the background must neither draw, nor
change the mode of the keyboard, for which the kernel would stop it (SIGTTOU).  So the screen is
entered only by the job in the foreground, and left before Ctrl-Z stops it.  SIGSTOP leaves no time
for that: the shell resets the keyboard then, and the screen is entered anew with SIGCONT.

Messages belong on the first screen, where they can be read later: it is back while one is written.
"""

from __future__ import annotations

import os
import select
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from tmux_fanout.cli.progress import terminal_size
from tmux_fanout.cli.stderr import STDERR, encode

_ENTER = b"\x1b[?1049h\x1b[?25l"
_LEAVE = b"\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = b"\x1b[H", b"\x1b[K", b"\x1b[J"
_NO_WRAP, _WRAP = b"\x1b[?7l", b"\x1b[?7h"
_STOPPING = (signal.SIGTSTP, signal.SIGQUIT)  # what they do comes after the screen is left
_MAX_KEYS = 64  # read at once


class Screen:
    """The terminal that standard error is, as a whole.

    Attributes:
        keyboard: descriptor of the terminal that keys are read from; None: it is not that of this
            session, and its keys are somebody else's.
    """

    def __init__(self) -> None:
        self.keyboard = _open_keyboard()
        self._mode = None if self.keyboard is None else termios.tcgetattr(self.keyboard)
        self._is_entered = False
        self._holders = 0
        self._frame = b""

    def __repr__(self) -> str:
        return f"<Screen: {'entered' if self._is_entered else 'left'}>"

    def close(self) -> None:
        """Leave the screen for good."""
        self.leave()
        if self.keyboard is not None:
            os.close(self.keyboard)
            self.keyboard = None

    def show(self, compose: Callable[[int, int], list[str]]) -> None:
        """Show lines in place of those before.

        Args:
            compose: returns them, given their maximum width and number.
        """
        columns, rows = terminal_size()
        lines = compose(max(columns - 1, 3), max(rows, 1))[: max(rows, 1)]
        text = b"\r\n".join(encode(line) + _CLEAR_LINE for line in lines)
        self._frame = b"".join((_NO_WRAP, _HOME, text, _CLEAR_BELOW, _WRAP))
        self._draw()

    def _draw(self) -> None:
        if self._holders or not self.is_in_foreground or not _is_writable():
            return
        if not self._is_entered:
            self._is_entered = True  # first: a signal may come in between
            self._set_mode(is_raw=True)
            _write(_ENTER)
        _write(self._frame)

    def leave(self) -> None:
        """Bring back what was there before."""
        if self._is_entered:
            self._is_entered = False
            _write(_LEAVE)
            if self.is_in_foreground:
                self._set_mode(is_raw=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave the screen within the block, so that something can be written to the first one."""
        was_entered = self._is_entered
        self.leave()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
        if was_entered:
            self._draw()

    def read_keys(self) -> bytes:
        """Return the keys that were pressed, once some were; nothing if the terminal is gone."""
        assert self.keyboard is not None
        with suppress(OSError):
            return os.read(self.keyboard, _MAX_KEYS)
        return b""

    @contextmanager
    def kept_in_order(self) -> Iterator[None]:
        """Leave the screen before a signal stops or ends the process within the block."""

        def stop(number: int, _: FrameType | None) -> None:
            with self.held():
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)  # if it stops the process, returns once it continues
                signal.signal(number, stop)

        def go_on(number: int, _: FrameType | None) -> None:
            self._is_entered = False  # after SIGSTOP the shell has written, and reset the keyboard

        handlers = dict.fromkeys(_STOPPING, stop) | {signal.SIGCONT: go_on}
        former = {number: signal.getsignal(number) for number in handlers}
        for number, handler in handlers.items():
            if former[number] == signal.SIG_DFL:  # not where it is ignored
                signal.signal(number, handler)
        try:
            yield
        finally:
            for number, before in former.items():
                signal.signal(number, before)

    @property
    def is_in_foreground(self) -> bool:
        """Return whether the terminal is this job's to use, or belongs to no job at all."""
        if self.keyboard is None:
            return True
        try:
            return os.tcgetpgrp(self.keyboard) == os.getpgrp()
        except OSError:
            return False  # the terminal is gone

    def _set_mode(self, *, is_raw: bool) -> None:
        """Have the terminal pass on keys one by one, or as it did before."""
        if self.keyboard is None or self._mode is None:
            return
        mode = list(self._mode)
        if is_raw:
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            mode[6] = [*mode[6]]
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        with suppress(termios.error):
            termios.tcsetattr(self.keyboard, termios.TCSANOW, mode)


def _open_keyboard() -> int | None:
    """Open the terminal that standard error is, if this session is its own."""
    try:
        os.tcgetpgrp(STDERR)
        # A description of its own may be non-blocking without any effect on other programs.
        return os.open(os.ttyname(STDERR), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def _is_writable() -> bool:
    """Return whether the terminal takes anything; Ctrl-S stops it, which must not stop the run."""
    return bool(select.select([], [STDERR], [], 0)[1])


def _write(data: bytes) -> None:
    with suppress(OSError):  # the terminal has gone
        while data:
            data = data[os.write(STDERR, data) :]
