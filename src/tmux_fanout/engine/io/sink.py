"""Write lines to a file descriptor without blocking the event loop.

O_NONBLOCK is not set on an inherited descriptor (see `source`).  A writable pipe takes PIPE_BUF
bytes without blocking, all or nothing (POSIX, `write`), so each write is of at most that size, and
of whole lines where they fit.  A descriptor whose readiness cannot be awaited has no reader to wait
for, so a write to it may be of any size.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import select
import stat
import sys
import termios

import trio

from tmux_fanout.core.errors import OutputClosed, OutputError
from tmux_fanout.engine.io.source import can_wait_for

_READER_GONE = (errno.EPIPE, errno.ECONNRESET)


class LineSink:
    """Write lines to a descriptor.

    Args:
        fd: The descriptor; it stays open.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._can_wait = can_wait_for(fd)
        self._patience = math.inf
        self._unread = 0  # bytes that the reader has not taken, where that is known
        self._waiting = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<LineSink: fd {self._fd}>"

    async def write(self, lines: bytes) -> None:
        """Write whole lines; return when all are written.

        Raises:
            OutputClosed: The reader has gone.
            OutputError: The system call failed, or the run must end and the reader takes nothing.
        """
        view = memoryview(lines)
        at = 0
        while at < len(lines):
            at += await self._write_some(view[at : self._end_of_piece(lines, at)])

    async def consumer_gone(self) -> None:
        """Return once the reader has gone; never, where that cannot be known.

        An epoll without requested events still reports errors and hang-ups, and can be awaited.
        """
        if not self._can_wait or not hasattr(select, "epoll"):
            await trio.sleep_forever()
        try:
            epoll = select.epoll()
        except OSError:  # out of descriptors; then the next write notices
            await trio.sleep_forever()
        with epoll:
            epoll.register(self._fd, 0)
            await trio.lowlevel.wait_readable(epoll.fileno())

    def hurry(self, patience: float) -> None:
        """From now on, fail when the reader takes nothing for `patience` seconds."""
        self._patience = patience
        self._unread = _unread_bytes(self._fd)
        self._waiting.deadline = trio.current_time() + patience

    async def _until_writable(self) -> None:
        """Wait until the descriptor is writable.

        A pipe becomes writable once a whole page was read, but reading less counts as progress.

        Raises:
            OutputError: The run must end, and the reader takes nothing.
        """
        while True:
            with trio.move_on_after(self._patience) as self._waiting:
                await trio.lowlevel.wait_writable(self._fd)
            if not self._waiting.cancelled_caught:
                return
            before, self._unread = self._unread, _unread_bytes(self._fd)
            if not self._patience or self._unread >= before:
                raise OutputError("the reader of the output takes nothing, so lines are missing")

    def _end_of_piece(self, lines: bytes, start: int) -> int:
        """Return the end of the next write: after a whole line if one fits, so none is torn."""
        if not self._can_wait:
            return len(lines)
        end = start + select.PIPE_BUF
        return lines.rfind(b"\n", start, end) + 1 or end

    async def _write_some(self, data: memoryview) -> int:
        if self._can_wait:
            await self._until_writable()
        try:
            written = os.write(self._fd, data)
            self._unread += written
            return written
        except BlockingIOError:
            self._can_wait = True
            return 0
        except OSError as exc:
            kind = OutputClosed if exc.errno in _READER_GONE else OutputError
            raise kind(f"cannot write the output: {exc.strerror}") from exc


def _unread_bytes(fd: int) -> int:
    """Return how many bytes in a pipe or socket its reader has not taken; 0 if unknown."""
    is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
    count = bytearray(4)
    try:
        fcntl.ioctl(fd, termios.FIONREAD if is_pipe else termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return int.from_bytes(count, sys.byteorder)
