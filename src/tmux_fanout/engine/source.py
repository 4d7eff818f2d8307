"""Reading records from file descriptors.

Descriptors may be shared with other processes, and O_NONBLOCK would outlive us on theirs, so it is
never set on an inherited one: pipes, sockets and terminals are waited for and then read, which
does not block.  What epoll refuses (regular files, /dev/null) is always ready and read directly.
There is no thread here that could be left behind in a read.
"""

from __future__ import annotations

import os
import select
import stat
from collections import deque
from collections.abc import Sequence

import trio

from tmux_fanout.core.errors import InputError, printable
from tmux_fanout.core.framing import LineFramer
from tmux_fanout.core.records import Record, RecordParser

READ_SIZE = 64 << 10
STDIN = "-"


def can_wait_for(fd: int) -> bool:
    """Whether readiness of a descriptor can be waited for; if not, it is always ready."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        return False
    if not hasattr(select, "epoll"):
        return True
    with select.epoll() as epoll:
        try:
            epoll.register(fd, select.EPOLLIN)
        except PermissionError:
            return False
    return True


def _input_size(paths: Sequence[str]) -> int | None:
    """Bytes of all files together, or None where that cannot be known beforehand."""
    size = 0
    for path in paths:
        try:
            status = os.fstat(0) if path == STDIN else os.stat(path)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        size += status.st_size
    return size


class _Input:
    """One open file, or standard input."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._is_ours = path != STDIN
        # Without O_NONBLOCK, opening a FIFO waits for its writer; this descriptor is our own.
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if self._is_ours else 0
        self._can_wait = can_wait_for(self._fd)

    def __repr__(self) -> str:
        return f"<_Input {self.path}: fd {self._fd}>"

    async def read(self) -> bytes:
        while True:
            if self._can_wait:
                await trio.lowlevel.wait_readable(self._fd)
            else:
                await trio.lowlevel.checkpoint()
            try:
                return os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                self._can_wait = True

    def close(self) -> None:
        if self._is_ours:
            os.close(self._fd)


class FileSource:
    """The records of several files, `-` being standard input, as one stream.

    Args:
        paths: in reading order.
        parser: makes records of lines.
        max_line: bytes of the longest line.
        chunk_size: most records of a chunk.
        chunk_linger: seconds after its first record that a chunk waits for more.

    """

    def __init__(
        self,
        paths: Sequence[str],
        parser: RecordParser,
        *,
        max_line: int,
        chunk_size: int,
        chunk_linger: float,
    ) -> None:
        self._size = _input_size(paths)
        self._bytes_read = 0
        self._paths = deque(paths)
        self._says_which = len(paths) > 1
        self._parser = parser
        self._max_line = max_line
        self._chunk_size = chunk_size
        self._chunk_linger = chunk_linger
        self._input: _Input | None = None
        self._framer = LineFramer(max_line)
        self._ahead: deque[Record] = deque()
        self._at_end = False
        self._trouble: InputError | None = None

    def __repr__(self) -> str:
        return f"<FileSource: {self._input}, {len(self._paths)} files to come>"

    async def next_chunk(self) -> list[Record]:
        """The records that are there, at least one; none at the end.

        Raises:
            InputError: a file cannot be read further; what came before it was handed out.
        """
        while not self._ahead and not self._at_end:
            await self._read()
        if self._chunk_linger and self._ahead:
            with trio.move_on_after(self._chunk_linger):
                while len(self._ahead) < self._chunk_size and not self._at_end:
                    await self._read()
        if not self._ahead and self._trouble:
            raise self._trouble
        size = min(self._chunk_size, len(self._ahead))
        return [self._ahead.popleft() for _ in range(size)]

    def read_ahead(self) -> list[Record]:
        """Records that were read and handed out in no chunk."""
        return list(self._ahead)

    def share_read(self) -> float | None:
        """How much of the input was read, from 0 to 1, where its size is known."""
        return self._bytes_read / self._size if self._size else None

    def close(self) -> None:
        """Close the file that is open, but never standard input."""
        if self._input:
            self._input.close()
            self._input = None

    async def _read(self) -> None:
        """Read once, from the file whose turn it is."""
        if self._input is None and not self._paths:
            self._at_end = True
            return
        name = self._input.path if self._input else self._paths[0]
        try:
            if self._input is None:
                self._input = self._open(self._paths.popleft())
            data = await self._input.read()
        except OSError as exc:
            self._trouble = InputError(f"cannot read {printable(name)}: {exc.strerror}")
            self._at_end = True
            return
        self._bytes_read += len(data)
        if data:
            self._ahead += self._parser.parse(self._framer.feed(data))
        else:
            self._ahead += self._parser.parse(self._framer.finish())
            self.close()

    def _open(self, path: str) -> _Input:
        self._framer = LineFramer(self._max_line)
        self._parser.start_source(printable(path) if self._says_which else "")
        return _Input(path)
