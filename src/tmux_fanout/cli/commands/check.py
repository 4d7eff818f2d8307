"""The `check` command: print what would run, and send nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from tmux_fanout.cli.commands.crew import ask_cluster
from tmux_fanout.cli.commands.run import prepare, source_of
from tmux_fanout.cli.commands.trial import check_effects
from tmux_fanout.cli.configuration import RUN_KEYS, Configuration
from tmux_fanout.cli.reporting.conclusion import settings_of
from tmux_fanout.cli.stderr import complain, complain_of, say, warn
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.core.config.show import show_config
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.report.nothing import never_true
from tmux_fanout.core.version import __version__


def check_command(closed: Sequence[int], **options: Any) -> int:
    """Run the `check` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        options: as in `options.RUN_OPTIONS`.
    """
    try:
        job = prepare(closed, options, os.environ, use="check")
        if job.configuration.options["strict"]:
            check_effects(job.configuration.plan, job.paths, source_of(job))
    except ConfigError as exc:
        complain_of(exc)
        return 2
    configuration = job.configuration
    if not configuration.options["quiet"]:
        for text in never_true(settings_of(configuration.plan)):
            warn(text)
    settings = RunSettings.__struct_fields__
    own = {key: configuration.options[key] for key in RUN_KEYS if key not in settings}
    file = configuration.origin
    origin = f"{file} and the options" if file is not None else "the options"
    text = f"# What would run by {origin}; secrets are hidden.\n"
    text += show_config(configuration.apis, configuration.settings, configuration.plan, own)
    try:
        sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for buffered output
        return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
    return 0 if configuration.options["cluster"] is None else _check_cluster(configuration)


def _check_cluster(configuration: Configuration) -> int:
    """Print which members of the cluster are ready, and why others are not; return the status."""
    try:
        with ask_cluster(configuration) as crew:
            for worker in crew.first():
                say(f"{worker.name}: tmux-fanout {__version__}, ready")
            refusals = list(crew.refused())
    except ConfigError as exc:
        complain_of(exc)
        return 2
    for refusal in refusals:
        complain(refusal)
    return 2 if refusals else 0
