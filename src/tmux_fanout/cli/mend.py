"""The option `--mend`: write an output anew, with its failed calls made again."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from tmux_fanout.cli.output import CannotResume, CheckProgress
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import InputError, OutputError
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.mend import MendSink, MendSource, NotItsOutput
from tmux_fanout.engine.io.output_file import FileSink, OutputFile
from tmux_fanout.engine.io.replacement import Replacement
from tmux_fanout.engine.io.result_sink import ResultSink
from tmux_fanout.engine.io.source import STDIN, FileSource
from tmux_fanout.engine.run.pipeline import Pipeline


class Mend:
    """A run that mends a file.

    Args:
        output: the file, open for reading, too.
        source: the input, from its start.
        names: of the APIs.
        fingerprint: of the settings; the new version of the file is marked with it.

    Attributes:
        source: yields the records to mend.
        writer: writes the new version of the file.

    Raises:
        ConfigError: no new version can be created beside the file.
    """

    def __init__(
        self, output: OutputFile, source: FileSource, names: Sequence[str], fingerprint: bytes
    ) -> None:
        self._output = output
        self._replacement = Replacement(output, fingerprint)
        self._reader = output.reader()
        self.source = MendSource(source, self._reader, names)
        self.writer: FileSink = self._replacement.sink()
        self._sink: MendSink | None = None

    def __repr__(self) -> str:
        return f"<Mend {self._output.path}: {self.source!r}>"

    @property
    def _path(self) -> str:
        return printable(repr(self._output.path))

    def sink(self, results: ResultSink) -> MendSink:
        """Return the sink of the run, around the one that writes results to `writer`."""
        self._sink = MendSink(results, self._output.fd, self.writer)
        return self._sink

    def count_in(self, run: Pipeline) -> None:
        """Have the statistics of a run count the invalid records that pass through it as kept."""
        assert self._sink
        self._sink.has_written = lambda invalid: run.statistics.keep(0, invalid)

    async def copy_rest(self, run: Pipeline) -> None:
        """Copy what follows the last record of a run that has ended."""
        assert self._sink
        run.statistics.mended = run.statistics.ok
        run.statistics.keep(self.source.kept, 0)
        if isinstance(run.error, (OutputError, NotItsOutput)):
            return
        try:
            rest = self.source.rest
            await self._sink.copy(self._output.size if rest is None else rest)
        except OutputError as exc:
            _break(run, exc)

    def swap(self, run: Pipeline, notify: Callable[[str], None]) -> None:
        """Put the new version in place of the file, unless something is wrong with it.

        Args:
            run: the run, with its outputs flushed.
            notify: called with one line if the run has not reached the end of the file.

        Raises:
            CannotResume: the file turned out to belong to another input.
        """
        source = self.source
        if isinstance(run.error, NotItsOutput):
            raise CannotResume(_refusal(self._path, run.error), status=3) from run.error
        try:
            if not isinstance(run.error, OutputError) and source.records > _kept(source):
                self._replacement.swap()
        except OutputError as exc:
            _break(run, exc)
        if isinstance(run.error, OutputError):
            run.error = OutputError(f"{run.error}; {self._path} is as it was")
        elif run.ending is not Ending.FINISHED:
            notify(f"{self._path} is mended up to record {source.records:,}; the rest is as it was")

    def close(self) -> None:
        """Close everything but the file, and leave nothing beside it."""
        self._reader.close()
        self._replacement.close()


def _break(run: Pipeline, error: OutputError) -> None:
    run.error = error
    if run.ending is Ending.FINISHED:
        run.ending = Ending.OUTPUT_BROKEN


def _kept(source: MendSource) -> int:
    return source.kept + source.invalid


async def check_mendable(
    output: OutputFile, source: FileSource, names: Sequence[str], *, shows_progress: bool
) -> None:
    """Check a file against the whole input, before anything is sent.

    Args:
        output: the file.
        source: the input, from its start; of no use afterwards.
        names: of the APIs.
        shows_progress: whether to show how much has been checked.

    Raises:
        CannotResume: file and input do not match, or cannot be read.
    """
    progress = CheckProgress(output)
    try:
        with output.reader() as reader:
            report_size = progress.show if shows_progress else None
            checked = MendSource(source, reader, names, report_size)
            while await checked.next_chunk():
                pass
    except NotItsOutput as exc:
        raise CannotResume(_refusal(printable(repr(output.path)), exc), status=3) from exc
    except InputError as exc:
        raise CannotResume(f"{exc}; nothing was changed", status=1) from exc
    finally:
        progress.hide()
        source.close()


def can_read_twice(paths: Sequence[str]) -> bool:
    """Return whether all of these inputs are files that can be read from the start once more."""
    return all(path != STDIN and stat.S_ISREG(os.stat(path).st_mode) for path in paths)


def _refusal(path: str, error: NotItsOutput) -> str:
    why = f"--mend: {path} is not the output for this input: {error}; use the input that it was "
    return why + "made from, and at least its APIs, in the same order; nothing was changed"
