"""Files that a run replaces as a whole, as it or an earlier run has written them."""

from __future__ import annotations

import os
import stat

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import printable


def check_replaceable(path: str, option: str, *, begins: bytes, unlike: str) -> None:
    """Check that a file may be replaced: it is of its kind or empty, or there is none.

    Args:
        path: of the file.
        option: the option that names it, for messages.
        begins: how files of its kind begin.
        unlike: what is wrong with a file that begins in another way, for messages.

    Raises:
        ConfigError: it may not.
    """
    shown = printable(repr(path))
    if not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK | os.X_OK):
        why = "its folder does not exist or cannot be written to: use another file"
        raise ConfigError(f"{option}: {shown}: {why}")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError(f"{option}: {shown} is not a regular file: use another path")
        with open(path, "rb") as file:
            start = file.read(len(begins))
    except FileNotFoundError:
        return
    except OSError as exc:
        raise ConfigError(f"{option}: {shown}: {exc.strerror}: use another file") from None
    if start not in (b"", begins):
        raise ConfigError(f"{option}: {shown} {unlike}: use another file, or remove it")
