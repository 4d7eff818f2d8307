"""The backend whose calls are made by worker processes.

    admit --> dealer ====> workers, each a pipeline of its own ====> blocks, in order --> take_ready
                 ^                                                       |
                 +------- unfinished records of a worker that died ------+

Records are dealt to workers in blocks of consecutive records, and come back as finished lines.
Each worker puts its own lines in order, so the line at the head of the output is always the next
one that its worker sends.  While the window is overfull only that worker is read from; the others
fill their pipes, then their own windows, and wait.

When a worker dies, `core.dealing.dealer` decides what becomes of its records: one may be dealt
again if no request was sent for it that must not be repeated.  `workforce` starts and replaces the
processes.  Once the run must end, workers get a short time to report on the calls that they cancel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.dealing.blocks import Block, BlocksAsCompleted, BlocksInOrder
from tmux_fanout.core.dealing.dealer import Dealer, describe_fate
from tmux_fanout.core.dealing.lost_records import Sent, lost_outcomes, may_repeat
from tmux_fanout.core.dealing.messages import Done
from tmux_fanout.core.dealing.shares import plan_for_dealer
from tmux_fanout.core.ending import Ending, why_cut_short
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import LineResult, Result
from tmux_fanout.engine.io.streams import MOST_BYTES_AT_ONCE, MOST_RESULTS_AT_ONCE, Sink, Source
from tmux_fanout.engine.run.backend import Hooks, OpenBackend, WriteBatch, split_by_bytes
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.workers.total_statistics import TotalStatistics
from tmux_fanout.engine.workers.worker import Crew, Worker
from tmux_fanout.engine.workers.workforce import Workforce

_CANCEL_TIMEOUT = 2.0  # seconds that workers have to report on calls that were cancelled
_REPLY_TIMEOUT = 0.15  # seconds that they have to show that they received the order to cancel
_EXIT_TIMEOUT = 1.0  # seconds that they have to end


def workers_pipeline(
    plan: RunPlan,
    crew: Crew,
    source: Source,
    sink: Sink,
    *,
    notify: Callable[[str], None] = lambda _: None,
    watch_head: bool = False,
) -> Pipeline:
    """Return a pipeline whose calls are made by worker processes.

    Args:
        plan, source, sink, notify, watch_head: as for `Pipeline`.
        crew: the first workers.
    """
    plan = plan_for_dealer(plan)
    opener = workers_backend(plan, crew)
    return Pipeline(plan, source, sink, opener, notify=notify, watch_head=watch_head)


def workers_backend(plan: RunPlan, crew: Crew) -> OpenBackend:
    """Return what opens a `WorkersBackend`.

    Args:
        plan: as `plan_for_dealer` returns it.
        crew: the first workers.
    """

    @asynccontextmanager
    async def open_backend(hooks: Hooks) -> AsyncIterator[WorkersBackend]:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            backend = WorkersBackend(plan, crew, hooks, nursery)
            with hooks.scope:
                try:
                    yield backend
                finally:
                    backend.stop_dealing()
            await backend.shut_down(hooks.ending())
            nursery.cancel_scope.cancel()

    return open_backend


class WorkersBackend:
    """Deals records to worker processes, and settles them with what comes back.

    Args:
        plan: as `plan_for_dealer` returns it.
        crew: the first workers.
        hooks: of the pipeline.
        nursery: where the tasks of workers run; they outlive `hooks.scope`.

    Attributes:
        hedges_head: as for `Backend`.
    """

    hedges_head = False

    def __init__(
        self,
        plan: RunPlan,
        crew: Crew,
        hooks: Hooks,
        nursery: trio.Nursery,
    ) -> None:
        self._names = tuple(api.name for api in plan.apis)
        self._join = plan.join
        self._deadline = plan.settings.deadline
        self._is_idempotent = [api.retry.idempotent for api in plan.apis]
        self._sent_nowhere = [False] * len(plan.apis)
        is_unordered = plan.settings.unordered
        self._blocks = BlocksAsCompleted[Worker]() if is_unordered else BlocksInOrder[Worker]()
        batch = max(api.batch.size if api.batch else 1 for api in plan.apis)
        self._dealer = Dealer[Worker](crew.job.workers, batch)
        self._hooks = hooks
        self._totals = TotalStatistics(hooks.statistics, crew.job.workers)
        self._open_records = 0
        self._is_dealing = True
        self._workforce = Workforce(
            crew,
            nursery,
            self._totals,
            on_ready=self._dealer.enlist,
            on_done=self._settle,
            on_exit=self._on_worker_exit,
            has_room_for=self._has_room_for,
            start=self.start,
            give_up=lambda: hooks.stop(Ending.WORKERS_GONE),
            notify=hooks.notify,
        )

    def __repr__(self) -> str:
        return f"<WorkersBackend: {self._open_records} records open, {self._workforce!r}>"

    def admit(self, records: Sequence[Record]) -> None:
        for block in self._enter(records):
            self._blocks.add(block)

    def _enter(self, records: Sequence[Record]) -> Iterator[Block[Worker]]:
        """Form blocks of records; the dealer gets all but those of invalid records."""
        for is_valid, group in groupby(records, lambda record: record.error is None):
            if is_valid:
                blocks = self._dealer.add(list(group))
                self._open_records += sum(len(block.open) for block in blocks)
                yield from blocks
            else:
                block: Block[Worker] = Block([])
                for record in group:
                    block.add(Result(record, self._names, ()))
                yield block

    def start(self) -> None:
        self._workforce.wake()
        if self._workforce.is_starting or not self._is_dealing:
            return
        while dealt := self._dealer.next():
            dealt.member.hand(dealt.records)

    def wanted_records(self) -> int:
        return 0  # whether slots idle is not known here

    @property
    def is_settled(self) -> bool:
        return not self._open_records

    def _has_room_for(self, worker: Worker) -> bool:
        """Whether the lines of a worker may come in now."""
        if not (self._is_dealing and self._hooks.window.is_overfull):
            return True
        head = self._blocks.head
        return head is not None and head.member is worker

    def _settle(self, worker: Worker, done: Done) -> None:
        """Settle records with the lines that a worker has made of them.

        This is the hot path: whatever can be done once for a message is not done for each record.
        """
        names, join = self._names, self._join
        block: Block[Worker] = Block([])
        blocks = []
        settled = grown = 0
        for index, line in zip(done.indexes, done.lines):
            if index not in block.open:
                found = self._dealer.block_of(worker, index)
                if found is None:
                    continue  # it was given up
                block = found
                blocks.append(block)
                self._blocks.mark_ready(block)
            record = block.open.pop(index)
            outcomes, kind = done.outcomes.get(index, ()), done.kinds.get(index)
            block.results.append(LineResult(record, names, outcomes, join, line, kind))
            size = len(line)
            block.size += record.size + size
            grown += size
            settled += 1
        self._hooks.window.grow(grown)
        self._dealer.finished(worker, settled, blocks)
        self._note_settled(settled)

    def _lose(
        self, block: Block[Worker], kind: ErrorKind, why: str, sent: Mapping[int, Sent]
    ) -> None:
        """Settle the open records of a block that no line will come of.

        Args:
            kind, why: of the error of each call.
            sent: by index, for records that were dealt: which APIs each may have been sent to.
        """
        self._blocks.mark_ready(block)
        records = list(block.open.values())
        for record in records:
            may_be_sent = sent.get(record.index, self._sent_nowhere)
            outcomes = lost_outcomes(kind, why, may_be_sent, self._is_idempotent)
            for api, outcome in zip(self._totals.own, outcomes):
                api.settled(outcome)
            block.add(Result(record, self._names, outcomes, self._join))
        self._note_settled(len(records))

    def _note_settled(self, records: int) -> None:
        self._open_records -= records
        if self._blocks.ready:
            self._hooks.wake_writer()
        if not self._open_records:
            self._hooks.wake_reader()
            self._workforce.wake()

    def _on_worker_exit(self, worker: Worker, status: int) -> None:
        """Deal the records of a worker that died again, or settle them as lost."""
        sent = self._may_have_sent(worker)
        broken = self._dealer.died(
            worker,
            lambda index: self._is_dealing and may_repeat(sent[index], self._is_idempotent),
        )
        if status or self._is_dealing:  # otherwise it ended as ordered
            fate = describe_fate(broken)
            what = f"signal {-status}" if status < 0 else f"exit status {status}"
            self._hooks.notify(f"worker process {worker.index} died ({what}){fate}")
        self._blocks.replace({each.block: each.parts for each in broken})
        for each in broken:
            for part in each.lost:
                self._lose(part, "cancelled", "the worker process that had it died", sent)
        self._hooks.wake_writer()  # another block may be at the head of the line now

    def _may_have_sent(self, worker: Worker) -> dict[int, Sent]:
        """Return, by index, which APIs each open record of a worker may have been sent to."""
        blocks = self._dealer.blocks_of(worker)
        return worker.may_have_sent([index for block in blocks for index in block.open])

    def stop_dealing(self) -> None:
        """Deal no more records, and replace no more workers."""
        self._is_dealing = False
        self._workforce.close()

    async def shut_down(self, ending: Ending) -> None:
        """Cancel what is open, wait for the workers' reports on it, and let them end.

        Args:
            ending: of the run.
        """
        kind, why = why_cut_short(ending, self._deadline)
        for block in self._dealer.withdraw():
            self._lose(block, kind, why, {})
        if self._open_records:
            with trio.move_on_after(_CANCEL_TIMEOUT):
                await self._cancel_workers(ending)
        for worker in self._workforce:
            why_given_up = f"{why}; the worker process that had it did not report on it"
            self._give_up_on(worker, kind, why_given_up)
        with trio.move_on_after(_EXIT_TIMEOUT if ending is Ending.FINISHED else _REPLY_TIMEOUT):
            await self._workforce.dismiss()

    async def _cancel_workers(self, ending: Ending) -> None:
        """Have the workers cancel what is open, and wait for what came of it.

        A worker that does not answer at all, such as a stopped process, is killed.
        """
        asked = trio.current_time()
        for worker in self._workforce:
            worker.cancel(ending)
        with trio.move_on_after(_REPLY_TIMEOUT):
            await self._wait_for_reports()
        if not self._open_records:
            return
        await trio.sleep(_REPLY_TIMEOUT / 5)  # to read what arrived while this process stood still
        for worker in self._workforce:
            if worker.heard_at < asked:
                if self._dealer.blocks_of(worker):
                    what = f"worker process {worker.index} does not answer and is killed"
                    self._hooks.notify(what)
                why = "the worker process that had it did not answer"
                self._give_up_on(worker, "cancelled", why)
                worker.kill()
        await self._wait_for_reports()

    async def _wait_for_reports(self) -> None:
        """Wait until no record is open, or no worker is left to report on one."""
        while self._open_records and len(self._workforce):
            await self._workforce.changed.park()

    def _give_up_on(self, worker: Worker, kind: ErrorKind, why: str) -> None:
        """Settle the records of a worker that has not reported on them in time."""
        sent = self._may_have_sent(worker)
        for block in self._dealer.blocks_of(worker):
            self._lose(block, kind, why, sent)

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def ready(self) -> bool:
        return self._blocks.ready

    def take_ready(self) -> Iterator[WriteBatch]:
        results, size = self._blocks.take(MOST_RESULTS_AT_ONCE)
        if size <= MOST_BYTES_AT_ONCE:
            yield WriteBatch(results, size)
        else:
            for part, part_size in split_by_bytes(results, _size_of):
                yield WriteBatch(part, part_size)

    @property
    def head_index(self) -> int | None:
        head = self._blocks.head
        return next(iter(head.open), None) if head else None

    def head_holds_up(self) -> None:
        """Do nothing: the workers hedge the heads of their own lines."""

    def describe_head(self) -> str:
        head = self._blocks.head
        if not head or not head.open:
            return ""
        worker = head.member
        return f"worker process {worker.index} has it" if worker else "waits for a worker process"

    def cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        self.admit(records)
        for block in list(self._blocks):
            self._lose(block, kind, why, {})
        self._totals.add_up([])  # all workers have gone


def _size_of(result: Result) -> int:
    return result.source.size + (len(result.line) if isinstance(result, LineResult) else 0)
