"""A terminal: a pseudo-terminal, with an emulator that shows what a user would see.

pyte forgets the rows that do not fit any more when a screen is made smaller.  `_Screen` keeps them
in its scrollback, as terminals do.  Nor does pyte know the second screen, which `_Screen` has.
"""

from __future__ import annotations

import copy
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyte
from support.command import COMMAND, PATIENCE, environment

_SCROLLBACK = 10_000  # rows

# A session gets the first terminal that it opens, and with it the signals of the keyboard.
_IN_CONTROL = ("sh", "-c", ': < "$0"; exec "$@"')


_SECOND_SCREEN = 1049  # private mode of xterm


class _FirstScreen(NamedTuple):
    rows: dict[int, Any]
    scrollback: int
    column: int
    row: int


class _Screen(pyte.HistoryScreen):
    first: _FirstScreen | None = None  # what is behind the second screen

    def set_mode(self, *modes: int, **more: Any) -> None:
        if _SECOND_SCREEN in modes and self.first is None:
            rows = copy.deepcopy(dict(self.buffer))
            scrollback = len(self.history.top)
            self.first = _FirstScreen(rows, scrollback, self.cursor.x, self.cursor.y)
            self.buffer.clear()
        super().set_mode(*modes, **more)

    def reset_mode(self, *modes: int, **more: Any) -> None:
        super().reset_mode(*modes, **more)
        if _SECOND_SCREEN in modes and self.first is not None:
            self.buffer.clear()
            self.buffer.update(self.first.rows)
            while len(self.history.top) > self.first.scrollback:  # the second screen has none
                self.history.top.pop()
            self.cursor.x, self.cursor.y = self.first.column, self.first.row
            self.first = None

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines = lines or self.lines
        lost = max(0, self.cursor.y - lines + 1)
        self.history.top.extend(self.buffer[row] for row in range(lost))
        kept = [self.buffer[row] for row in range(lost, self.lines)]
        super().resize(lines, columns)
        self.buffer.clear()
        self.buffer.update(enumerate(kept[:lines]))
        self.cursor.y -= lost


class Terminal:
    """A terminal in which commands run, one after the other, as from a shell.

    Args:
        columns, rows: its size.
        encoding: of what it shows.

    Attributes:
        received: everything that was written to it.
    """

    def __init__(self, columns: int, rows: int = 24, encoding: str = "utf-8") -> None:
        self._master, self._slave = pty.openpty()
        self._encoding = encoding
        self.received = ""
        self._screen = _Screen(columns, rows, _SCROLLBACK)
        self._stream = pyte.Stream(self._screen)
        self._process: subprocess.Popen[bytes] | None = None
        self.resize(columns, rows)

    def __repr__(self) -> str:
        return f"<Terminal: {self._screen.columns} x {self._screen.lines}>"

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
        os.close(self._slave)

    def resize(self, columns: int, rows: int) -> None:
        """Change its size, as a user does with the mouse."""
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    @property
    def is_second_screen(self) -> bool:
        """Whether a program has taken the whole terminal."""
        return self._screen.first is not None

    @property
    def is_usual(self) -> bool:
        """Whether keys are echoed and come line by line, and the cursor can be seen."""
        usual = termios.ECHO | termios.ICANON
        mode = termios.tcgetattr(self._slave)[3]
        return mode & usual == usual and not self._screen.cursor.hidden

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the foreground, as another program does."""
        os.killpg(os.tcgetpgrp(self._master), number)

    def hang_up(self) -> None:
        """Go away, as when a window is closed; nothing can be shown any more."""
        os.close(self._slave)
        os.close(self._master)
        self._master, self._slave = (os.open(os.devnull, os.O_RDWR) for _ in range(2))

    def wait_in_the_dark(self) -> int:
        """Wait until the command has ended, when nothing can be shown, and return its status."""
        assert self._process
        return self._process.wait(PATIENCE)

    def shows(self, text: str) -> None:
        """Show what a shell would."""
        self._stream.feed(text.replace("\n", "\r\n"))

    def start(
        self,
        *args: str,
        within: Sequence[str] = (),
        env: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        """Start the command in the foreground.

        Args:
            args: of the command.
            within: a command that runs it.
            env: the environment.
            more: where its streams lead, if not here.
        """
        usual = dict.fromkeys(("stdin", "stdout", "stderr"), self._slave)
        self._process = subprocess.Popen(
            [*_IN_CONTROL, os.ttyname(self._slave), *within, *COMMAND, *args],
            **{**usual, **more},
            env=env or environment(TERM="xterm-256color", CI=""),
            start_new_session=True,
        )

    def write(self, text: str) -> None:
        """Write as another program does that runs there."""
        os.write(self._slave, text.encode(self._encoding))

    def type(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    def press(self, letter: str, number: signal.Signals) -> None:
        """Type Ctrl and a letter, which sends a signal to the foreground.

        Unlike the kernel, discard nothing that was written before.
        """
        self.write(f"^{letter}")
        os.killpg(os.tcgetpgrp(self._master), number)

    def wait_until(self, is_so: Callable[[Terminal], object]) -> None:
        """Show what arrives until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not is_so(self):
            assert time.monotonic() < deadline, f"it never came to that:\n{self}\n{self.text}"
            self._show(0.05)

    def wait(self) -> int:
        """Show what arrives until the command has ended, and return its exit status."""
        assert self._process
        self.wait_until(lambda _: self._process and self._process.poll() is not None)
        while self._show(0.0):
            pass
        return self._process.returncode

    def _show(self, patience: float) -> bool:
        if not select.select([self._master], [], [], patience)[0]:
            return False
        data = os.read(self._master, 65536)
        text = data.decode(self._encoding, "replace")
        self.received += text
        self._stream.feed(text)
        return True

    @property
    def rows(self) -> Sequence[str]:
        """Everything that can be seen: the scrollback and the screen, row by row."""
        screen = self._screen
        rows = [*screen.history.top, *(screen.buffer[row] for row in range(screen.lines))]
        return [
            "".join(row[column].data for column in range(max(row, default=-1) + 1)).rstrip()
            for row in rows
        ]

    @property
    def on_screen(self) -> Sequence[str]:
        """The rows of the screen alone."""
        return [row.rstrip() for row in self._screen.display]

    @property
    def text(self) -> str:
        """The rows, one below the other."""
        return "\n".join(self.rows)

    def count(self, text: str) -> int:
        """Return how often a text can be seen, which may run on from row to row."""
        return "".join(self.rows).count(text)


@contextmanager
def terminal(columns: int, rows: int = 24, encoding: str = "utf-8") -> Iterator[Terminal]:
    """Open a terminal for the block."""
    opened = Terminal(columns, rows, encoding)
    try:
        yield opened
    finally:
        opened.close()
