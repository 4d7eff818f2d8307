"""The processes that make the calls of a run: those of this machine, or those of a cluster."""

from __future__ import annotations

import logging
import warnings
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tmux_fanout.cli.configuration import Configuration
from tmux_fanout.core.dealing.shares import shared_limits
from tmux_fanout.core.results.envelope import Emit

if TYPE_CHECKING:
    from tmux_fanout.engine.cluster.crew import ClusterCrew
    from tmux_fanout.engine.workers.assignment import WorkerJob
    from tmux_fanout.engine.workers.crew.base import Crew


def worker_job_of(
    configuration: Configuration,
    emit: Emit,
    *,
    workers: int = 1,
    mends: bool = False,
    verbose: int = 0,
    interval: float = 1.0,
    flush_timeout: float = 0.0,
) -> WorkerJob:
    """Return what the processes have to know.

    Args:
        configuration: of the run.
        emit: the form of lines.
        workers: how many there are, if that is known.
        mends: whether records may have the line of an earlier run.
        verbose: how much is reported; below 0: as little as possible.
        interval: seconds between two reports of what was counted.
        flush_timeout: seconds that they may need beyond the usual to end.
    """
    from tmux_fanout.engine.workers.assignment import WorkerJob  # needed rarely

    plan = configuration.plan
    return WorkerJob(
        configuration.apis,
        configuration.settings,
        workers,
        emit,
        mends,
        verbose=min(max(verbose, 0), 2),
        interval=interval,
        slots=plan.stretched_window,
        tracks_sent=not all(api.retry.idempotent for api in plan.apis),
        flush_timeout=flush_timeout,
        variables={} if configuration.options["cluster"] else configuration.variables,
        folders=() if configuration.options["cluster"] else configuration.folders,
    )


def open_crew(configuration: Configuration, job: WorkerJob) -> AbstractContextManager[Crew]:
    """Start the processes for the block.

    Raises:
        ConfigError: they cannot be started, or the cluster cannot be used.
    """
    options, plan = configuration.options, configuration.plan
    if options["cluster"] is None:
        from tmux_fanout.engine.workers.crew.local import first_workers  # needed rarely

        return first_workers(job, shared_limits(plan))
    from tmux_fanout.engine.cluster.opening import cluster_crew  # needed rarely

    _silence_dask()
    return cluster_crew(options["cluster"], plan, job, trust_network=options["trust_network"])


def ask_cluster(configuration: Configuration) -> AbstractContextManager[ClusterCrew]:
    """Ask the members of a cluster, for the block, whether they could make the calls.

    Raises:
        ConfigError: the cluster cannot be used.
    """
    from tmux_fanout.engine.cluster.opening import asked_crew  # needed rarely

    _silence_dask()
    options, job = configuration.options, worker_job_of(configuration, "envelope")
    trusts = options["trust_network"]
    return asked_crew(options["cluster"], configuration.plan, job, trust_network=trusts)


def _silence_dask() -> None:
    """Keep off standard error what Dask logs of lost connections: the notices there are ours."""
    logging.disable()
    warnings.filterwarnings("ignore", module="distributed|tornado|dask")
