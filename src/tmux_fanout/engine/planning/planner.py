"""Plan a run by simulating it several times, with its own limits and with others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from msgspec.structs import replace

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.display.bottleneck import bottleneck
from tmux_fanout.core.planning.distributions import Fixed
from tmux_fanout.core.planning.estimate import Estimate, Processor, estimate
from tmux_fanout.core.planning.figures import PlanFigures, Row
from tmux_fanout.core.planning.model import ApiModel, stated
from tmux_fanout.core.planning.result import figures_of
from tmux_fanout.core.planning.variants import FACTORS, with_limits
from tmux_fanout.core.planning.virtual import VirtualRun, for_models, without_reuse
from tmux_fanout.engine.planning.reading import SomeRecords
from tmux_fanout.engine.planning.virtual import run_virtually

_RUNS = 5
REQUESTS = 20_000  # of a virtual run, roughly
_WINDOWS = 6  # that pass, at least, so that the second half of a run has a steady pace
_MEASURED = 2_000  # records
_WARM = 200
_REAL = 2.2  # what a request costs, as a multiple of one that is simulated, as measured


class Subject(NamedTuple):
    """What is planned.

    Attributes:
        plan: of the run.
        records: of its input.
        models: of its APIs.
        has_window: whether the settings state the window.
        processor: seconds of processor time of a request, if that is known.
        processes: number of processes that make calls at the same time.
        memory: bytes that this process occupies without any record.
    """

    plan: RunPlan
    records: SomeRecords
    models: Sequence[ApiModel]
    has_window: bool
    processor: float | None
    processes: int
    memory: int


def make_plan(subject: Subject, *, requests: int = REQUESTS) -> PlanFigures:
    """Simulate a run and return what it will take.

    Args:
        subject: what is planned.
        requests: of each simulated run, roughly; more of them if the window holds many records.
    """
    return _Planner(subject, requests).figures()


class _Planner:
    def __init__(self, subject: Subject, requests: int) -> None:
        self._subject = subject
        self._is_sampled = subject.records.number > len(subject.records.some)
        self._plan = for_models(subject.plan, subject.models)
        if self._is_sampled:
            self._plan = without_reuse(self._plan)
        seconds = subject.processor
        self._processor = Processor(
            self._measure() if seconds is None else seconds, subject.processes
        )
        self._count = subject.records.number
        enough = max(requests // len(self._plan.apis), _WINDOWS * self._plan.window)
        self._simulated = self._count if self._count <= 1.5 * enough else enough

    def _measure(self) -> float:
        """Return the processor time of a request, as that of a simulated one tells."""
        models = [stated(Fixed(0.0), "") for _ in self._plan.apis]
        apis = tuple(replace(api, rate=None) for api in self._plan.apis)
        plan = without_reuse(replace(self._plan, apis=apis))
        some = self._subject.records.some
        run_virtually(plan, some, _WARM, models, 0)
        run = run_virtually(plan, some, _MEASURED, models, 0)
        attempts = run.statistics.attempts
        return _REAL * run.busy / attempts if attempts else 0.0

    def _run(self, plan: RunPlan, seed: int) -> tuple[VirtualRun, Estimate]:
        subject = self._subject
        run = run_virtually(plan, subject.records.some, self._simulated, subject.models, seed)
        return run, estimate(run, self._count, self._processor)

    def figures(self) -> PlanFigures:
        """Return what the run will take."""
        runs = [self._run(self._plan, seed) for seed in range(_RUNS)]
        return figures_of(
            self._subject.plan,
            self._subject.models,
            runs,
            records=self._count,
            processor=self._processor,
            memory=self._subject.memory,
            is_sampled=self._is_sampled,
            bottlenecks=[self._bottleneck(run) for run, _ in runs],
            table=list(self._table(runs)),
        )

    def _table(self, runs: Sequence[tuple[VirtualRun, Estimate]]) -> Iterator[Row]:
        """Yield what other limits would bring: the same random numbers make them comparable."""
        first = runs[0][1].seconds
        usual = median(each.seconds for _, each in runs)
        for factor in FACTORS:
            plan = with_limits(self._plan, factor, has_window=self._subject.has_window)
            run, found = runs[0] if factor == 1 else self._run(plan, 0)
            yield Row(
                limit=factor,
                limits={api.name: api.limit for api in plan.apis},
                seconds=round(found.seconds / first * usual if first else found.seconds, 3),
                requests=found.requests,
                refused=found.refused,
                bottleneck=self._bottleneck(run),
            )

    def _bottleneck(self, run: VirtualRun) -> str | None:
        stats = run.statistics
        busy = self._processor.seconds * stats.attempts
        stats.processor_seconds, stats.processes = busy, self._processor.processes
        stats.seconds = max(stats.seconds, busy / stats.processes)
        return bottleneck(stats)
