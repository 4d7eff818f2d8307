"""Write the file of dead letters, always one step ahead of the output.

Whatever stops the program between the two writes, the file has every line that the output calls
for, and at most a few more, which a resumed run cuts off.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ConfigError, InputError, OutputError
from tmux_fanout.core.records.csv import BadHeader
from tmux_fanout.core.records.dialect import DialectOptions
from tmux_fanout.core.records.parser import InputFormat, Record
from tmux_fanout.core.results.dead_letters import DeadLetters
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.source import STDIN, FileSource

_MAX_AHEAD = 4096  # records


class DeadLetterMismatch(ValueError):
    """A file of dead letters does not belong to the output; the message names the first line."""


class DeadLetterSink:
    """Write the input lines of the results that are not ok.

    Args:
        letters: Chooses what to write.
        file: The file of dead letters.
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
            OutputError: They cannot be written.
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
        """Limit the wait for whoever reads the file; see `Sink.hurry`."""
        self._file.hurry(patience)

    async def finish(self) -> None:
        """Write what has to come last, and flush the file to the disk.

        Raises:
            OutputError: It cannot be written.
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
        """Name the file in errors; a closed pipe is an ordinary error here.

        Raises:
            OutputError: In place of any other `OutputError`, `OutputClosed` included.
        """
        try:
            yield
        except OutputError as exc:
            raise OutputError(str(exc).replace("the output", self._path)) from exc


class Replay:
    """Bring the file of an earlier run in line with the records that are kept.

    Letters that the file lacks, for example because someone removed it, are appended at once.
    Letters beyond those belong to records that are processed again.  Where no letter of the file
    was confirmed, it may be a different file, so `check_beginning` reads further.  Leaving the
    context cuts off the excess or, after an exception, restores the file.

    Args:
        letters: Chooses what belongs in the file.
        file: The file of dead letters.
    """

    def __init__(self, letters: DeadLetters, file: OutputFile) -> None:
        self._letters = letters
        self._file = file
        self._reader = file.reader()
        self._old_size = file.size
        self._confirmed = 0  # bytes
        self._line = 1

    def __repr__(self) -> str:
        return f"<Replay {self._file.path}: {self._confirmed} of {self._old_size} bytes>"

    def add(self, records: Sequence[Record]) -> None:
        """Check, or append, the letters of the next records that are kept and not ok.

        Raises:
            DeadLetterMismatch: The file has something else in their place.
            OutputError: They cannot be appended.
        """
        data = b"".join(map(self._letters.add, records))
        found = self._reader.read(len(data)) if self._confirmed < self._old_size else b""
        if not data.startswith(found):
            same = next(at for at in range(len(found)) if data[at] != found[at])
            line = self._line + data.count(b"\n", 0, same)
            raise DeadLetterMismatch(
                f"line {line} does not belong to a failed record of the output"
            )
        self._line += data.count(b"\n")
        self._confirmed += len(data)
        self._append(data[len(found) :])

    async def check_beginning(self, source: FileSource) -> None:
        """Return if some letters were confirmed, or the first is that of one of the next records.

        A run is ahead of its output by a batch of results, or by a window if it was stopped.

        Raises:
            DeadLetterMismatch: The file begins with anything else.
        """
        if self._confirmed or not self._old_size:
            return
        seen: list[Record] = []
        is_found = False
        while not is_found and len(seen) < _MAX_AHEAD:
            try:
                chunk = await source.next_chunk()
            except InputError:
                break  # reported when the run reads that far
            if not chunk:
                break
            seen += chunk
            is_found = any(map(self._begins_with, chunk))
        source.put_back(seen)
        if not is_found:
            raise DeadLetterMismatch("line 1 does not belong to a record after the output")

    def _begins_with(self, record: Record) -> bool:
        letter = self._letters.alone(record)
        found = os.pread(self._file.fd, len(letter), 0)
        return letter.startswith(found) and bool(letter)

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._reader.close()
        with self._file_errors():
            if kind is None:
                self._file.truncate(self._confirmed)
            elif os.fstat(self._file.fd).st_size > self._old_size:
                self._file.truncate(self._old_size)
        if kind:
            self._file.discard()

    def _append(self, data: bytes) -> None:
        with self._file_errors():
            while data:
                data = data[self._file.write(data) :]

    @contextmanager
    def _file_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            why = f"cannot write {printable(self._file.path)}: {exc.strerror}"
            raise OutputError(why) from exc


class DeadLetterFile(NamedTuple):
    """A file of dead letters, and what belongs in it."""

    file: OutputFile
    letters: DeadLetters

    def replay(self) -> Replay:
        """Return what brings the file in line with an output that is resumed."""
        return Replay(self.letters, self.file)

    def sink(self) -> DeadLetterSink:
        """Return a sink that writes dead letters to the file."""
        return DeadLetterSink(self.letters, self.file)

    @property
    def note(self) -> str:
        """A message for the end of the run, or an empty string."""
        note = self.letters.note
        return f"--failed: {printable(self.file.path)}: {note}" if note else ""


async def check_headers(
    paths: Sequence[str],
    input_format: InputFormat | None,
    dialect: DialectOptions,
    max_line: int,
    *,
    one_header: bool,
) -> None:
    """Return if the header rows of all these tables can be used.

    Only the beginning of each file is read; files that are not regular are left to the run.

    Args:
        paths: The tables.
        input_format: The format of all of them; None tells each by its name.
        dialect: How their rows are written.
        max_line: Maximum bytes of a row.
        one_header: Whether the columns must be the same, for dead letters with one header row.

    Raises:
        ConfigError: A header row cannot be used, or columns differ.
    """
    first: tuple[str, Sequence[str]] | None = None
    for path in paths:
        if path == STDIN or not stat.S_ISREG(os.stat(path).st_mode):
            continue
        columns = await _columns(path, input_format, dialect, max_line)
        if not columns:
            continue
        first = first or (path, columns)
        if one_header and columns != first[1]:
            why = f"{printable(path)} and {printable(first[0])} have different columns"
            raise ConfigError(f"--failed: {why}; give each file a run and a --failed of its own")


async def _columns(
    path: str, input_format: InputFormat | None, dialect: DialectOptions, max_line: int
) -> Sequence[str]:
    source = FileSource(
        [path], input_format, max_line=max_line, chunk_size=1, chunk_linger=0, dialect=dialect
    )
    try:
        await source.next_chunk()
    except InputError as exc:
        if isinstance(exc.__cause__, BadHeader):
            raise ConfigError(str(exc)) from exc
        # Anything else is reported when the run reads the file.
    finally:
        source.close()
    return source.columns
