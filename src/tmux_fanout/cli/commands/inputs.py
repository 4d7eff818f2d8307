"""Check inputs, and the standard streams, before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tmux_fanout.cli.job import STDOUT
from tmux_fanout.cli.output import is_input
from tmux_fanout.cli.stderr import STDERR, complain
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.framing import LineFramer
from tmux_fanout.core.records.parser import InputFormat, format_by_name
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.source import STDIN, LineReader

OTHER_COMMANDS = (
    *("run", "check", "completion", "convert", "demo", "explain", "plan", "presets", "report"),
    *("test", "verify"),
)
RECORDS, OUTPUT = "a file of records", "the output of a run"  # what a path should be of
_MAX_RESULT = 1 << 30  # bytes of a line
_FLAGS = ("help", "version")  # that may be taken for commands


def check_no_configuration(paths: Sequence[str], input_format: InputFormat | None) -> None:
    """Check that no FILE is meant as the configuration file.

    Args:
        paths: the inputs.
        input_format: as on the command line.

    Raises:
        ConfigError: one is.
    """
    for path in paths:
        if path.endswith(".toml") and input_format is None and "://" not in path:
            shown = printable(path)
            why = f"{shown!r} is a configuration file, and a FILE has records: use -c {shown}"
            raise ConfigError(why)


def check_stdout(closed: Sequence[int]) -> None:
    """Check that standard output was not closed at the start.

    Raises:
        ConfigError: it was.
    """
    if STDOUT in closed:
        raise ConfigError("standard output is closed: send it to a file, or to /dev/null")


def check_standard_streams(inputs: Sequence[str]) -> None:
    """Check that nothing written to standard output or standard error would be read as input.

    Raises:
        ConfigError: it would, so that a run might never end.
    """
    for fd, name in ((STDOUT, "output"), (STDERR, "error")):
        if is_input(fd, inputs):
            raise ConfigError(f"standard {name} goes to an input: send it to another file")


def check_paths(
    paths: Sequence[str], closed: Sequence[int], wanted: str = RECORDS
) -> Sequence[str]:
    """Return the paths if all of them seem readable.

    Args:
        paths: of files, or `-` for standard input.
        closed: standard descriptors that were closed at the start.
        wanted: what the files should be, for messages.

    Raises:
        ConfigError: one is not.
    """
    for path in paths:
        if path == STDIN:
            if 0 in closed:
                raise ConfigError("standard input is closed: name a FILE, or pipe records in")
        elif "://" in path:  # not shown: it may hold a secret
            raise ConfigError("a URL is not a FILE: use -a NAME=URL")
        elif os.path.isdir(path):
            raise ConfigError(f"{path!r} is a directory: use {wanted}")
        elif not os.access(path, os.R_OK):
            raise ConfigError(_unreadable(path, wanted))
    return paths


def announce_typing(paths: Sequence[str]) -> None:
    """Say so if records are to be typed, since nothing happens until they are."""
    if STDIN in paths and os.isatty(0):
        complain("reading records from the terminal; Ctrl-D ends")


def _unreadable(path: str, wanted: str) -> str:
    """Return why a path cannot be read, and what may have been meant by it."""
    if os.path.exists(path):
        return f"{path!r} is not readable: use {wanted}, or - for standard input"
    near = get_close_matches(path, OTHER_COMMANDS, n=1, cutoff=0.7)
    if path in _FLAGS:
        return f"{path!r} does not exist: did you mean tmux-fanout --{path}?"
    if near == [path]:
        advice = f"if you mean the command, put it first: tmux-fanout {path}"
    elif near:
        advice = f"did you mean the command, tmux-fanout {near[0]}?"
    else:
        advice = f"use {wanted}, or - for standard input"
    return f"{path!r} does not exist: {advice}"


def open_result(path: str) -> LineReader:
    """Open the output of a run, which may be compressed; `-` is standard input.

    Raises:
        ConfigError: it cannot be opened.
    """
    try:
        return LineReader(path, LineFramer(_MAX_RESULT))
    except OSError as exc:
        why = f"cannot open {printable(path)}, {exc.strerror}: use a file that can be read"
        raise ConfigError(why) from exc


def check_dialect(
    options: Mapping[str, Any], paths: Sequence[str], input_format: InputFormat | None
) -> None:
    """Check that options for tables are given only if an input is one.

    Args:
        options: as they are on the command line.
        paths: the inputs.
        input_format: of all of them; None: by file extension.

    Raises:
        ConfigError: none is.
    """
    formats = {input_format or format_by_name(path) for path in paths}
    for name in ("delimiter", "quote"):
        if options[name] is not None and not formats & {"csv", "tsv"}:
            raise ConfigError(f"--{name} is for csv and tsv: add -i csv, or -i tsv")
