"""A new version of a file, written beside it and swapped in once it is complete.

Whatever stops the program before that, the file is as it was.  What a killed process has left
behind is removed by the next one; only one can be at work, since the file itself is locked.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from tmux_fanout.core.errors import ConfigError, OutputError
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.output_file import FileSink, OutputFile, mark


class Replacement:
    """The new version of an open file; it is an `Appendable`.

    Args:
        file: The file, which stays as it is until `swap`.
        fingerprint: Of the settings that it is written with; see `mark`.

    Raises:
        ConfigError: No file can be created beside it.
    """

    def __init__(self, file: OutputFile, fingerprint: bytes) -> None:
        self._file = file
        self._target = os.path.realpath(file.path)
        folder, name = os.path.split(self._target)
        self._folder = folder
        self.path = os.path.join(folder, f".{name}.mending")
        try:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o600)
        except OSError as exc:
            shown = printable(repr(self.path))
            why = f"{shown}: {exc.strerror}; the new file is written beside the old one first"
            raise ConfigError(f"--mend: {why}") from None
        self._is_there = True
        mark(self._fd, fingerprint)

    def __repr__(self) -> str:
        return f"<Replacement {self.path}: fd {self._fd}>"

    def sink(self) -> FileSink:
        """Return a sink that writes lines to the new version."""
        return FileSink(self, 0)

    def write(self, data: bytes | memoryview) -> int:
        return os.write(self._fd, data)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        os.fsync(self._fd)

    def swap(self) -> None:
        """Put the new version, which is synced, in place of the file, with its permissions.

        Raises:
            OutputError: That is not possible; the file is as it was.
        """
        status = os.fstat(self._file.fd)
        try:
            with suppress(PermissionError):
                os.fchown(self._fd, status.st_uid, status.st_gid)  # first: it clears mode bits
            os.fchmod(self._fd, stat.S_IMODE(status.st_mode))
            os.fsync(self._fd)
            os.rename(self.path, self._target)
        except OSError as exc:
            raise OutputError(f"cannot replace the output: {exc.strerror}") from exc
        self._is_there = False
        self._sync_folder()

    def _sync_folder(self) -> None:
        """Put the new name on the disk, where the file system can."""
        with suppress(OSError):
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def close(self) -> None:
        """Close the new version, and remove it unless it was swapped in."""
        os.close(self._fd)
        if self._is_there:
            with suppress(OSError):
                os.unlink(self.path)
