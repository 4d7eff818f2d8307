"""What all processes of a run have counted."""

from __future__ import annotations

from collections.abc import Iterable

from tmux_fanout.core.report.merge import counts_of, gone, include, merge
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.engine.workers.worker import Worker


class TotalStatistics:
    """Keeps the statistics of a run to be the sum of what its processes have counted.

    Args:
        statistics: of the run.
        processes: how many there are at a time.

    Attributes:
        own: what was counted here, and by processes that are gone, for each API.
    """

    def __init__(self, statistics: RunStatistics, processes: int) -> None:
        self.own = [ApiStatistics(api.name) for api in statistics.apis]
        self._statistics = statistics
        self._processor_seconds = 0.0  # of those that are gone
        statistics.processes = processes

    def __repr__(self) -> str:
        return f"<TotalStatistics: {self._processor_seconds:.2f} s of processes that are gone>"

    def inherit(self, worker: Worker) -> None:
        """What a worker has counted that is gone is our own."""
        if worker.counted:
            self._processor_seconds += worker.counted.processor_seconds
            for own, counts in zip(self.own, worker.counted.apis):
                include(own, counts if worker.is_dismissed else gone(counts))

    def add_up(self, workers: Iterable[Worker]) -> None:
        """Have the statistics say what is counted now, by workers that are there as well."""
        counted = [worker.counted.apis for worker in workers if worker.counted]
        counted.append([counts_of(api) for api in self.own])
        for place, api in enumerate(self._statistics.apis):
            merge(api, [apis[place] for apis in counted], self._statistics.processes)

    def conclude(self) -> None:
        """The run is over, and all workers are gone."""
        self.add_up([])
        self._statistics.processor_seconds += self._processor_seconds
