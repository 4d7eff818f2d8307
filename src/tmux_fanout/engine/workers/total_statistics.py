"""Adding up what all processes of a run have counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from tmux_fanout.core.report.load import Load, add_loads
from tmux_fanout.core.report.merge import counts_of, gone, include, merge
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.report.waits import Wait, longest
from tmux_fanout.engine.workers.worker import Worker


class TotalStatistics:
    """Keeps the statistics of a run equal to the sum of what its processes have counted.

    Args:
        statistics: of the run.
        workers: how many there are at a time.
        notify: called with each line that one of them would have told the user once.

    Attributes:
        own: for each API, what this process counted, and workers that have ended.
    """

    def __init__(
        self, statistics: RunStatistics, workers: int, notify: Callable[[str], None]
    ) -> None:
        self._notify = notify
        self._told = [set[str]() for _ in statistics.apis]  # for each API, what it was about
        self.own = [ApiStatistics(api.name) for api in statistics.apis]
        self._statistics = statistics
        statistics.processes = workers

    def __repr__(self) -> str:
        return f"<TotalStatistics: {[api.calls for api in self.own]} calls of ended workers>"

    @property
    def slowest(self) -> float:
        """How long the slowest call took that is known."""
        return max(api.latency.max for api in self._statistics.apis)

    def inherit(self, worker: Worker) -> None:
        """Take over what a worker that has ended had counted."""
        if worker.counted:
            self._statistics.processor_seconds += worker.counted.processor_seconds
            for own, counts in zip(self.own, worker.counted.apis):
                include(own, counts if worker.is_dismissed else gone(counts))

    def waits(self, workers: Iterable[Worker]) -> Sequence[Wait | None]:
        """Return what the calls of each API wait for, by the last reports of the workers."""
        waits = [worker.counted.waits for worker in workers if worker.counted]
        return [longest(each) for each in zip(*waits)]

    def loads(self, workers: Iterable[Worker]) -> Sequence[Load]:
        """Return what each API has to do, by the last reports of the workers."""
        loads = [worker.counted.loads for worker in workers if worker.counted]
        return [add_loads(each) for each in zip(*loads)] or [Load() for _ in self.own]

    def add_up(self, workers: Collection[Worker]) -> None:
        """Update the statistics of the run.

        Args:
            workers: those that are alive.
        """
        self._statistics.processes = max(self._statistics.processes, len(workers))
        self._statistics.workers_memory = sum(
            worker.counted.memory for worker in workers if worker.counted
        )
        counted = [worker.counted.apis for worker in workers if worker.counted]
        counted.append([counts_of(api) for api in self.own])
        for index, api in enumerate(self._statistics.apis):
            merge(api, [apis[index] for apis in counted], self._statistics.processes)
            for about, line in api.told.items():
                if about not in self._told[index]:
                    self._told[index].add(about)
                    self._notify(line)
