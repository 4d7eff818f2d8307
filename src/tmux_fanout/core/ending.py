"""The endings of a run, and the exit status of each."""

from __future__ import annotations

import enum

from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.units import show_duration


class Ending(enum.Enum):
    """Why a run ended."""

    FINISHED = "finished"
    INPUT_BROKEN = "input broke off"
    OUTPUT_BROKEN = "output failed"
    OUTPUT_CLOSED = "output closed"
    DEADLINE = "deadline"
    GIVEN_UP = "given up"
    COST_LIMIT = "cost limit"
    SIGHUP = "SIGHUP"
    SIGINT = "SIGINT"
    SIGTERM = "SIGTERM"
    WORKERS_GONE = "death of all worker processes"


_STATUS = {
    Ending.INPUT_BROKEN: 1,
    Ending.OUTPUT_BROKEN: 1,
    Ending.OUTPUT_CLOSED: 141,
    Ending.DEADLINE: 124,
    Ending.GIVEN_UP: 4,
    Ending.COST_LIMIT: 4,
    Ending.SIGHUP: 129,
    Ending.SIGINT: 130,
    Ending.SIGTERM: 143,
    Ending.WORKERS_GONE: 1,
}


def exit_status(ending: Ending, *, all_ok: bool) -> int:
    """Return the exit status of the command.

    Args:
        all_ok: whether every record is ok.
    """
    return _STATUS.get(ending, 0 if all_ok else 1)


def why_cut_short(ending: Ending, deadline: float | None, reason: str) -> tuple[ErrorKind, str]:
    """Return the error kind and message of calls that a run left open.

    Args:
        ending: of the run.
        deadline: of the run, in seconds from its start, or None.
        reason: why the run was given up, or "".
    """
    if ending is Ending.DEADLINE:
        return "deadline", f"the run's deadline of {show_duration(deadline or 0)} passed"
    if ending is Ending.GIVEN_UP:
        return "cancelled", f"the run was given up: {reason or 'too many records are not ok'}"
    if ending is Ending.COST_LIMIT:
        return "cancelled", "the run was given up: --max-cost is reached"
    return "cancelled", f"stopped by {ending.value}"
