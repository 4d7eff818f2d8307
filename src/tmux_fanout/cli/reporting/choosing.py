"""Which reports a run makes on standard error, and whether it is shown live."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tmux_fanout.cli.progress import can_draw, ends_on_terminal, is_terminal
from tmux_fanout.cli.reporting.conclusion import Reports
from tmux_fanout.cli.stderr import STDERR, warn
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.engine.io.source import STDIN

_STDOUT = 1


def choose_reports(options: Mapping[str, Any], paths: Sequence[str], output: str | None) -> Reports:
    """Return the reports that the options ask for.

    Args:
        options: as in `options.RUN_OPTIONS`.
        paths: of the input.
        output: path of the results; None: standard output.

    Raises:
        ConfigError: the full-screen view is asked for on a terminal that has another use.
    """
    quiet, on_terminal = options["quiet"], os.isatty(STDERR)
    summary = options["summary"]
    if summary == "auto":
        summary = "none" if quiet else "table" if on_terminal else "line"
    display, can_show = options["display"], can_draw(os.environ)
    if display == "full":
        if can_show:
            _check_terminal_is_free(paths, output, options["failed"])
        elif not quiet:
            warn("--display full: standard error is not a terminal, so nothing is shown")
    progress = options["progress"]
    if progress is None:
        is_typed = STDIN in paths and os.isatty(0)
        is_busy = is_typed or (output is None and ends_on_terminal(_STDOUT))
        progress = not (quiet or is_busy or os.environ.get("CI"))
    return Reports(
        summary=summary,
        progress=display == "auto" and progress and can_show,
        verbose=-1 if quiet else options["verbose"],
        is_strict=options["strict"],
        is_full=display == "full" and can_show,
    )


def _check_terminal_is_free(paths: Sequence[str], output: str | None, failed: str | None) -> None:
    """Check that nothing but the full-screen view uses the terminal."""
    why = ""
    if STDIN in paths and os.isatty(0):
        why = "records are typed on the same terminal: name a FILE, or pipe them in"
    elif is_terminal(_STDOUT if output is None else output):
        why = "results would go to the same terminal: add -o FILE"
    elif output is None and ends_on_terminal(_STDOUT):
        why = "the program that reads the results writes to the same terminal: redirect its output"
    elif failed is not None and is_terminal(failed):
        why = "--failed would go to the same terminal: use a file"
    if why:
        raise ConfigError(f"--display full: {why}")
