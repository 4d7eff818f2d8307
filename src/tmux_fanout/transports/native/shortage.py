"""What this process, or this machine, has run out of, by the error that says so.

Nothing is wrong with a server then, and the attempt has not really begun: the engine waits.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any

FILES, PORTS, MEMORY, THREADS = "open files", "local ports", "memory", "threads"

_SCARCE = {
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.ENOBUFS: MEMORY,
    errno.ENOMEM: MEMORY,
    errno.EAGAIN: PORTS,  # of connect(2), where nothing is to be waited for
    errno.EADDRINUSE: PORTS,  # of connect(2) on other systems than Linux
}


class Shortage(OSError):
    """There is no more of something that has no error number of its own.

    Attributes:
        what: that is.
    """

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


def shortage_of(exc: BaseException) -> str:
    """Return what there is too little of, or "" if an error says nothing of the kind."""
    if isinstance(exc, Shortage):
        return exc.what
    if isinstance(exc, socket.gaierror):  # whose numbers are others
        return MEMORY if exc.errno == socket.EAI_MEMORY else ""
    return _SCARCE.get(exc.errno or 0, "") if isinstance(exc, OSError) else ""


def worst_of(errors: Sequence[OSError]) -> OSError:
    """Return the error that tells most of why no address of a name was reached.

    A shortage goes first: the address that it befell may well be alive.
    """
    return next((exc for exc in errors if shortage_of(exc)), errors[0])


def no_address(family: int, place: Any) -> OSError:
    """Return what EADDRNOTAVAIL means where connecting to a place ended with it.

    Either no local port is left, or no address of ours leads there, as with IPv6 where it is
    switched off.  Only the latter befalls UDP as well, which has ports of its own; connecting it
    sends nothing.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(place)
    except OSError as exc:
        return exc
    return Shortage(PORTS, "no local port is left")
