"""Recognise, from an error, what this process or this machine has run out of.

In that case nothing is wrong with the server, and the attempt has not really begun: the engine
waits.
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
    errno.EAGAIN: PORTS,  # from connect(2), where it does not mean that one should wait
    errno.EADDRINUSE: PORTS,  # from connect(2) on systems other than Linux
}


class Shortage(OSError):
    """Something that has no error number of its own has run out.

    Attributes:
        what: what has run out, in words.
    """

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


def shortage_of(exc: BaseException) -> str:
    """Return what has run out, in words, or "" if an error does not mean that."""
    if isinstance(exc, Shortage):
        return exc.what
    if isinstance(exc, socket.gaierror):  # its numbers are not those of `errno`
        return MEMORY if exc.errno == socket.EAI_MEMORY else ""
    return _SCARCE.get(exc.errno or 0, "") if isinstance(exc, OSError) else ""


def worst_of(errors: Sequence[OSError]) -> OSError:
    """Return the error that best explains why none of a name's addresses was reached.

    A shortage comes first, because the address that it happened at may well be alive.
    """
    return next((exc for exc in errors if shortage_of(exc)), errors[0])


def explain_no_address(family: int, address: Any) -> OSError:
    """Return what EADDRNOTAVAIL from connecting to an address means.

    Either no local port is left, or none of our addresses leads there, as with IPv6 where it is
    switched off.  Only the latter also happens with UDP, which has ports of its own; connecting a
    UDP socket sends nothing.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
    except OSError as exc:
        return exc
    return Shortage(PORTS, "no local port is left")
