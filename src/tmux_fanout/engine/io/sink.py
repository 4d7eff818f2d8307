"""Writing lines to a file descriptor, without blocking the event loop.

O_NONBLOCK is not set on an inherited descriptor (see `source`).  A pipe that is ready takes
PIPE_BUF bytes without blocking, all or nothing (POSIX, `write`), so that is how much is written at
a time, in whole lines where they are shorter; where readiness cannot be waited for, a write does
not wait for a reader and may be of any size.
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
    """Writes lines.

    Args:
        fd: where to; it stays open.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._can_wait = can_wait_for(fd)
        self._patience = math.inf
        self._left = 0  # bytes that the reader has not taken, where that is known
        self._waiting = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<LineSink: fd {self._fd}>"

    async def write(self, lines: bytes) -> None:
        """Write whole lines; return when all are written.

        Raises:
            OutputClosed: the reader has gone.
            OutputError: the system refuses, or the run must end and the reader takes nothing.
        """
        view = memoryview(lines)
        at = 0
        while at < len(lines):
            at += await self._write_some(view[at : self._end_of_piece(lines, at)])

    async def reader_gone(self) -> None:
        """Return once nobody reads any more; never, where that cannot be known.

        An epoll that asks for no event still tells of errors and hang-ups, and can be waited for.
        """
        if not self._can_wait or not hasattr(select, "epoll"):
            await trio.sleep_forever()
        try:
            epoll = select.epoll()
        except OSError:  # no more files may be open; then writing will tell
            await trio.sleep_forever()
        with epoll:
            epoll.register(self._fd, 0)
            await trio.lowlevel.wait_readable(epoll.fileno())

    def hurry(self, patience: float) -> None:
        """Give up from now on when a reader takes nothing for so many seconds."""
        self._patience = patience
        self._left = _unread(self._fd)
        self._waiting.deadline = trio.current_time() + patience

    async def _until_writable(self) -> None:
        """Wait for room; a pipe has some when a whole page was read, but less is a sign of life.

        Raises:
            OutputError: the run must end, and the reader takes nothing.
        """
        while True:
            with trio.move_on_after(self._patience) as self._waiting:
                await trio.lowlevel.wait_writable(self._fd)
            if not self._waiting.cancelled_caught:
                return
            before, self._left = self._left, _unread(self._fd)
            if not self._patience or self._left >= before:
                raise OutputError("the reader of the output takes nothing, so lines are missing")

    def _end_of_piece(self, lines: bytes, start: int) -> int:
        """Return where to end a write: after a line if one fits, so that no line is torn."""
        if not self._can_wait:
            return len(lines)
        end = start + select.PIPE_BUF
        return lines.rfind(b"\n", start, end) + 1 or end

    async def _write_some(self, data: memoryview) -> int:
        if self._can_wait:
            await self._until_writable()
        try:
            written = os.write(self._fd, data)
            self._left += written
            return written
        except BlockingIOError:
            self._can_wait = True
            return 0
        except OSError as exc:
            kind = OutputClosed if exc.errno in _READER_GONE else OutputError
            raise kind(f"cannot write the output: {exc.strerror}") from exc


def _unread(fd: int) -> int:
    """Return how many bytes of a pipe or socket its reader has not taken; 0 if nobody knows."""
    is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
    count = bytearray(4)
    try:
        fcntl.ioctl(fd, termios.FIONREAD if is_pipe else termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return int.from_bytes(count, sys.byteorder)
