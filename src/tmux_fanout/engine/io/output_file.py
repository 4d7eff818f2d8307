"""The file that results go to with `--output`.

One process at a time appends to it, and flushes it to the disk at the end.  Whatever stops the
writing, it holds whole lines and at most the beginning of one more, which is cut off at once if the
system allows it, and otherwise when the run is resumed.
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

FINGERPRINT = "user.tmux-fanout"  # extended attribute: the settings that a file was written with
_MAX_OPENED = 3  # attempts, as the file may be replaced before it is locked
_IN_USE = (errno.EAGAIN, errno.EACCES)


class Appendable(Protocol):
    """A file that a `FileSink` can write to; every method may raise OSError."""

    def write(self, data: bytes | memoryview) -> int:
        """Append at least one byte of `data`, and return how many were appended."""
        ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None: ...


class FileSink:
    """Write lines to a file, which is always ready.

    Args:
        file: The file.
        size: Bytes in it.
        compressor: Compresses the lines; None writes them as they are.
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
            OutputError: The system call failed; the torn line was cut off if possible.
        """
        self._append(self._compressor.compress(lines) if self._compressor else lines)

    async def consumer_gone(self) -> None:
        """Never return: a file has no reader."""
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        """Do nothing: a file is never waited for."""

    def finish(self) -> None:
        """Write what is left, and flush the file to the disk.

        Raises:
            OutputError: It cannot be written.
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
            pass  # leaves a torn line, which --resume cuts off


class OutputFile:
    """An open file, locked against other processes; or a pipe, terminal or other device.

    Args:
        path: Path of the file.  A new one is readable by its owner only.  The extension decides
            whether the content is compressed.
        to_resume: Whether to open it for reading, too.

    Attributes:
        fd: The descriptor.
        is_new: Whether the file did not exist before.
        is_regular: Whether it is a regular file, which keeps what is written.
        size: Bytes in it when it was opened, or last truncated.

    Raises:
        ConfigError: It cannot be opened, or another process is writing it.
    """

    def __init__(self, path: str, *, to_resume: bool = False) -> None:
        self.path = path
        self._compressor = compressor_for(path)
        access = os.O_RDWR if to_resume else os.O_WRONLY
        for _ in range(_MAX_OPENED):
            self._open(access)
            if not self.is_regular or self.is_same(path):
                break
            os.close(self.fd)  # removed or replaced before it was locked
        else:
            raise ConfigError(f"{self._shown}: the file keeps being replaced; name another file")

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
            raise ConfigError(
                f"{self._shown}: {exc.strerror}; name a file that can be created"
            ) from None
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
                why = (
                    "another process is writing this file; wait for it to end, or name another file"
                )
            else:
                why = f"the file cannot be locked: {exc.strerror}; name a file on another disk"
            raise ConfigError(f"{self._shown}: {why}") from None
        self.size = os.fstat(self.fd).st_size  # another process may have written until now

    def is_same(self, path: str | int) -> bool:
        """Return whether a path or descriptor refers to this file."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(path))
        except OSError:
            return False

    def mixes_with(self, path: str | int) -> bool:
        """Return whether what is written to a path or descriptor mixes with this file."""
        return self.is_same(path) and not self.is_same(os.devnull)

    def reader(self) -> BinaryIO:
        """Return a reader of the file from its start; close it before this file, or another reader.

        All readers share one position, so only the latest can be used.
        """
        os.lseek(self.fd, 0, os.SEEK_SET)
        return os.fdopen(os.dup(self.fd), "rb", buffering=1 << 17)

    def sink(self) -> FileSink | LineSink:
        """Return a sink that writes lines to the file."""
        if self.is_regular or self._compressor:
            return FileSink(self, self.size, self._compressor)
        return LineSink(self.fd)

    def write(self, data: bytes | memoryview) -> int:
        return os.write(self.fd, data)

    def truncate(self, size: int) -> None:
        """Keep the first `size` bytes of the file."""
        os.ftruncate(self.fd, size)
        self.size = size

    def sync(self) -> None:
        if self.is_regular:
            os.fsync(self.fd)

    def fingerprint(self) -> bytes:
        """Return what `mark` was last called with for this file; nothing if that is not known."""
        with suppress(OSError, AttributeError):  # macOS has no such calls
            return os.getxattr(self.fd, FINGERPRINT)
        return b""

    def discard(self) -> None:
        """Remove the file if it is new and still empty."""
        if self.is_new and self.is_same(self.path) and not os.fstat(self.fd).st_size:
            with suppress(OSError):
                os.unlink(self.path)

    def close(self) -> None:
        """Close the file, which unlocks it."""
        os.close(self.fd)


def mark(fd: int, fingerprint: bytes) -> None:
    """Keep a fingerprint with a file, where the file system has attributes with room for it."""
    with suppress(OSError, AttributeError):  # macOS has no such calls
        try:
            os.setxattr(fd, FINGERPRINT, fingerprint)
        except OSError:
            os.removexattr(fd, FINGERPRINT)  # that of a run whose lines are gone


def _cannot_write(exc: OSError, whole: int = 0) -> OutputError:
    return OutputError(f"cannot write the output: {exc.strerror}", whole=whole)
