"""Workers that are processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tmux_fanout.core.dealing.shares import SharedLimit
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.sharing.holder import Holder
from tmux_fanout.engine.workers.assignment import WorkerJob
from tmux_fanout.engine.workers.member.sent_flags import FlagsMemory
from tmux_fanout.engine.workers.spawn import Start, quickest_start, spawn_child
from tmux_fanout.engine.workers.worker import Worker


def start_worker(job: WorkerJob, index: int, start: Start) -> Worker:
    """Start a worker of this machine.

    Args:
        job: what to do.
        index: of the worker, from 0; the one that replaces it gets the same.
        start: starts the process.

    Raises:
        OSError: the system has no process, memory or descriptor for it.
    """
    flags = FlagsMemory(job.slots, len(job.apis)) if job.tracks_sent else None
    try:
        child = start(flags.fd if flags else None)
    except BaseException:
        if flags:
            flags.close()
        raise
    return Worker(job, index, f"worker process {index}", child, flags=flags)


class LocalCrew(NamedTuple):
    """Processes of this machine, those that begin in the order of their indexes."""

    job: WorkerJob
    workers: Sequence[Worker]
    holder: Holder[Worker]
    reply_timeout: float = 1.0  # on a loaded machine a process may not run for most of that
    max_open: int | None = None  # the flags of a process outlive it

    def first(self) -> Sequence[Worker]:
        return self.workers

    def replacement(self, worker: Worker) -> Worker | None:
        return start_worker(self.job, worker.index, spawn_child)

    async def watch(
        self, employ: Callable[[Worker], object], notify: Callable[[str], object]
    ) -> None:
        """Return: nobody comes without being started, and a process that dies closes its pipes."""


@contextmanager
def first_workers(job: WorkerJob, limits: Sequence[SharedLimit]) -> Iterator[LocalCrew]:
    """Start a crew before there is an event loop; no process of it outlives the block.

    Args:
        job: what to do.
        limits: what the workers share.

    Raises:
        ConfigError: the system has no process, or no descriptor, for one of them.
    """
    from tmux_fanout.engine.workers.child import main  # loaded once, for all forks

    start = quickest_start(main)
    holder = Holder[Worker]([limit.amount for limit in limits])
    with ExitStack() as stack:
        workers = []
        for index in range(job.workers):
            try:
                worker = start_worker(job, index, start)
            except OSError as exc:
                what = f"--workers: process {index + 1} of {job.workers} cannot be started"
                raise ConfigError(f"{what}: {exc.strerror}; ask for fewer") from exc
            stack.callback(worker.forget_flags)
            stack.callback(worker.reap)
            workers.append(worker)
            holder.join(worker)
        for worker in workers:
            worker.assign(holder.first(worker, 0.0))
        yield LocalCrew(job, workers, holder)
