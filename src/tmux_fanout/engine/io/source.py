"""Read records from files and standard input.

Descriptors may be shared with other processes, where O_NONBLOCK would outlive this one, so it is
never set on an inherited descriptor.  Pipes, sockets and terminals are read once they are readable,
which does not block.  What epoll refuses (regular files, /dev/null) is always ready and is read
directly.  No thread is used, so none can be left behind in a read.

Bytes pass through a decompressor, a transcoder, a framer and a parser, each of which keeps what is
unfinished.
Compressed input is decompressed in pieces, and no further than records are asked for.
"""

from __future__ import annotations

import os
import select
import stat
from collections import deque
from collections.abc import Callable, Sequence

import trio

from tmux_fanout.core.errors import InputError
from tmux_fanout.core.records.csv import BadHeader
from tmux_fanout.core.records.decompression import CannotDecompress, Decompressor
from tmux_fanout.core.records.dialect import DialectOptions
from tmux_fanout.core.records.encoding import CutShort, Transcoder
from tmux_fanout.core.records.framing import Line, LineFramer
from tmux_fanout.core.records.parser import (
    InputFormat,
    Record,
    RecordParser,
    format_by_name,
    framer_for,
    remark_on,
)
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.text import printable

STDIN = "-"
_AS_WRITTEN = DialectOptions()
READ_SIZE = 64 << 10  # bytes
_MAX_BYTES_AHEAD = 1 << 20  # that a lingering chunk gathers; a single line may be larger


def can_wait_for(fd: int) -> bool:
    """Return whether a descriptor's readiness can be awaited; if not, it is always ready."""
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


def _total_size(paths: Sequence[str]) -> int | None:
    """Return the bytes of all files together, or None if one has no size in advance."""
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


