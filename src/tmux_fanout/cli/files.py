"""The options `--failed` and `--summary-file`, and the files that these and `--output` open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import trio

from tmux_fanout.cli.job import STDOUT
from tmux_fanout.cli.output import Destination, check_name, open_output
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.parser import InputFormat
from tmux_fanout.core.results.compression import is_compressed
from tmux_fanout.core.results.dead_letters import one_format
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.dead_letters import check_columns
from tmux_fanout.engine.io.output_file import OutputFile
from tmux_fanout.engine.io.source import STDIN

_STDOUT = "-"
_OPTION = "--failed"
_SUMMARY = "--summary-file"
_USE_A_FILE = "standard output is for results: use a file"
_SAME = "results go there, too: use another file"
_SUMMARY_STARTS = b'{"version":'


class Failed(NamedTuple):
    """Where dead letters go, and in which format."""

    destination: Destination
    input_format: InputFormat


class Files(NamedTuple):
    """The files open for writing; an `output` of None is standard output."""

    output: OutputFile | None
    failed: OutputFile | None
    summary: OutputFile | None


def choose_failed(
    options: Mapping[str, Any], output: Destination, inputs: Sequence[str]
) -> Failed | None:
    """Return where the options send dead letters; None if nowhere.

    Args:
        options: merged with the configuration file.
        output: where results go; its rules apply to dead letters, too.
        inputs: paths of the input.

    Raises:
        ConfigError: options contradict each other.
    """
    path = options["failed"]
    if path is None:
        return None
    if path == _STDOUT:
        raise ConfigError(f"{_OPTION}: {_USE_A_FILE}")
    check_name(path, _OPTION)
    if output.resume and is_compressed(path):
        raise ConfigError(f"{_OPTION}: --resume cannot continue a compressed file: use another")
    _check_differs(path, output.path, _OPTION, _SAME)
    destination = Destination(path, output.resume, output.force)
    return Failed(destination, one_format(inputs, options["input_format"]))


def choose_summary(
    options: Mapping[str, Any], output: Destination, failed: Failed | None
) -> str | None:
    """Return the path of the file that the summary goes to, or None.

    Args:
        options: merged with the configuration file.
        output: where results go.
        failed: where dead letters go, or None.

    Raises:
        ConfigError: it is no file for a summary.
    """
    path: str | None = options["summary_file"]
    if path is None:
        return None
    if path == _STDOUT:
        raise ConfigError(f"{_SUMMARY}: {_USE_A_FILE}")
    if is_compressed(path):
        raise ConfigError(f"{_SUMMARY}: a summary is not compressed: drop the extension")
    _check_differs(path, output.path, _SUMMARY, _SAME)
    if failed:
        _check_differs(path, failed.destination.path, _SUMMARY, _SAME.replace("results", "records"))
    return path


def _check_differs(path: str, other: str | None, option: str, why: str) -> None:
    if other is not None and os.path.realpath(other) == os.path.realpath(path):
        raise ConfigError(f"{option}: {why}")


def check_inputs(failed: Failed | None, inputs: Sequence[str], max_line: int) -> None:
    """Check that one file can hold the lines of all inputs.

    Raises:
        ConfigError: it cannot, since their columns differ.
    """
    if failed and failed.input_format in ("csv", "tsv") and len(inputs) > 1:
        trio.run(check_columns, inputs, failed.input_format, max_line)


@contextmanager
def open_files(
    output: Destination, failed: Failed | None, summary: str | None, inputs: Sequence[str]
) -> Iterator[Files]:
    """Open the files for the duration of the block.

    Raises:
        ConfigError: one cannot be opened; then none has been changed.
    """
    opened: list[OutputFile] = []
    report: OutputFile | None = None

    def keep(file: OutputFile | None) -> OutputFile | None:
        opened.extend([file] if file else [])
        return file

    stdout = STDOUT if output.path is None else output.path
    try:
        try:
            letters = keep(open_output(failed.destination, inputs, _OPTION) if failed else None)
            if letters and letters.is_same(stdout):
                raise ConfigError(f"{_OPTION}: {_SAME}")
            report = keep(None if summary is None else _open_summary(summary, inputs))
            if report and report.is_same(stdout):
                raise ConfigError(f"{_SUMMARY}: {_SAME}")
            results = keep(open_output(output, inputs))
        except ConfigError:
            for file in opened:
                file.discard()
            raise
        if output.force:
            for each in (None if output.mend else results, letters):
                if each and each.size:
                    empty(each, "--force")
        yield Files(results, letters, report)
    finally:
        for file in opened:
            if file is report:
                file.discard()  # it was not written, for the run never began
            file.close()


def _open_summary(path: str, inputs: Sequence[str]) -> OutputFile:
    """Open the file of the summary, which stays as it is until `empty`.

    Raises:
        ConfigError: it cannot be written, is one of the inputs, or holds anything but a summary.
    """
    is_free = _is_summary(path)
    try:
        file = OutputFile(path)
    except ConfigError as exc:
        raise ConfigError(f"{_SUMMARY}: {exc}") from None
    why = ""
    if any(file.is_same(0 if each == STDIN else each) for each in inputs):
        why = "is an input, too: use another file"
    elif file.size and not is_free:
        why = "is not a summary: use another file, or remove it"
    if why:
        file.close()
        raise ConfigError(f"{_SUMMARY}: {printable(repr(path))} {why}")
    return file


def _is_summary(path: str) -> bool:
    """Return whether a file begins as a summary does."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_SUMMARY_STARTS)) == _SUMMARY_STARTS
    except OSError:
        return False


def empty(file: OutputFile, option: str = _SUMMARY) -> None:
    """Remove what a file holds, for what is to be written.

    Raises:
        ConfigError: that cannot be done.
    """
    try:
        if file.is_regular:
            file.truncate(0)
    except OSError as exc:
        shown = printable(repr(file.path))
        why = f"{option}: {shown} cannot be overwritten, {exc.strerror}: use another file"
        raise ConfigError(why) from None
