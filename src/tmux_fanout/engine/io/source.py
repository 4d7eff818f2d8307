"""Reading records from file descriptors.

Descriptors may be shared with other processes, and O_NONBLOCK would outlive us on theirs, so it is
never set on an inherited one: pipes, sockets and terminals are waited for and then read, which
does not block.  What epoll refuses (regular files, /dev/null) is always ready and read directly.
There is no thread here that could be left behind in a read.

Bytes pass a decompressor, a framer and a parser, each of which keeps what is unfinished.  What is
compressed comes out piece by piece, and no further than the records that are asked for.
"""

from __future__ import annotations

import os
import select
import stat
from collections import deque
from collections.abc import Sequence

import trio

from tmux_fanout.core.errors import InputError
from tmux_fanout.core.records.csv import BadHeader
from tmux_fanout.core.records.decompression import CannotDecompress, Decompressor
from tmux_fanout.core.records.framing import Line
from tmux_fanout.core.records.parser import (
    InputFormat,
    Record,
    RecordParser,
    format_by_name,
    framer_for,
)
from tmux_fanout.core.text import printable

READ_SIZE = 64 << 10
MOST_BYTES_AHEAD = 1 << 20  # that a lingering chunk gathers; one line may be more
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


class InputFile:
    """One open file, or standard input."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._is_ours = path != STDIN
        # Without O_NONBLOCK, opening a FIFO waits for its writer; this descriptor is our own.
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if self._is_ours else 0
        self._can_wait = can_wait_for(self._fd)

    def __repr__(self) -> str:
        return f"<InputFile {self.path}: fd {self._fd}>"

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
        input_format: of all of them; None: of each as its name says.
        max_line: bytes of the longest line.
        chunk_size: most records of a chunk.
        chunk_linger: seconds after its first record that a chunk waits for more.
        one_header: whether all tables must have the same columns.
    """

    def __init__(
        self,
        paths: Sequence[str],
        input_format: InputFormat | None = None,
        *,
        max_line: int,
        chunk_size: int,
        chunk_linger: float,
        one_header: bool = False,
    ) -> None:
        self._size = _input_size(paths)
        self._bytes_read = 0
        self._paths = deque(paths)
        self._says_which = len(paths) > 1
        self._input_format = input_format
        self._max_line = max_line
        self._chunk_size = chunk_size
        self._chunk_linger = chunk_linger
        self._input: InputFile | None = None
        self._decompressor = Decompressor()
        self._framer = framer_for("jsonl", max_line)
        self._parser = RecordParser("jsonl", max_line, one_header=one_header)
        self._path = ""  # whose turn it is
        self._ahead: deque[Record] = deque()
        self._ahead_bytes = 0
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
            await self._step()
        if self._chunk_linger and self._ahead:
            with trio.move_on_after(self._chunk_linger):
                while self._may_linger():
                    await self._step()
        if not self._ahead and self._trouble:
            raise self._trouble
        size = min(self._chunk_size, len(self._ahead))
        chunk = [self._ahead.popleft() for _ in range(size)]
        self._ahead_bytes -= sum(len(record.raw) for record in chunk)
        return chunk

    def put_back(self, records: Sequence[Record]) -> None:
        """Have records that came in chunks come again, before all others."""
        self._ahead.extendleft(reversed(records))
        self._ahead_bytes += sum(len(record.raw) for record in records)

    def _may_linger(self) -> bool:
        is_full = len(self._ahead) >= self._chunk_size or self._ahead_bytes >= MOST_BYTES_AHEAD
        return not is_full and not self._at_end

    def _keep(self, lines: Sequence[Line]) -> None:
        try:
            records = self._parser.parse(lines)
        except BadHeader as exc:
            self._stop(self._path, str(exc))
            return
        self._ahead += records
        self._ahead_bytes += sum(len(record.raw) for record in records)

    def read_ahead(self) -> list[Record]:
        """Records that were read and handed out in no chunk."""
        return list(self._ahead)

    @property
    def header(self) -> bytes:
        """The header row of the first table, once it was read."""
        return self._parser.header

    @property
    def columns(self) -> Sequence[str]:
        """The names that stand in it."""
        return self._parser.columns

    def share_read(self) -> float | None:
        """How much of the input was read, from 0 to 1, where its size is known."""
        return self._bytes_read / self._size if self._size else None

    def close(self) -> None:
        """Close the file that is open, but never standard input."""
        if self._input:
            self._input.close()
            self._input = None

    async def _step(self) -> None:
        """Read once, or decompress a piece, of the file whose turn it is."""
        if self._input is None and not self._paths:
            self._at_end = True
            return
        try:
            if self._input is None:
                self._path = self._paths.popleft()
                self._input = self._open(self._path)
            if self._decompressor.needs_input:
                await self._read(self._input)
            else:
                await trio.lowlevel.checkpoint()
                self._take()
        except OSError as exc:
            self._stop(self._path, str(exc.strerror))
        except CannotDecompress as exc:
            self._stop(self._path, str(exc))

    async def _read(self, file: InputFile) -> None:
        data = await file.read()
        self._bytes_read += len(data)
        if data:
            self._decompressor.feed(data)
            self._take()
        else:
            self._keep(self._framer.feed(self._decompressor.finish()) + self._framer.finish())
            self.close()

    def _take(self) -> None:
        self._keep(self._framer.feed(self._decompressor.take()))

    def _stop(self, path: str, why: str) -> None:
        """End the input, once the records that were read are out."""
        self._trouble = InputError(f"cannot read {shown_path(path)}: {why}")
        self._at_end = True

    def _open(self, path: str) -> InputFile:
        form = self._input_format or format_by_name(path)
        self._decompressor = Decompressor()
        self._framer = framer_for(form, self._max_line)
        self._parser.start_source(shown_path(path) if self._says_which else "", form)
        return InputFile(path)


def shown_path(path: str) -> str:
    return "standard input" if path == STDIN else printable(path)