class LineReader:
    """Read the lines of one file, which may be compressed.

    Args:
        path: The file; `-` is standard input.
        framer: Splits its bytes into lines or rows.

    Attributes:
        bytes_read: Bytes read so far, before decompression.
        is_at_end: Whether all complete lines were returned.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str, framer: LineFramer) -> None:
        self._path = path
        self._is_ours = path != STDIN
        # Without O_NONBLOCK, opening a FIFO waits for its writer; this descriptor is our own.
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if self._is_ours else 0
        self._can_wait = can_wait_for(self._fd)
        self._decompressor = Decompressor()
        self._transcoder = Transcoder()
        self._framer = framer
        self.bytes_read = 0
        self.is_at_end = False

    def __repr__(self) -> str:
        return f"<LineReader {self._path}: fd {self._fd}>"

    @property
    def bytes_used(self) -> int:
        """Bytes that the lines so far were made of, before decompression."""
        return self.bytes_read - self._decompressor.pending

    async def next_lines(self) -> list[Line]:
        """Read once, or decompress a piece, and return the lines that this completes, if any.

        It may be cancelled, and then has lost nothing.

        Raises:
            InputError: The file cannot be read further, or is damaged.
        """
        try:
            if not self._decompressor.needs_input:
                await trio.lowlevel.checkpoint()
            elif data := await self._read():
                self.bytes_read += len(data)
                self._decompressor.feed(data)
            else:
                self.is_at_end = True
                rest = self._transcoder.feed(self._decompressor.finish())
                return self._framer.feed(rest + self._transcoder.finish())
            return self._framer.feed(self._transcoder.feed(self._decompressor.take()))
        except OSError as exc:
            raise cannot_read(self._path, str(exc.strerror)) from exc
        except (CannotDecompress, CutShort) as exc:
            raise cannot_read(self._path, str(exc)) from exc

    def last_lines(self) -> list[Line]:
        """Return the last line, at the end, if it has no line break."""
        return self._framer.finish()

    def close(self) -> None:
        """Close the file, but never standard input."""
        if self._is_ours:
            os.close(self._fd)

    async def _read(self) -> bytes:
        while True:
            if self._can_wait:
                await trio.lowlevel.wait_readable(self._fd)
            else:
                await trio.lowlevel.checkpoint()
            try:
                return os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                self._can_wait = True


class FileSource:
    """Read the records of several files as one stream.

    Args:
        paths: The files in reading order; `-` is standard input.
        input_format: The format of all of them; None tells each by its name.
        max_line: Maximum bytes of a line.
        chunk_size: Maximum number of records in a chunk.
        chunk_linger: Seconds after its first record that a chunk waits for more.
        dialect: How the rows of tables are written.
        one_header: Whether all tables must have the same columns and delimiter.
        notify: Told in one line if the input is probably not meant so.
    """

    def __init__(
        self,
        paths: Sequence[str],
        input_format: InputFormat | None = None,
        *,
        max_line: int,
        chunk_size: int,
        chunk_linger: float,
        dialect: DialectOptions = _AS_WRITTEN,
        one_header: bool = False,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._notify = notify
        self._size = _total_size(paths)
        self._bytes_read = 0  # of files that were closed
        self._paths = deque(paths)
        self._names_files = len(paths) > 1  # in error messages
        self._input_format = input_format
        self._max_line = max_line
        self._chunk_size = chunk_size
        self._chunk_linger = chunk_linger
        self._file: LineReader | None = None
        self._path = ""  # of the file that is, or was last, open
        self._dialect = dialect
        self._parser = RecordParser("jsonl", max_line, dialect, one_header=one_header)
        self._ahead: deque[Record] = deque()
        self._ahead_bytes = 0
        self._at_end = False
        self._error: InputError | None = None

    def __repr__(self) -> str:
        return f"<FileSource: {self._file}, {len(self._paths)} more files>"

    async def next_chunk(self) -> list[Record]:
        """Wait for a record, and return all that are there, up to a chunk; none at the end.

        Raises:
            InputError: A file cannot be read further; all records before that were returned.
        """
        while not self._ahead and not self._at_end:
            await self._step()
        if self._chunk_linger and self._ahead:
            with trio.move_on_after(self._chunk_linger):
                while self._may_linger():
                    await self._step()
        if not self._ahead and self._error:
            raise self._error
        size = min(self._chunk_size, len(self._ahead))
        chunk = [self._ahead.popleft() for _ in range(size)]
        self._ahead_bytes -= sum(len(record.raw) for record in chunk)
        return chunk

    def put_back(self, records: Sequence[Record]) -> None:
        """Return these records, which came in chunks, once more before all others."""
        self._ahead.extendleft(reversed(records))
        self._ahead_bytes += sum(len(record.raw) for record in records)

    def read_ahead(self) -> list[Record]:
        """Return the records that were read and are in no chunk yet."""
        return list(self._ahead)

    @property
    def header(self) -> bytes:
        """The header row of the first table, and a `sep=` line before it, once they were read."""
        return self._parser.header

    @property
    def columns(self) -> Sequence[str]:
        """The names in that header row."""
        return self._parser.columns

    def total(self) -> Total | None:
        """Return how many records the input holds, or None if that cannot be told yet.

        Before all was read it is estimated from the size of the files, if that is known.
        """
        count = self._parser.count
        if self._file is None and not self._paths:
            return Total(count, is_exact=True)
        used = self._bytes_read + (self._file.bytes_used if self._file else 0)
        if not (self._size and used and count):
            return None
        return Total(max(round(count * self._size / used), count), is_exact=False)

    def close(self) -> None:
        """Close the file that is open, but never standard input."""
        if self._file:
            self._bytes_read += self._file.bytes_read
            self._file.close()
            self._file = None

    def _may_linger(self) -> bool:
        is_full = len(self._ahead) >= self._chunk_size or self._ahead_bytes >= _MAX_BYTES_AHEAD
        return not is_full and not self._at_end

    async def _step(self) -> None:
        """Read some of the current file, or open the next one."""
        if self._file is None and not self._paths:
            self._at_end = True
            return
        try:
            file = self._file or self._open_next()
            self._parse(await file.next_lines())
            if file.is_at_end:
                self._parse(file.last_lines())
                self.close()
        except InputError as exc:
            self._error = exc  # raised once the records before it are out
            self._at_end = True

    def _open_next(self) -> LineReader:
        self._path = path = self._paths.popleft()
        form = self._input_format or format_by_name(path)
        self._parser.start_source(_shown(path) if self._names_files else "", form)
        try:
            self._file = LineReader(path, framer_for(form, self._max_line, self._dialect))
        except OSError as exc:
            raise cannot_read(path, str(exc.strerror)) from exc
        return self._file

    def _parse(self, lines: Sequence[Line]) -> None:
        try:
            records = self._parser.parse(lines)
        except BadHeader as exc:
            raise cannot_read(self._path, str(exc)) from exc
        if self._notify and records and records[0].index == 0 and (odd := remark_on(records[0])):
            self._notify(odd)
        self._ahead += records
        self._ahead_bytes += sum(len(record.raw) for record in records)


def cannot_read(path: str, why: str) -> InputError:
    """Return the error for a file that cannot be read further."""
    return InputError(f"cannot read {_shown(path)}: {why}")


def _shown(path: str) -> str:
    return "standard input" if path == STDIN else printable(path)
