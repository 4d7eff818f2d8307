"""One run in virtual time: the real engine, records of the input, and models of the APIs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random

import trio
from msgspec.structs import replace

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.planning.model import ApiModel
from tmux_fanout.core.planning.virtual import Milestone, VirtualRun
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.planning.transport import ModelTransport
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_pipeline
from tmux_fanout.engine.simulation.clock import run_in_virtual_time


def run_virtually(
    plan: RunPlan, records: Sequence[Record], count: int, models: Sequence[ApiModel], seed: int
) -> VirtualRun:
    """Run a plan in virtual time, with answers that are drawn from models.

    Args:
        plan: as `for_models` returns it.
        records: of the input, which are taken by turns.
        count: number of records to run.
        models: of the APIs.
        seed: of all that is random.
    """
    run = _Run(plan, records, count, models, seed)
    run_in_virtual_time(run.play)
    return run.result()


class _Run:
    def __init__(
        self,
        plan: RunPlan,
        records: Sequence[Record],
        count: int,
        models: Sequence[ApiModel],
        seed: int,
    ) -> None:
        random = Random(seed)
        self._transports = [
            ModelTransport(api, model, Random(random.random()))
            for api, model in zip(plan.apis, models)
        ]
        self._source = _Source(records, count, plan.chunk_size, self._transports)
        self._sink = _Sink()
        self._pipeline = local_pipeline(
            plan, self._transports, self._source, self._sink, LocalOptions(random=random)
        )
        self._sink.window = self._pipeline.window

    async def play(self) -> None:
        busy = time.process_time()
        await self._pipeline.run()
        self._busy = time.process_time() - busy

    def result(self) -> VirtualRun:
        """Return what the run came to."""
        return VirtualRun(
            statistics=self._pipeline.statistics,
            milestones=self._source.milestones,
            refused=[transport.refused for transport in self._transports],
            window_records=self._sink.peak_records,
            window_bytes=self._sink.peak_bytes,
            busy=self._busy,
            given_up=self._pipeline.reason,
        )


class _Source:
    """Hands out records by turns, and notes how far the run has come."""

    def __init__(
        self,
        records: Sequence[Record],
        count: int,
        chunk_size: int,
        transports: Sequence[ModelTransport],
    ) -> None:
        self._records = records
        self._count = count
        self._chunk_size = chunk_size
        self._transports = transports
        self._next = 0
        self.milestones: list[Milestone] = []

    async def next_chunk(self) -> Sequence[Record]:
        await trio.lowlevel.checkpoint()
        self.milestones.append(
            Milestone(
                self._next,
                trio.current_time(),
                sum(each.refused for each in self._transports),
            )
        )
        first, self._next = self._next, min(self._next + self._chunk_size, self._count)
        return [
            replace(self._records[index % len(self._records)], index=index)
            for index in range(first, self._next)
        ]

    def read_ahead(self) -> Sequence[Record]:
        return ()

    def total(self) -> Total | None:
        return None


class _Sink:
    """Takes results, keeps none, and notes how full the window is."""

    window: Window

    def __init__(self) -> None:
        self.peak_records = 0
        self.peak_bytes = 0

    async def put(self, results: Sequence[Result]) -> None:
        del results
        self.peak_records = max(self.peak_records, self.window.records)
        self.peak_bytes = max(self.peak_bytes, self.window.bytes)
        await trio.lowlevel.checkpoint()

    async def consumer_gone(self) -> None:
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        """Do nothing: nothing is waited for."""
