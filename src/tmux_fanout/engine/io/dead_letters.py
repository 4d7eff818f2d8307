"""The file of dead letters that goes with a run, written a step ahead of the output.

So whatever stops the program between the two, the file has all that the output calls for, and at
most some lines more; a run that is resumed cuts those off.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ConfigError, InputError, OutputError
from tmux_fanout.core.records.parser import InputFormat, Record
from tmux_fanout.core.results.dead_letters import DeadLetters
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.source import STDIN, FileSource

_MOST_AHEAD = 4096  # records


class OtherLetters(ValueError):
    """A file of dead letters is not that of the output; the message says where it differs."""


class DeadLetterSink:
    """Writes the dead letters among results.

    Args:
        letters: what is written of them.
        file: where to.
    """

    def __init__(self, letters: DeadLetters, file: OutputFile) -> None:
        self._letters = letters
        self._path = printable(file.path)
        self._file = file.sink()

    def __repr__(self) -> str:
        return f"<DeadLetterSink {self._path}: {self._letters!r}>"

    async def put(self, results: Sequence[Result]) -> None:
        """Write the input lines of the results that are not ok.

        Raises:
            OutputError: they cannot be written.
        """
        await self._write([self._letter(result.source) for result in results if not result.ok])

    def _letter(self, record: Record) -> bytes:
        try:
            return self._letters.add(record)
        except Exception as exc:
            internal_error(exc)  # which lets MemoryError pass
            self._letters.left_out.append(record.index)
            return b""

    def hurry(self, patience: float) -> None:
        """Give up on a reader as `Sink.hurry` says."""
        self._file.hurry(patience)

    async def finish(self) -> None:
        """Write what has to come last, and have the system write all of it to the disk.

        Raises:
            OutputError: it cannot.
        """
        await self._write([self._letters.last()])
        if isinstance(self._file, FileSink):
            with self._named():
                self._file.finish()

    async def _write(self, letters: Sequence[bytes]) -> None:
        if any(letters):
            with self._named():
                await self._file.write(b"".join(letters))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say which file it is.  That the reader of a pipe has gone is no more than trouble here.

        Raises:
            OutputError: in place of another, or of its kin.
        """
        try:
            yield
        except OutputError as exc:
            raise OutputError(str(exc).replace("the output", self._path)) from exc


class Replay:
    """Brings the file of an earlier run to the dead letters of the records that are kept.

    Where it ends before they do, as when somebody has removed it, they are added at once.  Where it
    has more, that is of records that are made again; but where none of it was found to be right, it
    may be another file, and is looked at more closely.  As a context manager it cuts off what is
    too much, or, if the block raises, leaves the file as it was.

    Args:
        letters: what is to stand in it.
        file: the file.
    """

    def __init__(self, letters: DeadLetters, file: OutputFile) -> None:
        self._letters = letters
        self._file = file
        self._reader = file.reader()
        self._there = file.size
        self._right = 0  # bytes
        self._line = 1

    def __repr__(self) -> str:
        return f"<Replay {self._file.path}: {self._right} of {self._there} bytes>"

    def add(self, records: Sequence[Record]) -> None:
        """The next records that are kept and not ok.

        Raises:
            OtherLetters: the file has something else in their place.
            OutputError: what is not there cannot be added.
        """
        data = b"".join(map(self._letters.add, records))
        there = self._reader.read(len(data)) if self._right < self._there else b""
        if not data.startswith(there):
            same = next(at for at in range(len(there)) if data[at] != there[at])
            line = self._line + data.count(b"\n", 0, same)
            raise OtherLetters(f"line {line} is not of a record that is kept and not ok")
        self._line += data.count(b"\n")
        self._right += len(data)
        self._append(data[len(there) :])

    async def look_closely(self, source: FileSource) -> None:
        """Return if the file is found to be right, or begins with one of the next records.

        A run is at most a batch of results ahead of its output, or a window where it was stopped.

        Raises:
            OtherLetters: it does not.
        """
        if self._right or not self._there:
            return
        seen: list[Record] = []
        is_found = False
        while not is_found and len(seen) < _MOST_AHEAD:
            try:
                chunk = await source.next_chunk()
            except InputError:
                break  # it will be told when its turn comes
            if not chunk:
                break
            seen += chunk
            is_found = any(map(self._begins_with, chunk))
        source.put_back(seen)
        if not is_found:
            raise OtherLetters("line 1 is not of a record that comes next")

    def _begins_with(self, record: Record) -> bool:
        letter = self._letters.alone(record)
        there = os.pread(self._file.fd, len(letter), 0)
        return letter.startswith(there) and bool(letter)

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._reader.close()
        with self._told():
            if kind is None:
                self._file.truncate(self._right)
            elif os.fstat(self._file.fd).st_size > self._there:
                self._file.truncate(self._there)
        if kind:
            self._file.discard()

    def _append(self, data: bytes) -> None:
        with self._told():
            while data:
                data = data[self._file.write(data) :]

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            why = f"cannot write {printable(self._file.path)}: {exc.strerror}"
            raise OutputError(why) from exc


class DeadLetterFile(NamedTuple):
    """A file of dead letters, and what is to stand in it."""

    file: OutputFile
    letters: DeadLetters

    def replay(self) -> Replay:
        """What brings it in line with an output that is gone on with."""
        return Replay(self.letters, self.file)

    def sink(self) -> DeadLetterSink:
        """Return what writes dead letters to the file."""
        return DeadLetterSink(self.letters, self.file)

    @property
    def note(self) -> str:
        """What is to be said of it in the end, or nothing."""
        note = self.letters.note
        return f"--failed: {printable(self.file.path)}: {note}" if note else ""


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
