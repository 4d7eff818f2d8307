"""The option `--summary-file`: it may replace an earlier summary, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tmux_fanout.cli.output import Destination
from tmux_fanout.core.errors import ConfigError, OutputError
from tmux_fanout.core.results.compression import is_compressed
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.source import STDIN

_STDOUT = "-"
_STDOUT_FD = 1
_OPTION = "--summary-file"
_STARTS = b'{"version":'


class SummaryFile:
    """The file that the summary goes to.

    Args:
        path: of the file, which stays as it is until `begin`.

    Raises:
        ConfigError: it cannot be written, or holds anything but a summary.
    """

    def __init__(self, path: str) -> None:
        is_free = _is_summary(path)
        try:
            self._file = OutputFile(path)
        except ConfigError as exc:
            raise ConfigError(f"{_OPTION}: {exc}") from None
        if self._file.size and not is_free:
            self._file.close()
            why = "is not a summary: use another file, or remove it"
            raise ConfigError(f"{_OPTION}: {self._shown} {why}")

    def __repr__(self) -> str:
        return f"<SummaryFile: {self._file!r}>"

    @property
    def _shown(self) -> str:
        return printable(repr(self._file.path))

    def mixes_with(self, path: str | int) -> bool:
        """Return whether what is written to a path or descriptor mixes with the summary."""
        return self._file.mixes_with(path)

    def begin(self) -> None:
        """Empty the file, so that it holds no summary of another run while one lasts.

        Raises:
            ConfigError: that cannot be done.
        """
        try:
            if self._file.is_regular:
                self._file.truncate(0)
        except OSError as exc:
            why = f"{self._shown} cannot be overwritten, {exc.strerror}: use another file"
            raise ConfigError(f"{_OPTION}: {why}") from None

    async def write(self, summary: str) -> None:
        """Write the summary, and flush it to the disk.

        Raises:
            OutputError: it cannot be written.
        """
        sink = self._file.sink()
        try:
            await sink.write(f"{summary}\n".encode())
            if isinstance(sink, FileSink):
                sink.finish()
        except OutputError as exc:
            raise OutputError(f"{_OPTION}: {exc}") from exc

    def close(self) -> None:
        """Close the file; one that is new is removed if nothing was written."""
        self._file.discard()
        self._file.close()


def check_summary_file(path: str | None, output: Destination, failed: str | None) -> str | None:
    """Return the path of the file that the summary goes to, or None.

    Args:
        path: as it is given, or None.
        output: where results go.
        failed: path of the dead letters, or None.

    Raises:
        ConfigError: it is no file for a summary.
    """
    if path is None:
        return None
    why = ""
    if path == _STDOUT:
        why = "standard output is for results: use a file"
    elif is_compressed(path):
        why = "a summary is not compressed: drop the extension"
    elif _is_one(path, output.path):
        why = "results go there, too: use another file"
    elif _is_one(path, failed):
        why = "records go there, too: use another file"
    if why:
        raise ConfigError(f"{_OPTION}: {why}")
    return path


def _is_one(path: str, other: str | None) -> bool:
    if other is None or os.path.realpath(path) == os.devnull:
        return False
    return os.path.realpath(other) == os.path.realpath(path)


@contextmanager
def open_summary(
    path: str | None, inputs: Sequence[str], output: Destination
) -> Iterator[SummaryFile | None]:
    """Open the file for the duration of the block; None if there is to be none.

    Args:
        path: as `check_summary_file` returns it.
        inputs: paths of the input.
        output: where results go.

    Raises:
        ConfigError: it cannot be written, has another use, or holds anything but a summary.
    """
    if path is None:
        yield None
        return
    if any(_is_input(path, each) for each in inputs):
        shown = printable(repr(path))
        raise ConfigError(f"{_OPTION}: {shown} is an input, too: use another file")
    file = SummaryFile(path)
    try:
        if file.mixes_with(_STDOUT_FD if output.path is None else output.path):
            raise ConfigError(f"{_OPTION}: results go there, too: use another file")
        yield file
    finally:
        file.close()


def _is_input(path: str, other: str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(0) if other == STDIN else os.stat(other))
    except OSError:
        return False


def _is_summary(path: str) -> bool:
    """Return whether a file begins as a summary does."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_STARTS)) == _STARTS
    except OSError:
        return False
