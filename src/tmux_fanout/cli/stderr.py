"""Messages to the user.  Standard output is for results only."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmux_fanout.core.errors import ConfigError  # not needed for --help


def say(text: str) -> None:
    """Write a line to standard error, ignoring failure.

    `sys.stderr` would keep what it cannot write, and change the exit status because of it.
    """
    data = f"{text}\n".encode(errors="backslashreplace")
    with suppress(OSError):
        while data:
            data = data[os.write(2, data) :]


def show_over(text: str) -> None:
    """Replace the text that was shown on a terminal this way; the empty text clears the line."""
    data = f"\r\x1b[K{text}".encode(errors="backslashreplace")
    with suppress(OSError):
        os.write(2, data)


def complain(text: str) -> None:
    """Write what is wrong, in one line that begins with the program's name."""
    say(f"tmux-fanout: {' '.join(text.split())}")


def warn(text: str) -> None:
    """Write what is probably not meant so, in one line."""
    complain(f"warning: {text}")


def complain_of(error: ConfigError) -> None:
    """Write what is wrong with the configuration, a line for each mistake."""
    for each in error.each():
        complain(str(each))


def occupy_standard_descriptors() -> list[int]:
    """Open /dev/null in place of each standard descriptor that is closed.

    Otherwise the next socket or file would get its number, and be written to as if it were
    standard output or standard error.

    Returns:
        The descriptors that were closed.
    """
    closed = []
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            closed.append(fd)
            os.open(
                os.devnull, os.O_RDONLY if fd == 0 else os.O_WRONLY
            )  # gets the lowest number, fd
    return closed
