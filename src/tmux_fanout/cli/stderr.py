"""Messages to the user.  Standard output is for results only."""

from __future__ import annotations

import codecs
import locale
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmux_fanout.core.errors import ConfigError  # not needed for --help

STDERR = 2


def terminal_encoding() -> str:
    """Return the encoding of the user's terminals, by the locale."""
    encoding = "utf-8" if sys.flags.utf8_mode else locale.getencoding()
    return codecs.lookup(encoding).name


def encode(text: str) -> bytes:
    """Return a text as the user's terminal shows it."""
    return text.encode(terminal_encoding(), "backslashreplace")


def say(text: str) -> None:
    """Write a line to standard error, ignoring failure.

    `sys.stderr` would keep what it cannot write, and change the exit status because of it.
    """
    data = encode(f"{text}\n")
    with suppress(OSError):
        while data:
            data = data[os.write(STDERR, data) :]


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
