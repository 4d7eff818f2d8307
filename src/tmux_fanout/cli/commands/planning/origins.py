"""The option `--from`: outputs of runs, and what `run --learn` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from tmux_fanout.cli.commands.inputs import open_result
from tmux_fanout.cli.stderr import warn
from tmux_fanout.core.errors import ConfigError, InputError
from tmux_fanout.core.planning.learned import HEADER, parse_learned
from tmux_fanout.core.planning.sources import Knowledge
from tmux_fanout.core.records.framing import Line, Overlong
from tmux_fanout.core.results.output_line import Damaged, parse_written
from tmux_fanout.core.text import counted, printable
from tmux_fanout.engine.configuration.files import read_config
from tmux_fanout.engine.io.source import STDIN

SOURCE = "an output of --emit envelope, or what `run --learn` wrote"


async def learn_from(knowledge: Knowledge, path: str) -> None:
    """Take over what the file of a `--from` says.

    Raises:
        ConfigError: it is neither an output nor what `--learn` wrote, or cannot be read.
    """
    shown = "standard input" if path == STDIN else printable(path)
    lines = damaged = 0
    with closing(open_result(path)) as reader:
        while not reader.is_at_end:
            try:
                found = await reader.next_lines()
            except InputError as exc:
                raise ConfigError(f"--from: {exc}") from None
            if not lines and found and _is_learned(found[0], path):
                knowledge.add_learned(parse_learned(read_config(path), shown), shown)
                return
            damaged += _add(knowledge, found, shown)
            lines += len(found)
        found = reader.last_lines()
    damaged += _add(knowledge, found, shown)
    if lines + len(found) == damaged:
        raise ConfigError(f"--from: {shown} has no results: use {SOURCE}")
    if damaged:
        warn(f"--from: {counted(damaged, 'line')} of {shown} cannot be read and count for nothing")


def _is_learned(line: Line, path: str) -> bool:
    return isinstance(line, bytes) and (line.startswith(HEADER.encode()) or path.endswith(".toml"))


def _add(knowledge: Knowledge, lines: Sequence[Line], origin: str) -> int:
    """Take over lines of output, and return the number of those that are none."""
    damaged = 0
    for line in lines:
        try:
            if isinstance(line, Overlong):
                raise Damaged("too long")
            knowledge.add_line(parse_written(line), origin)
        except Damaged:
            damaged += 1
    return damaged
