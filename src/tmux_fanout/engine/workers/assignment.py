"""What a worker process has to know; it inherits the environment from its parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.results.envelope import Emit
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.lease import Grant


class WorkerJob(NamedTuple):
    """What all workers of a run have to know.

    Attributes:
        apis, settings: of the whole run.
        workers: how many there are.
        emit: the form of output lines.
        mends: whether records may have the line of an earlier run.
        verbose: 1 to report the outcomes of records with an error, 2 to report all outcomes.
        interval: seconds between two reports of what was counted.
        slots: maximum number of records that one worker has at the same time.
        tracks_sent: whether to record which records may have been sent, in case a worker dies.
    """

    apis: Sequence[Api]
    settings: RunSettings
    workers: int
    emit: Emit
    mends: bool
    verbose: int
    interval: float
    slots: int
    tracks_sent: bool


class Assignment(NamedTuple):
    """A job, and what is particular to one worker.

    Attributes:
        worker_index: from 0.
        flags_fd: descriptor of the memory for sent flags; None if nothing is tracked.
        grant: its first share of the limits.
        conditions: what is known of endpoints.
    """

    job: WorkerJob
    worker_index: int
    flags_fd: int | None
    grant: Grant
    conditions: Sequence[Condition] = ()
