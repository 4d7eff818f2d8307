"""Merge configuration file and options as the command does, without starting a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmux_fanout.cli.configuration import Configuration, configure
from tmux_fanout.cli.help import RunCommand
from tmux_fanout.cli.options import FILES, RUN_OPTIONS


def options(*args: str) -> dict[str, Any]:
    """Return the options of `run` as click parses them."""
    command = RunCommand("run", params=[FILES, *RUN_OPTIONS])
    return command.make_context("run", list(args)).params


def configured(*args: str, env: Mapping[str, str] | None = None) -> Configuration:
    """Return the configuration from the arguments and the working directory's file."""
    return configure(options(*args), env or {})
