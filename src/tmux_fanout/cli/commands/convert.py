"""The `convert` command: write an output in another form."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import trio

from tmux_fanout.cli.arguments.form import choose_emit, choose_table, harmless_lines
from tmux_fanout.cli.commands.inputs import (
    OUTPUT,
    check_paths,
    check_standard_streams,
    check_stdout,
    open_result,
)
from tmux_fanout.cli.output import Destination, check_name, open_output
from tmux_fanout.cli.stderr import complain, warn
from tmux_fanout.core.conversion.converter import LineConverter, check_envelope
from tmux_fanout.core.conversion.table import ResultTable
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError, InputError, OutputClosed, OutputError
from tmux_fanout.core.records.framing import Line, Overlong
from tmux_fanout.core.results.ledger import Verdict
from tmux_fanout.core.results.output_line import Damaged
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.sink import LineSink
from tmux_fanout.engine.io.source import LineReader

STDOUT = 1
_ADVICE = "use -e merge, -e body, or -e csv or tsv with --columns"


def convert_command(closed: Sequence[int], path: str, **options: Any) -> int:
    """Run the `convert` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        path: of the output of a run.
        options: as in `options.CONVERT_OPTIONS`.
    """
    try:
        given = [name for name, value in options.items() if value is not None]
        if options["emit"] is None and options["columns"] is None:
            raise ConfigError(f"no form to convert to: {_ADVICE}")
        options["emit"] = choose_emit(options, given)
        table = choose_table(options)
        conversion = _Conversion(path, options["emit"], table)
        check_paths([path], closed, OUTPUT)
        check_standard_streams([path])
        destination = _destination(options, closed)
        lines = open_result(path)
        try:
            output = open_output(destination, [path])
            try:
                status = trio.run(conversion.run, lines, output, strict_exception_groups=True)
                if output and status:
                    output.discard()
            except ConfigError:
                if output:
                    output.discard()
                raise
            finally:
                if output:
                    output.close()
        finally:
            lines.close()
    except ConfigError as exc:
        complain(str(exc))
        return 2
    for note in table.notes if table else ():
        warn(note)
    return status


def _destination(options: dict[str, Any], closed: Sequence[int]) -> Destination:
    path = None if options["output"] == "-" else options["output"]
    force = bool(options["force"])
    if path is None:
        if force:
            raise ConfigError("--force without --output: add -o FILE")
        check_stdout(closed)
    else:
        check_name(path)
    return Destination(path, resume=False, force=force, may_resume=False)


class _NotAnEnvelope(Exception):
    """A line cannot be converted; the text says which, and why."""


class _Conversion:
    """Converts one file.

    Args:
        path: of the file.
        emit: the form to convert to.
        table: what writes rows, if that is a table.
    """

    def __init__(self, path: str, emit: Any, table: ResultTable | None) -> None:
        self._shown = "standard input" if path == "-" else printable(path)
        self._table = table
        self._convert: Callable[[bytes], bytes] = (
            (lambda line: table.row(check_envelope(line))) if table else LineConverter(emit).convert
        )
        self._header = table.header if table else b""
        self._line = 0

    async def run(self, lines: LineReader, output: OutputFile | None) -> int:
        """Convert all lines, and return the exit status."""
        if output and output.size:
            output.truncate(0)
        writer = output.sink() if output else LineSink(STDOUT)
        try:
            is_torn = await self._copy(lines, writer, os.isatty(output.fd if output else STDOUT))
            if isinstance(writer, FileSink):
                writer.finish()
        except OutputClosed:
            return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
        except _NotAnEnvelope as exc:
            complain(str(exc))
            return Verdict.FOREIGN
        except (InputError, OutputError) as exc:
            complain(str(exc))
            return Verdict.INCOMPLETE
        if is_torn:
            advice = "complete it with --resume, and convert it again"
            complain(f"{self._shown} ends in the middle of a line, which is left out: {advice}")
        return Verdict.INCOMPLETE if is_torn else Verdict.COMPLETE

    async def _copy(
        self, lines: LineReader, writer: FileSink | LineSink, on_terminal: bool
    ) -> bool:
        """Write all lines; return whether the last one is torn."""
        defuse = harmless_lines(is_table=self._table is not None)
        while True:
            found = await lines.next_lines()
            whole = self._line + len(found)
            if lines.is_at_end:
                found += lines.last_lines()
            rows, error = self._converted(found)
            if lines.is_at_end and not error:
                rows += self._take_header()
            if rows:
                await writer.write(defuse(rows) if on_terminal else rows)
            if error and 0 < whole < self._line:
                return True
            if error:
                raise error
            if lines.is_at_end:
                return False

    def _converted(self, lines: Iterable[Line]) -> tuple[bytes, _NotAnEnvelope | None]:
        """Return the lines in the other form, up to one that cannot be converted."""
        rows: list[bytes] = []
        for line in lines:
            self._line += 1
            try:
                if isinstance(line, Overlong):
                    raise Damaged(f"{line.size} bytes long")
                row = self._convert(line)
            except Damaged as exc:
                where = f"{self._shown}: line {self._line} is not of --emit envelope"
                return b"".join(rows), _NotAnEnvelope(
                    f"{where}: {exc}; use the output of such a run"
                )
            rows.append(self._take_header() + row)
        return b"".join(rows), None

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header
