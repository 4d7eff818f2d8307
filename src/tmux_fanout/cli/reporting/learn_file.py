"""The option `--learn`: a file of what a run has found out, for the next run and for `plan`."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from tempfile import NamedTemporaryFile

from tmux_fanout.cli.arguments.replaceable import check_replaceable
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.planning.learned import HEADER, write_learned
from tmux_fanout.core.text import printable
from tmux_fanout.engine.run.pipeline import Pipeline

_OPTION = "--learn"
_STDOUT = "-"


def check_learn_file(path: str | None, others: Sequence[str | None]) -> None:
    """Check that what a run learns may be written to a file: there is none, or it holds just that.

    Args:
        path: as it is given, or None.
        others: paths of the inputs and of all other outputs of the run.

    Raises:
        ConfigError: it may not.
    """
    if path is None:
        return
    shown = printable(repr(path))
    if path == _STDOUT:
        raise ConfigError(f"{_OPTION}: standard output is for results: use a file")
    if any(other is not None and _is_one(path, other) for other in others):
        raise ConfigError(f"{_OPTION}: {shown} has another use: use another file")
    unlike = "does not come from an earlier --learn"
    check_replaceable(path, _OPTION, begins=HEADER.encode(), unlike=unlike)


def _is_one(path: str, other: str) -> bool:
    return os.path.realpath(other) == os.path.realpath(path)


def keep_learned(path: str, run: Pipeline, plan: RunPlan) -> None:
    """Write what a run has learned, in one step; a run without requests leaves the file as it is.

    Raises:
        ConfigError: it cannot be written.
    """
    if not run.statistics.attempts:
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S %z")
    text = write_learned(run.statistics, plan, run.last_loads, when=when)
    target = os.path.realpath(path)
    try:
        _replace(target, text.encode())
    except OSError as exc:
        why = f"{printable(repr(path))} cannot be written: {exc.strerror}"
        raise ConfigError(f"{_OPTION}: {why}") from None


def _replace(target: str, data: bytes) -> None:
    folder, name = os.path.split(target)
    with NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), _mode_of(target))
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(file.name)
            raise


def _mode_of(target: str) -> int:
    """Return the permissions of a file, or those that a new one gets."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
