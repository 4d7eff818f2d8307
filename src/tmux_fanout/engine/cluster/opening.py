"""Opening a crew on a cluster: from its address to members that are ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.dealing.cluster import check_trusted, read_scheduler_file, scheduler_file
from tmux_fanout.core.dealing.shares import shared_limits
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import printable
from tmux_fanout.engine.cluster.crew import ClusterCrew
from tmux_fanout.engine.cluster.remote import Cluster
from tmux_fanout.engine.workers.assignment import WorkerJob


@contextmanager
def cluster_crew(
    cluster: str,
    plan: RunPlan,
    job: WorkerJob,
    *,
    trust_network: bool,
    check: Callable[[], object] = lambda: None,
) -> Iterator[ClusterCrew]:
    """Gather a crew on a cluster for the block; it has a member, and no process outlives it.

    Args:
        cluster: as `parse_cluster` takes it.
        plan: of the run.
        job: what the members do.
        trust_network: whether to use a cluster that others could reach.
        check: called again and again meanwhile; what it raises ends the waiting.

    Raises:
        ConfigError: the cluster cannot be used, or all members refuse.
    """
    with _gathered(cluster, plan, job, trust_network, check, waits_for_all=False) as crew:
        if not crew.first():
            raise ConfigError(next(crew.refused()), key="cluster")
        yield crew


def asked_crew(
    cluster: str, plan: RunPlan, job: WorkerJob, *, trust_network: bool
) -> AbstractContextManager[ClusterCrew]:
    """Ask all members of a cluster, as `cluster_crew` does; all of them may refuse."""
    return _gathered(cluster, plan, job, trust_network, lambda: None, waits_for_all=True)


@contextmanager
def _gathered(
    cluster: str,
    plan: RunPlan,
    job: WorkerJob,
    trust_network: bool,
    check: Callable[[], object],
    *,
    waits_for_all: bool,
) -> Iterator[ClusterCrew]:
    max_sent = 2 * max(api.limit for api in plan.apis) if job.tracks_sent else None
    opened = _open(_find(cluster), trust_network=trust_network)
    try:
        crew = ClusterCrew(opened, job, shared_limits(plan), max_sent=max_sent)
        crew.gather(check, waits_for_all=waits_for_all)
        yield crew
    finally:
        opened.close()


def _find(cluster: str) -> str:
    """Return the address of the scheduler."""
    path = scheduler_file(cluster)
    if path is None:
        return cluster
    try:
        with open(path, encoding="utf-8") as file:
            return read_scheduler_file(file.read())
    except ConfigError as exc:
        raise ConfigError(f"{printable(path)}: {exc.why}", key="cluster") from None
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
        raise ConfigError(f"{printable(path)}: cannot be read: {why}", key="cluster") from None


def _open(address: str, *, trust_network: bool) -> Cluster:
    check_trusted(address, trust_network=trust_network)
    try:
        from tmux_fanout.engine.cluster.dask import DaskCluster  # an extra
    except ImportError as exc:
        why = f"Dask is not installed here ({exc.name}); pip install 'tmux-fanout[dask]'"
        raise ConfigError(why, key="cluster") from None
    try:
        return DaskCluster(address)
    except Exception as exc:  # of TLS that is not configured, or of the network
        text = printable(str(exc).partition("\n")[0])
        why = f"no scheduler can be reached at {address}: {text or type(exc).__name__}"
        raise ConfigError(why, key="cluster") from exc
