"""File and flags as the command merges them, without a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tmux_fanout.cli.configuration import Configuration, configure
from tmux_fanout.cli.options import FILES, RUN_OPTIONS


def options(*args: str) -> dict[str, Any]:
    """The options of `run`, as click has them."""
    command = click.Command("run", params=[FILES, *RUN_OPTIONS])
    return command.make_context("run", list(args)).params


def configured(*args: str, env: Mapping[str, str] | None = None) -> Configuration:
    """What the arguments and the file in the working directory come to."""
    return configure(options(*args), env or {})
