"""The `completion` command: a script for the shell."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from tmux_fanout.cli.commands.inputs import check_stdout
from tmux_fanout.cli.job import STDOUT
from tmux_fanout.cli.stderr import complain
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError

_PROGRAM = "tmux-fanout"
_VARIABLE = "_TMUX_FANOUT_COMPLETE"  # that click looks at, by the name of the program


_ADD = "COMPREPLY+=($value)"


class _Bash(BashComplete):
    """Bash, whose version is that of the shell which reads the script, not of one on this machine.

    It adds no space after `NAME=`, as the URL follows.
    """

    source_template = BashComplete.source_template.replace(
        _ADD, f"{_ADD}; [[ $value == *= ]] && compopt -o nospace"
    )

    @staticmethod
    def _check_version() -> None:
        pass


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


def completion_command(closed: Sequence[int], cli: click.Command, shell: str) -> int:
    """Run the `completion` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        cli: the program.
        shell: one of `types.SHELLS`.
    """
    try:
        check_stdout(closed)
        data = _SHELLS[shell](cli, {}, _PROGRAM, _VARIABLE).source().encode()
        while data:
            data = data[os.write(STDOUT, data) :]
    except ConfigError as exc:
        complain(str(exc))
        return 2
    except BrokenPipeError:
        return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
    return 0
