"""What a child process has to know; its environment it has from its parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.results.envelope import Emit


class WorkerJob(NamedTuple):
    """What all children have to know.

    Attributes:
        apis, settings: of the whole run.
        number: how many children there are.
        emit: what its lines are.
        verbose: 1 if the outcomes of records that are not ok are asked for, 2 if all are.
        interval: seconds after which what was counted is to be known.
        slots: records that one child has at most.
        is_marked: whether to know what a child may have sent that dies.
    """

    apis: Sequence[Api]
    settings: RunSettings
    number: int
    emit: Emit
    verbose: int
    interval: float
    slots: int
    is_marked: bool


class Assignment(NamedTuple):
    """A job, and what is different for each of those who have it.

    Attributes:
        place: which of the children it is, from 0.
        marks: descriptor of the memory for marks; None if nothing is to be marked.
    """

    job: WorkerJob
    place: int
    marks: int | None
