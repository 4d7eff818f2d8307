"""The file that results go to with `--output`.

A file is appended to, by one process at a time, and synced at the end.  Whatever stops the writing,
it has whole lines, and at most the beginning of one more: that is cut off where the system lets us,
and else by whoever goes on with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from typing import BinaryIO, Protocol

import trio

from tmux_fanout.core.errors import ConfigError, OutputError
from tmux_fanout.core.results.compression import Compressor, compressor_for
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.sink import LineSink

_MOST_OPENED = 3  # times that a file may be replaced meanwhile
_IN_USE = (errno.EAGAIN, errno.EACCES)


class Appendable(Protocol):
    """A file as a `FileSink` needs it; every method may raise OSError."""

    def write(self, data: bytes | memoryview) -> int:
        """Append some bytes, at least one; returns how many."""
        ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None: ...


class FileSink:
    """Writes lines to a file that is always ready.

    Args:
        file: where to.
        size: bytes in it.
        compressor: what makes other bytes of the lines, or None.
    """

    def __init__(
        self,
        file: Appendable,
        size: int,
        compressor: Compressor | None = None,
    ) -> None:
        self._file = file
        self._size = size
        self._compressor = compressor

    def __repr__(self) -> str:
        return f"<FileSink: {self._size} bytes>"

    async def write(self, lines: bytes) -> None:
        """Write whole lines.

        Raises:
            OutputError: the system refuses; the file ends with a whole line if that can be helped.
        """
        self._append(self._compressor.compress(lines) if self._compressor else lines)

    async def reader_gone(self) -> None:
        """Never return: a file has no reader."""
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        """Do nothing: a file is never waited for."""

    def finish(self) -> None:
        """Write what is left, and have the system write it to the disk.

        Raises:
            OutputError: it cannot.
        """
        if self._compressor:
            self._append(self._compressor.flush())
        try:
            self._file.sync()
        except OSError as exc:
            raise _cannot_write(exc) from exc

    def _append(self, data: bytes) -> None:
        written = 0
        view = memoryview(data)
        try:
            while written < len(data):
                written += self._file.write(view[written:])
        except OSError as exc:
            whole = data.rfind(b"\n", 0, written) + 1 if self._compressor is None else 0
            if whole < written and self._compressor is None:
                self._trim(self._size + whole)
            raise _cannot_write(exc, data.count(b"\n", 0, whole)) from exc
        self._size += written

    def _trim(self, size: int) -> None:
        try:
            self._file.truncate(size)
            self._file.sync()
        except OSError:
            pass  # a torn line then, which does no harm


class OutputFile:
    """An open file, locked against others; a pipe, a terminal or another device will do too.

    Args:
        path: of the file, which is made if it is not there, and readable by its owner only; its
            extension says whether it is to be compressed.
        to_resume: whether it is also read.

    Attributes:
        fd: its descriptor.
        is_new: whether it was not there before.
        is_regular: whether it is a file that keeps what is written.
        size: bytes in it, when it was opened or last cut.

    Raises:
        ConfigError: it cannot be opened, or is being written by another process.
    """

    def __init__(self, path: str, *, to_resume: bool = False) -> None:
        self.path = path
        self._compressor = compressor_for(path)
        access = os.O_RDWR if to_resume else os.O_WRONLY
        for _ in range(_MOST_OPENED):
            self._open(access)
            if not self.is_regular or self.is_same(path):
                break
            os.close(self.fd)  # it was removed, or replaced, before it was locked
        else:
            raise ConfigError(f"{self._shown}: it is replaced again and again; name another file")

    def __repr__(self) -> str:
        return f"<OutputFile {self.path}: fd {self.fd}>"

    @property
    def _shown(self) -> str:
        return printable(repr(self.path))

    def _open(self, access: int) -> None:
        self.is_new = not os.path.lexists(self.path)
        flags = access | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
        try:
            self.fd = os.open(self.path, flags, 0o600)
        except OSError as exc:
            raise ConfigError(f"{self._shown}: {exc.strerror}; name a file to write") from None
        status = os.fstat(self.fd)
        self.is_regular = stat.S_ISREG(status.st_mode)
        self.size = status.st_size if self.is_regular else 0
        try:
            if self.is_regular:
                self._lock()
        except BaseException:
            os.close(self.fd)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in _IN_USE:
                why = "another process is writing it; wait for that, or name another file"
            else:
                why = f"it cannot be locked: {exc.strerror}; name a file on another disk"
            raise ConfigError(f"{self._shown}: {why}") from None
        self.size = os.fstat(self.fd).st_size  # another may have written until now

    def is_same(self, path: str | int) -> bool:
        """Whether this is the file of that name, or descriptor."""
        try:
            return self.is_regular and os.path.samestat(os.fstat(self.fd), os.stat(path))
        except OSError:
            return False

    def reader(self) -> BinaryIO:
        """The file from its start, to be read; it is open only as long as this one."""
        return os.fdopen(os.dup(self.fd), "rb", buffering=1 << 17)

    def sink(self) -> FileSink | LineSink:
        """Return what writes lines to the file."""
        if self.is_regular or self._compressor:
            return FileSink(self, self.size, self._compressor)
        return LineSink(self.fd)

    def write(self, data: bytes | memoryview) -> int:
        return os.write(self.fd, data)

    def truncate(self, size: int) -> None:
        """Keep so many bytes of the file."""
        os.ftruncate(self.fd, size)
        self.size = size

    def sync(self) -> None:
        if self.is_regular:
            os.fsync(self.fd)

    def discard(self) -> None:
        """Remove it if it was made for nothing."""
        if self.is_new and self.is_same(self.path) and not os.fstat(self.fd).st_size:
            with suppress(OSError):
                os.unlink(self.path)

    def close(self) -> None:
        """Close it, which unlocks it."""
        os.close(self.fd)


def _cannot_write(exc: OSError, whole: int = 0) -> OutputError:
    return OutputError(f"cannot write the output: {exc.strerror}", whole=whole)
