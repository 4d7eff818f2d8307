"""The option `--failed`, and the files that it and `--output` open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import trio

from tmux_fanout.cli.configuration import Configuration
from tmux_fanout.cli.job import STDOUT
from tmux_fanout.cli.output import Destination, check_name, open_output
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.parser import InputFormat, format_by_name
from tmux_fanout.core.results.compression import is_compressed
from tmux_fanout.core.results.dead_letters import one_format
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.dead_letters import check_headers
from tmux_fanout.engine.io.output_file import OutputFile

_STDOUT = "-"
_OPTION = "--failed"
_SAME = f"{_OPTION}: results go there, too: use another file"


class Failed(NamedTuple):
    """Where dead letters go, and in which format."""

    destination: Destination
    input_format: InputFormat


class Files(NamedTuple):
    """The files open for writing; an `output` of None is standard output."""

    output: OutputFile | None
    failed: OutputFile | None


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
        raise ConfigError(f"{_OPTION}: standard output is for results: use a file")
    check_name(path, _OPTION)
    if output.resume and is_compressed(path):
        raise ConfigError(f"{_OPTION}: --resume cannot continue a compressed file: use another")
    if output.path is not None and os.path.realpath(output.path) == os.path.realpath(path):
        raise ConfigError(_SAME)
    destination = Destination(path, output.resume, output.force)
    return Failed(destination, one_format(inputs, options["input_format"]))


def check_tables(
    configuration: Configuration, failed: Failed | None, inputs: Sequence[str]
) -> None:
    """Check the header rows of the inputs that are tables.

    Raises:
        ConfigError: one cannot be used, or one file of dead letters cannot hold the rows of all.
    """
    input_format = configuration.options["input_format"]
    tables = [path for path in inputs if (input_format or format_by_name(path)) in ("csv", "tsv")]
    if tables:
        trio.run(
            partial(
                check_headers,
                tables,
                input_format,
                configuration.dialect,
                configuration.plan.settings.max_line,
                one_header=failed is not None,
            )
        )


@contextmanager
def open_files(
    output: Destination, failed: Failed | None, inputs: Sequence[str]
) -> Iterator[Files]:
    """Open both files for the duration of the block.

    Raises:
        ConfigError: one cannot be opened; then neither has been changed.
    """
    letters = open_output(failed.destination, inputs, _OPTION) if failed else None
    results = None
    try:
        try:
            if letters and letters.mixes_with(STDOUT if output.path is None else output.path):
                raise ConfigError(_SAME)
            results = open_output(output, inputs)
        except ConfigError:
            if letters:
                letters.discard()
            raise
        if output.force:
            for file in (None if output.mend else results, letters):
                if file and file.size:
                    _empty(file)
        yield Files(results, letters)
    finally:
        for file in (results, letters):
            if file:
                file.close()


def _empty(file: OutputFile) -> None:
    try:
        file.truncate(0)
    except OSError as exc:
        shown = printable(repr(file.path))
        why = f"--force: {shown} cannot be overwritten, {exc.strerror}: use another file"
        raise ConfigError(why) from None
