"""Results into lines, dead letters and reports, in the order in which they leave the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol

from tmux_fanout.core.errors import OutputError
from tmux_fanout.core.results.containment import encode_lines
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.io.dead_letters import DeadLetterSink


class Writer(Protocol):
    """Writes lines; see `engine.io.sink.LineSink` and `engine.io.output_file.FileSink`."""

    async def write(self, lines: bytes) -> None: ...

    async def consumer_gone(self) -> None: ...

    def hurry(self, patience: float) -> None: ...


class ResultSink:
    """A sink that encodes, reports and writes results, the dead letters among them first.

    Encoding comes before all else, since a result that cannot be encoded turns out not to be ok.

    Args:
        encode: returns the line of a result.
        writer: writes the lines.
        letters: writes the dead letters among the results, or None.
        report: called with the results, to report them, or None.
        notify: called with each notice.
        header: comes before the first line, which makes the output a table.
        on_terminal: whether the writer writes to a terminal.

    Attributes:
        hide_display: hides a live display of progress while something is written.  Whoever shows
            one sets it; by default there is no display.
    """

    def __init__(
        self,
        encode: Callable[[Result], bytes],
        writer: Writer,
        letters: DeadLetterSink | None,
        report: Callable[[Sequence[Result]], None] | None,
        notify: Callable[[str], None],
        *,
        header: bytes = b"",
        on_terminal: bool,
    ) -> None:
        self._encode = encode
        self._writer = writer
        self._letters = letters
        self._report = report
        self._notify = notify
        self._header = header
        self._is_table = bool(header)
        self._on_terminal = on_terminal
        self.hide_display: Callable[[], AbstractContextManager[None]] = nullcontext
        self._is_writing = False
        self._held: list[Callable[[], None]] = []  # those that came meanwhile

    def __repr__(self) -> str:
        return f"<ResultSink: {self._writer!r}>"

    async def put(self, results: Sequence[Result]) -> None:
        lines = b"".join(encode_lines(self._encode, results))
        if self._report:
            with self.hide_display():
                self._report(results)
        if self._letters:
            await self._letters.put(results)
        await self._write(lines)

    async def finish(self) -> None:
        """Write the header, if there was no line to come after it.

        Raises:
            OutputError: It cannot be written.
        """
        if self._header:
            await self._write(b"")

    async def _write(self, lines: bytes) -> None:
        data, self._header = (self._header + lines if self._header else lines), b""
        write = self._write_to_terminal if self._on_terminal else self._writer.write
        try:
            await write(data)
        except OutputError as exc:
            if self._is_table:
                exc.whole = 0  # not known: a row may hold line breaks
            raise

    async def _write_to_terminal(self, lines: bytes) -> None:
        """Write lines, with no notice in the middle of one."""
        with self.hide_display():
            self._is_writing = True
            try:
                await self._writer.write(lines)
            finally:
                self._is_writing = False
                for write in self._held:
                    write()
                self._held.clear()

    def notify(self, text: str) -> None:
        """Pass a notice to the user, beside the results."""
        self.write_beside(partial(self._notify, text))

    def write_beside(self, write: Callable[[], None]) -> None:
        """Have something written to standard error, not in the middle of a line of results."""
        if self._is_writing:
            self._held.append(write)
            return
        with self.hide_display():
            write()

    async def consumer_gone(self) -> None:
        await self._writer.consumer_gone()

    def hurry(self, patience: float) -> None:
        if self._letters:
            self._letters.hurry(patience)
        self._writer.hurry(patience)
