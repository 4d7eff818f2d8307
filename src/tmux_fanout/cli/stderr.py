"""What the user is told.  Standard output is for results only."""

from __future__ import annotations

import os
from contextlib import suppress


def say(text: str) -> None:
    """Write a line to standard error; not being able to is no reason to stop.

    `sys.stderr` would keep what it could not write, and change the exit status over it.
    """
    data = f"{text}\n".encode(errors="backslashreplace")
    with suppress(OSError):
        while data:
            data = data[os.write(2, data) :]


def show_over(text: str) -> None:
    """Show a text on a terminal in place of what was shown so; nothing clears the line."""
    data = f"\r\x1b[K{text}".encode(errors="backslashreplace")
    with suppress(OSError):
        os.write(2, data)


def complain(text: str) -> None:
    """Say what is wrong, in one line that bears the program's name."""
    say(f"tmux-fanout: {' '.join(text.split())}")


def occupy_standard_descriptors() -> list[int]:
    """Open /dev/null in place of each standard descriptor that is closed.

    Otherwise the next socket or file to be opened would take its number, and be written to as if
    it were standard output or standard error.

    Returns:
        The descriptors that were closed.
    """
    closed = []
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            closed.append(fd)
            os.open(os.devnull, os.O_RDONLY if fd == 0 else os.O_WRONLY)  # takes the lowest: fd
    return closed
