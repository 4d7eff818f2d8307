"""The `report` command: what runs did, from their outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from importlib.resources import files

import msgspec
import trio

from tmux_fanout.cli.arguments.form import harmless_lines
from tmux_fanout.cli.commands.inputs import (
    OUTPUT,
    check_paths,
    check_standard_streams,
    check_stdout,
    open_result,
)
from tmux_fanout.cli.output import Destination, check_name, open_output
from tmux_fanout.cli.stderr import complain, encode
from tmux_fanout.core.display.summary_json import Summary
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError, InputError, OutputClosed, OutputError
from tmux_fanout.core.records.framing import Line, Overlong
from tmux_fanout.core.results.ledger import Verdict
from tmux_fanout.core.review.collector import Collector
from tmux_fanout.core.review.figures import Figures
from tmux_fanout.core.review.notes import damage
from tmux_fanout.core.review.page import Assets, page
from tmux_fanout.core.review.text import report_text
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.sink import LineSink
from tmux_fanout.engine.io.source import STDIN, LineReader

_STDOUT_FD = 1
_ASSETS = "tmux_fanout.core.review"
_WIDTH = 100  # columns of a report as text that is not on a terminal
_MAX_SUMMARY = 1 << 24  # bytes
_MIN_WIDTH = 60
_LINES_TO_TELL = 1000  # a file without an envelope among its first lines has none


class _NoEnvelopes(Exception):
    """A file is not the output of a run."""


def report_command(
    closed: Sequence[int],
    paths: Sequence[str],
    *,
    form: str | None,
    output: str | None,
    summaries: Sequence[str],
    force: bool,
) -> int:
    """Run the `report` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        paths: outputs of runs.
        form: `text`, `json`, or None for a page.
        output: path that the report goes to; None: standard output.
        summaries: paths of the summaries of these runs, in the same order.
        force: whether to overwrite a file.
    """
    try:
        destination = _destination(closed, output, form, force)
        _check_inputs(closed, paths, summaries)
        collectors = _collectors(paths, summaries)
        with ExitStack() as stack:
            readers = [stack.enter_context(closing(open_result(path))) for path in paths]
            file = open_output(destination, [*paths, *summaries])
            if file:
                stack.callback(file.close)
                stack.callback(file.discard)  # what nothing was written to
            report = _Report(collectors, form, file)
            return trio.run(report.run, readers, strict_exception_groups=True)
    except ConfigError as exc:
        complain(str(exc))
        return 2


def _destination(
    closed: Sequence[int], output: str | None, form: str | None, force: bool
) -> Destination:
    path = None if output == "-" else output
    if path is None:
        if force:
            raise ConfigError("--force without --output: add -o FILE")
        check_stdout(closed)
        if form is None and output is None and os.isatty(_STDOUT_FD):
            raise ConfigError("the report is a page of HTML: add -o report.html, or use --text")
    else:
        check_name(path)
    return Destination(path, resume=False, force=force, may_resume=False)


def _check_inputs(closed: Sequence[int], paths: Sequence[str], summaries: Sequence[str]) -> None:
    check_paths(paths, closed, OUTPUT)
    check_paths(summaries, closed, "a summary that `run --summary-file` wrote")
    check_standard_streams([*paths, *summaries])
    if [*paths, *summaries].count(STDIN) > 1:
        raise ConfigError("standard input can only be read once: use a file for the others")
    if len(summaries) > len(paths):
        why = f"there are {len(summaries)} summaries of {len(paths)} outputs"
        raise ConfigError(f"--summary-file: {why}: give one for each OUTPUT, in the same order")


def _collectors(paths: Sequence[str], summaries: Sequence[str]) -> list[Collector]:
    found: list[Summary | None] = [_read_summary(path) for path in summaries]
    found += [None] * (len(paths) - len(found))
    return [
        Collector("standard input" if path == STDIN else path, summary)
        for path, summary in zip(paths, found)
    ]


def _read_summary(path: str) -> Summary:
    shown = "standard input" if path == STDIN else printable(repr(path))
    try:
        with open(0 if path == STDIN else path, "rb", closefd=path != STDIN) as file:
            return msgspec.json.decode(file.read(_MAX_SUMMARY), type=Summary)
    except OSError as exc:
        raise ConfigError(f"--summary-file: cannot read {shown}: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        advice = "use what `run --summary-file` of this version wrote"
        raise ConfigError(f"--summary-file: {shown} is not a summary ({exc}): {advice}") from exc


class _Report:
    """Reads outputs, and writes what they say.

    Args:
        collectors: of the outputs.
        form: as for `report_command`.
        file: that the report goes to; None: standard output.
    """

    def __init__(
        self, collectors: Sequence[Collector], form: str | None, file: OutputFile | None
    ) -> None:
        self._collectors = collectors
        self._form = form
        self._file = file

    async def run(self, readers: Sequence[LineReader]) -> int:
        """Write the report, and return the exit status."""
        status = Verdict.COMPLETE
        try:
            for collector, reader in zip(self._collectors, readers):
                status = max(status, await _read(collector, reader))
            await self._write(self._shown())
        except _NoEnvelopes as exc:
            complain(f"{exc}: no line is of --emit envelope: use the output of such a run")
            return Verdict.FOREIGN
        except OutputClosed:
            return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
        except OutputError as exc:
            complain(str(exc))
            return Verdict.INCOMPLETE
        return status

    def _shown(self) -> str:
        figures = Figures(outputs=[each.figures() for each in self._collectors])
        if self._form == "json":
            return msgspec.json.encode(figures).decode() + "\n"
        if self._form == "text":
            return report_text(figures, self._width())
        return page(figures, [each.excerpts() for each in self._collectors], _assets())

    @property
    def _fd(self) -> int:
        return self._file.fd if self._file else _STDOUT_FD

    def _width(self) -> int:
        if not os.isatty(self._fd):
            return _WIDTH
        return max(_MIN_WIDTH, os.get_terminal_size(self._fd).columns)

    async def _write(self, text: str) -> None:
        data = text.encode()
        if os.isatty(self._fd):
            is_json = self._form == "json"
            data = harmless_lines(is_table=False)(data) if is_json else encode(text)
        if self._file and self._file.size:
            self._file.truncate(0)
        sink = self._file.sink() if self._file else LineSink(self._fd)
        await sink.write(data)
        if isinstance(sink, FileSink):
            sink.finish()


async def _read(collector: Collector, reader: LineReader) -> Verdict:
    """Read an output to its end, or as far as it can be read.

    Raises:
        _NoEnvelopes: No line of it is one of --emit envelope.
    """
    error = ""
    try:
        while not reader.is_at_end:
            _add(collector, await reader.next_lines())
            _check_envelopes(collector, _LINES_TO_TELL)
        _add(collector, reader.last_lines())
    except InputError as exc:
        error = str(exc)
    _check_envelopes(collector, 1)
    for why in filter(None, (error, damage(collector))):
        complain(why)
    return Verdict.INCOMPLETE if error or collector.damaged else Verdict.COMPLETE


def _add(collector: Collector, lines: Sequence[Line]) -> None:
    for line in lines:
        if isinstance(line, Overlong):
            collector.add_damaged(f"{line.size} bytes long")
        else:
            collector.add(line)


def _check_envelopes(collector: Collector, least: int) -> None:
    if collector.lines >= least and collector.damaged == collector.lines:
        raise _NoEnvelopes(printable(collector.output))


def _assets() -> Assets:
    """Return the script and the style of the page, with the licence of the charts."""
    folder = files(_ASSETS) / "assets"
    charts = folder / "uplot"
    licence = (charts / "LICENSE").read_text("utf-8")
    scripts = (charts / "uPlot.iife.min.js", folder / "report.js")
    styles = (charts / "uPlot.min.css", folder / "report.css")
    return Assets(
        "\n".join([f"/*\n{licence}*/", *(each.read_text("utf-8") for each in scripts)]),
        "\n".join(each.read_text("utf-8") for each in styles),
    )
