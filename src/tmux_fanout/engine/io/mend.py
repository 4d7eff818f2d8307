"""Read an output along with its input, and write it anew with some of its calls made again.

    input --> MendSource --> records to mend --> the run --> MendSink --> new version of the output
                  ^                                             ^
    old output ---+------------- lines between them ------------+

Only the records that have calls to make pass through the run.  The sink copies the lines between
them from the old output; so the memory does not depend on the size of either file, and where the
run stops early, what is left is copied as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import BinaryIO

import trio

from tmux_fanout.core.errors import InputError, OutputError
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.results.mend import MendRecord, plan_mend
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.results.resume import OutputMismatch, check_torn
from tmux_fanout.core.text import counted
from tmux_fanout.engine.io.output_file import FileSink
from tmux_fanout.engine.io.result_sink import ResultSink
from tmux_fanout.engine.io.source import FileSource

_COPIED_AT_ONCE = 1 << 20  # bytes


class NotItsOutput(InputError):
    """The output does not belong to the input; the message names the first line that differs."""


class MendSource:
    """A source of the records of an input that have calls to make again.

    Args:
        source: The input, from its start.
        output: The output, from its start.
        names: The names of the APIs, in order.
        report_size: Called after each chunk with the bytes of output read so far.

    Attributes:
        records: Number of records read.
        kept: Number of those whose lines stay and are ok.
        invalid: Number of those that are invalid; their lines stay, too.
        size: Bytes of the output that were read.
        rest: Offset in the output up to which its lines are whole; None while that is not known.
    """

    def __init__(
        self,
        source: FileSource,
        output: BinaryIO,
        names: Sequence[str],
        report_size: Callable[[int], None] | None = None,
    ) -> None:
        self._source = source
        self._output = output
        self._names = names
        self._report_size = report_size
        self.records = self.kept = self.invalid = self.size = 0
        self.rest: int | None = None

    def __repr__(self) -> str:
        return f"<MendSource: {self.records} records, {self.kept} kept>"

    async def next_chunk(self) -> Sequence[Record]:
        """Return the next records to mend, as `Source.next_chunk` does; skip all others.

        Raises:
            NotItsOutput: The output does not belong to this input.
            InputError: The input broke off, or the output cannot be read.
        """
        while True:
            chunk = await self._source.next_chunk()
            if not chunk:
                self._check_end()
                return []
            planned = [self._plan(record) for record in chunk]
            if self._report_size:
                self._report_size(self.size)
            if due := [record for record in planned if record]:
                return due

    def _plan(self, record: Record) -> MendRecord | None:
        start = self.size
        line = self._next_line(record.index)
        try:
            planned = plan_mend(record, line, self._names, start)
        except OutputMismatch as exc:
            raise NotItsOutput(str(exc)) from exc
        self.records += 1
        self.kept += planned is None
        self.invalid += planned is not None and planned.error is not None
        return planned

    def _next_line(self, index: int) -> bytes:
        """Return the next line of the output; an empty one once there is none, or a torn one."""
        if self.rest is not None:
            return b""
        try:
            line = self._output.readline()
        except OSError as exc:
            raise InputError(f"cannot read the output: {exc.strerror}") from exc
        if line.endswith(b"\n"):
            self.size += len(line)
            return line
        self.rest = self.size
        if line:
            try:
                check_torn(line, index)
            except OutputMismatch as exc:
                raise NotItsOutput(str(exc)) from exc
        return b""

    def _check_end(self) -> None:
        """Check that the output ends with the input."""
        if self._next_line(self.records):
            has = counted(self.records, "record")
            raise NotItsOutput(f"line {self.records + 1}: the input has only {has}")

    def read_ahead(self) -> Sequence[Record]:
        """Return nothing: the lines of records that were not handed out stay."""
        return ()

    def total(self) -> Total | None:
        return self._source.total()


class MendSink:
    """A sink that writes results between the lines of the old output that stay.

    Args:
        sink: Writes the results.
        old: Descriptor of the old output.
        new: Writes to its new version; `sink` does, too.

    Attributes:
        position: Offset in the old output of the next line to copy or to replace.
        has_written: Called with the number of invalid records among the results just written.
    """

    def __init__(self, sink: ResultSink, old: int, new: FileSink) -> None:
        self._sink = sink
        self._old = old
        self._new = new
        self.position = 0
        self.has_written: Callable[[int], None] | None = None

    def __repr__(self) -> str:
        return f"<MendSink: at byte {self.position}>"

    async def put(self, results: Sequence[Result]) -> None:
        records = [result.source for result in results]
        first = 0
        for index, record in enumerate(records):
            assert isinstance(record, MendRecord)  # the source yields no others
            is_next = index + 1 < len(records) and _start_of(records[index + 1]) == record.end
            if not is_next:
                await self.copy(_start_of(records[first]))
                await self._sink.put(results[first : index + 1])
                self.position = record.end
                first = index + 1
        if self.has_written:
            self.has_written(sum(record.error is not None for record in records))

    async def copy(self, end: int) -> None:
        """Copy the old output up to an offset.

        Raises:
            OutputError: It cannot be read, or the new version cannot be written.
        """
        while self.position < end:
            try:
                data = os.pread(self._old, min(_COPIED_AT_ONCE, end - self.position), self.position)
            except OSError as exc:
                raise OutputError(f"cannot read the output: {exc.strerror}") from exc
            if not data:
                raise OutputError("cannot read the output: another program has cut it")
            await self._new.write(data)
            self.position += len(data)
            await trio.lowlevel.checkpoint()  # so that a long copy keeps no call waiting

    async def consumer_gone(self) -> None:
        await self._sink.consumer_gone()

    def hurry(self, patience: float) -> None:
        self._sink.hurry(patience)


def _start_of(record: Record) -> int:
    assert isinstance(record, MendRecord)
    return record.start
