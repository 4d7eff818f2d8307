"""The file of dead letters that goes with a run, written a step ahead of the output.

So whatever stops the program between the two, the file has all that the output calls for, and at
most some lines more; a run that is resumed cuts those off.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Protocol

from tmux_fanout.core.dead_letters import DeadLetters
from tmux_fanout.core.errors import ConfigError, InputError, OutputError, printable
from tmux_fanout.core.outcome import Result
from tmux_fanout.core.records import InputFormat
from tmux_fanout.engine.source import STDIN, FileSource
from tmux_fanout.engine.streams import Sink


class DataSink(Protocol):
    """Where bytes go."""

    async def put(self, items: Sequence[bytes]) -> None:
        """Write all of them.

        Raises:
            OutputError: it can take no more.
        """
        ...


class DeadLetterSink:
    """A sink that writes the dead letters among results before it hands them on.

    Args:
        sink: where results go.
        letters: what is written of them.
        file: where to.
        path: its name, for messages.
    """

    def __init__(self, sink: Sink, letters: DeadLetters, file: DataSink, path: str) -> None:
        self._sink = sink
        self._letters = letters
        self._file = file
        self._path = path

    def __repr__(self) -> str:
        return f"<DeadLetterSink {self._path}: {self._letters!r}>"

    async def put(self, results: Sequence[Result]) -> None:
        await self._write([self._letters.add(r.source) for r in results if not r.ok])
        await self._sink.put(results)

    async def reader_gone(self) -> None:
        await self._sink.reader_gone()

    def hurry(self) -> None:
        self._sink.hurry()

    async def finish(self) -> None:
        """Write what has to come last.

        Raises:
            OutputError: it cannot be written.
        """
        await self._write([self._letters.last()])

    async def _write(self, letters: Sequence[bytes]) -> None:
        try:
            if any(letters):
                await self._file.put(letters)
        except OutputError as exc:
            why = str(exc).rpartition(": ")[2]
            raise OutputError(f"cannot write {printable(self._path)}: {why}") from exc


async def check_columns(
    paths: Sequence[str], input_format: InputFormat | None, max_line: int
) -> None:
    """Return if the tables among these files have the same columns, as their dead letters will.

    Only the beginning of each is read.  What is no regular file is read by the run alone.

    Raises:
        ConfigError: they have not.
    """
    first: tuple[str, Sequence[str]] | None = None
    for path in paths:
        if path == STDIN or not stat.S_ISREG(os.stat(path).st_mode):
            continue
        columns = await _columns(path, input_format, max_line)
        if not columns:
            continue
        first = first or (path, columns)
        if columns != first[1]:
            names = f"{printable(path)} has not the columns of {printable(first[0])}"
            raise ConfigError(f"--failed: {names}; give each a run and a FILE of its own")


async def _columns(path: str, input_format: InputFormat | None, max_line: int) -> Sequence[str]:
    source = FileSource([path], input_format, max_line=max_line, chunk_size=1, chunk_linger=0)
    try:
        await source.next_chunk()
    except InputError:
        pass  # it will be told when its turn comes
    finally:
        source.close()
    return source.columns
