"""Connecting to Unix sockets.

A server that does not keep up has no room for another connection (its backlog), and the system then
refuses one with EAGAIN.  There is nothing to wait for in that state: writability is not reported.
So connecting is tried again, until the time for it is over.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

import trio

_FIRST_PAUSE = 0.001  # seconds
_MAX_PAUSE = 0.05


async def open_unix_socket(path: str) -> socket.socket:
    """Return a connected, non-blocking socket.

    Args:
        path: of the socket, or `@` and the name of an abstract one.

    Raises:
        OSError: the connection failed.
    """
    address = f"\0{path[1:]}" if path.startswith("@") else path
    await trio.lowlevel.checkpoint_if_cancelled()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        pause = _FIRST_PAUSE
        while (error := sock.connect_ex(os.fsencode(address))) == errno.EAGAIN:
            await trio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)
        if error:
            raise _explained(path, error)
    except BaseException:
        sock.close()
        raise
    return sock


def _explained(path: str, error: int) -> OSError:
    if error == errno.ECONNREFUSED:
        is_socket = path.startswith("@") or _is_socket(path)
        return OSError("no server listens on it" if is_socket else "it is not a socket")
    if error == errno.EPROTOTYPE:
        return OSError("it is a socket of another type than SOCK_STREAM")
    return OSError(error, os.strerror(error))


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True
