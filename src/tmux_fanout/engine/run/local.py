"""One run, from the first record to the last line, whose calls this process makes.

    source --> admission --> calls, one queue for each API --> reorder buffer --> sink
                  ^                                                              |
                  +---------------- the window makes room <----------------------+

Besides the two tasks of every run (`flow`), those of the callers make calls, one or many at a time.
They never hand results through channels: a call that settles marks its row, and the writer is woken
when the row at the head of the line is complete.  Before slots idle for that,
`core.ordering.stretching` takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from random import Random

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.ordering.reorder import AsCompleted, InOrder
from tmux_fanout.core.policy.join import ALL
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.calls.call import Call, PendingRecord
from tmux_fanout.engine.calls.caller import Caller, make_callers
from tmux_fanout.engine.calls.slots import TotalLimit
from tmux_fanout.engine.io.streams import MOST_RESULTS_AT_ONCE, Sink, Source
from tmux_fanout.engine.run.chaining import Chaining
from tmux_fanout.engine.run.head_watchdog import CalledHead
from tmux_fanout.engine.run.idle_slots import Idling
from tmux_fanout.engine.run.joining import Joining
from tmux_fanout.engine.run.pipeline import Flow, WriteBatch, split_by_bytes
from tmux_fanout.transports.base import Transport


class Run(Flow[PendingRecord]):
    """A run of the engine.

    Args:
        plan: what to do.
        transports: one for each API of the plan.
        source: where records come from.
        sink: where results go.
        random: for the jitter of retries.
        tell: called with what a user had better know at once, in one line.
        watch_head: whether to tell of records that hold up the output for long.

    Attributes:
        statistics, ending, trouble: as for `Flow`.
        callers: what makes the calls of each API; none before `run`.
    """

    def __init__(
        self,
        plan: RunPlan,
        transports: Sequence[Transport],
        source: Source,
        sink: Sink,
        *,
        random: Random | None = None,
        tell: Callable[[str], None] = lambda _: None,
        watch_head: bool = False,
    ) -> None:
        self._rows = (
            AsCompleted[PendingRecord]() if plan.settings.unordered else InOrder[PendingRecord]()
        )
        super().__init__(plan, source, sink, self._rows, tell)
        self._plan = plan
        self._transports = transports
        self._random = random or Random()
        self.callers: list[Caller] = []
        self._few_calls = 0  # so few open that the reader, or who waits for all, has to know
        self._head = CalledHead(
            self.callers,
            tell if watch_head else None,
            hedges=any(api.hedge == "head" for api in plan.apis),
        )

    def _make_callers(self, nursery: trio.Nursery) -> None:
        plan = self._plan
        most = plan.settings.total_limit
        total = TotalLimit(most) if most else None
        self.callers += make_callers(
            plan.apis,
            self._transports,
            total,
            self.statistics.apis,
            nursery=nursery,
            scope=self._working,
            may_start=self._may_start,
            settled=self._call_settled,
            kept=self._window.grow,
            tell=self._tell,
            random=self._random,
        )
        self._idling = Idling(self.callers, total, plan.window)
        self._chaining = Chaining(self.callers)
        self._joining = Joining(plan.join, self._names, self.callers)
        self._joining.nursery = nursery

    async def _work(self) -> None:
        with self._until_stopped():
            try:
                async with trio.open_nursery(strict_exception_groups=True) as calls:
                    self._make_callers(calls)
                    self._is_calling = True
                    await self._read_all()
                    calls.cancel_scope.cancel()  # alarms, and what was lost to others
            finally:
                self._is_calling = False
                for caller in self.callers:
                    caller.abandon()

    def _admit(self) -> None:
        self._submit(self._window.admit(record.size for record in self._chunk))

    def _stretch(self) -> bool:
        """Start what slots idle for want of, though the window is full; say if there was any.

        If not, the reader is woken as soon as there may be: see `_few_calls`.
        """
        self._few_calls = 0
        is_held_by_head = self._is_waiting_for_head and not self._rows.ready
        if not (is_held_by_head and self._window.has_room(self._chunk[0].size, is_needed=True)):
            return False
        need = self._idling.need(self._rows.incomplete)
        sizes = (record.size for record in islice(self._chunk, need.records))
        self._submit(self._window.admit(sizes, is_needed=True))
        if need.records:
            self._start_calls()
        else:
            self._few_calls = max(0, self._open_calls - need.settled)
        return need.records > 0

    def _submit(self, count: int) -> None:
        """Queue the calls of the next records, which were admitted."""
        now = trio.current_time()
        for _ in range(count):
            row = self._enter(self._chunk.popleft())
            for call, caller in zip(row.calls, self.callers):
                if not caller.plan.after:
                    caller.submit(call, now)

    def _enter(self, record: Record) -> PendingRecord:
        row = PendingRecord(record)
        if record.error is None:
            row.calls = [Call(row) for _ in self.callers]
            row.open_calls = len(row.calls)
            self._open_calls += row.open_calls
        self._rows.add(row)
        return row

    def _start_calls(self) -> None:
        for caller in self.callers:
            caller.start()

    def _may_start(self, call: Call) -> bool:
        """Whether there is room for what an attempt may bring; what has begun goes on."""
        if self._window.is_overfull:
            return call.attempts > 0 or call.row is self._rows.head
        return True

    def _call_settled(self, call: Call, size: int) -> None:
        row = call.row
        row.open_calls -= 1
        self._open_calls -= 1
        if self._open_calls <= self._few_calls:
            self._few_calls = 0
            self._all_settled.unpark_all()
            self._room.unpark_all()
        row.size += size
        self._window.grow(size)
        if not row.open_calls:
            row.close()
            self._rows.completed(row)
            self._wake_writer()
        elif self._is_calling:
            if self._chaining.is_needed:
                self._chaining.look_at(row)
            if self._join is not ALL and row.open_calls:
                self._joining.look_at(row)

    def _handfuls(self) -> Iterator[WriteBatch]:
        for rows, size in split_by_bytes(self._rows.take(MOST_RESULTS_AT_ONCE), attrgetter("size")):
            results = [Result(row.record, self._names, row.outcomes, self._join) for row in rows]
            yield WriteBatch(results, size)

    def _cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        rows = [*self._rows, *map(self._enter, records)]
        for row in rows:
            for call, caller in zip(row.calls, self.callers):
                if call.outcome is None:
                    caller.cut_short(call, kind, why)
