"""Reading an output and its input side by side, for the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.core.errors import InputError, OutputError
from tmux_fanout.core.records.decompression import CannotDecompress, Decompressor
from tmux_fanout.core.records.framing import Line, LineFramer
from tmux_fanout.core.results.ledger import Ledger
from tmux_fanout.engine.io.source import InputFile, shown_path
from tmux_fanout.engine.io.streams import Source

_LONGEST = 1 << 30  # bytes of a line of output that is looked at
_LINES_TO_TELL = 1000  # without an envelope among them, there is none


class NoEnvelopes(Exception):
    """The file is not what `--emit envelope` writes."""


class LineSource:
    """The lines of a file, which may be compressed; `-` is standard input.

    Attributes:
        is_torn: at the end: whether the file ended in the middle of a line.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = InputFile(path)
        self._decompressor = Decompressor()
        self._framer = LineFramer(_LONGEST)
        self.is_torn = False

    def __repr__(self) -> str:
        return f"<LineSource: {self._file!r}>"

    async def next_lines(self) -> Sequence[Line]:
        """The lines that come next, at least one; none at the end.

        Raises:
            OutputError: the file cannot be read further.
        """
        lines: list[Line] = []
        try:
            while not lines and not self.is_torn:
                if self._decompressor.needs_input:
                    data = await self._file.read()
                    if not data:
                        lines = self._framer.feed(self._decompressor.finish())
                        self.is_torn = bool(self._framer.finish())
                        return lines
                    self._decompressor.feed(data)
                await trio.lowlevel.checkpoint()
                lines = self._framer.feed(self._decompressor.take())
        except OSError as exc:
            raise self._broken(str(exc.strerror)) from exc
        except CannotDecompress as exc:
            raise self._broken(str(exc)) from exc
        return lines

    def close(self) -> None:
        """Close the file, but never standard input."""
        self._file.close()

    def _broken(self, why: str) -> OutputError:
        return OutputError(f"cannot read {shown_path(self._path)}: {why}")


async def verify(ledger: Ledger, source: Source, output: LineSource) -> str:
    """Enter all lines and all records.

    Returns:
        What kept input or output from being read to the end, or nothing.

    Raises:
        NoEnvelopes: the output is none that can be verified.
    """
    trouble = ""
    try:
        try:
            await _enter_lines(ledger, source, output)
        except OutputError as exc:
            trouble = str(exc)
        _check_envelopes(ledger)
        ledger.end_output(is_torn=output.is_torn or bool(trouble))
        while await _add_records(ledger, source):
            pass
    except InputError as exc:
        trouble = str(exc)
    return trouble


async def _enter_lines(ledger: Ledger, source: Source, output: LineSource) -> None:
    while lines := await output.next_lines():
        for line in lines:
            while not ledger.add_line(line):
                await _add_records(ledger, source)
        if ledger.lines >= _LINES_TO_TELL:
            _check_envelopes(ledger)


async def _add_records(ledger: Ledger, source: Source) -> bool:
    records = await source.next_chunk()
    ledger.add_records(records)
    return bool(records)


def _check_envelopes(ledger: Ledger) -> None:
    if ledger.lines and not ledger.envelopes:
        raise NoEnvelopes
