"""The seam between pipeline and backend: any object with the methods of `Backend` will do."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import trio
from support.scripted import ListSink, ListSource

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorInfo, ErrorKind
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.tuning.tuning import Tuning
from tmux_fanout.engine.run.backend import Backend, Hooks, WriteBatch, split_by_bytes
from tmux_fanout.engine.run.pipeline import Pipeline

SECONDS = 1.0  # that each record takes, one after another


class OneByOne:
    """A backend that settles a record every second, without any call."""

    hedges_head = False

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._open: deque[Record] = deque()
        self._done: deque[Result] = deque()
        self._more = trio.Event()

    async def work(self) -> None:
        while True:
            await self._more.wait()
            while self._open:
                await trio.sleep(SECONDS)
                self._settle(self._open.popleft(), Outcome(True, 200))
                self._hooks.wake_writer()
            self._more = trio.Event()
            self._hooks.wake_reader()

    def _settle(self, record: Record, outcome: Outcome) -> None:
        self._done.append(Result(record, ("a",), (outcome,)))

    def admit(self, records: Sequence[Record]) -> None:
        self._open.extend(records)

    def start(self) -> None:
        if self._open:
            self._more.set()

    def wanted_records(self) -> int:
        return 0

    @property
    def is_settled(self) -> bool:
        return not self._open

    def __len__(self) -> int:
        return len(self._open) + len(self._done)

    @property
    def ready(self) -> bool:
        return bool(self._done)

    def take_ready(self) -> Iterator[WriteBatch]:
        results = list(self._done)
        self._done.clear()
        yield WriteBatch(results, sum(result.source.size for result in results))

    def waits(self) -> Sequence[Wait | None]:
        return [None]

    def loads(self) -> Sequence[Load]:
        return [Load()]

    def tune(self, tuning: Tuning) -> None:
        """It has no limits."""

    async def refresh(self) -> None:
        """Its statistics always are up to date."""

    @property
    def head_index(self) -> int | None:
        return self._open[0].index if self._open else None

    def head_holds_up(self) -> None:
        """Nothing speeds it up."""

    def held_results(self) -> int:
        return 0

    def describe_head(self) -> str:
        return "a: it takes its time" if self._open else ""

    def cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        for record in [*self._open, *records]:
            self._settle(record, Outcome(False, error=ErrorInfo(kind, why)))
        self._open.clear()


@asynccontextmanager
async def open_one_by_one(hooks: Hooks) -> AsyncIterator[Backend]:
    with hooks.scope:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            backend = OneByOne(hooks)
            nursery.start_soon(backend.work)
            yield backend
            nursery.cancel_scope.cancel()


def pipeline_of(records: int, sink: ListSink, **settings: float) -> Pipeline:
    plan = plan_run([Api("a", "http://api.test/")], RunSettings(**settings), {})  # type: ignore[arg-type]  # all take numbers
    source = ListSource([(0.0, list(range(records)))])
    return Pipeline(plan, source, sink, open_one_by_one, notify=lambda _: None, watch_head=False)


async def test_pipeline_runs_with_any_backend(autojump_clock: object) -> None:
    """Records go through a window of two, and come out as they are settled."""
    sink = ListSink()
    run = pipeline_of(5, sink, window=2)
    await run.run()
    assert sink.indexes == [0, 1, 2, 3, 4]
    assert sink.written_at == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (run.ending, run.statistics.ok) == (Ending.FINISHED, 5)


async def test_pipeline_cuts_any_backend_short(autojump_clock: object) -> None:
    """After a deadline, admitted and unadmitted records alike get lines."""
    sink = ListSink()
    run = pipeline_of(5, sink, window=2, deadline=2.5)
    await run.run()
    assert sink.indexes == [0, 1, 2, 3, 4]
    assert [result.ok for result in sink.results] == [True] * 2 + [False] * 3
    assert (run.ending, run.statistics.errors) == (Ending.DEADLINE, {"deadline": 3})
    assert trio.current_time() == 2.5


def test_split_by_bytes_exceeds_its_bound_for_single_items_only() -> None:
    """Items are kept together up to a mebibyte."""
    sizes = [600_000, 400_000, 100_000, 2_000_000, 1]
    parts = list(split_by_bytes(sizes, lambda size: size))
    assert parts == [
        ([600_000, 400_000], 1_000_000),
        ([100_000], 100_000),
        ([2_000_000], 2_000_000),
        ([1], 1),
    ]
