"""A run whose calls are made by child processes.

It reads, admits, puts in order and writes as any run does; but where others start calls this one
deals records, by the portion, and what comes back is lines.  The children put their own lines in
order, so the head of the line is always the next that its owner will say.  While the window is
overfull only that one is listened to; the others fill their pipes, then their own windows, and
wait.

A child that dies is replaced, as `core.dealing.restarts` decides.  What becomes of its records is
decided in `core.dealing.dealer`; a record may be dealt again if no request was sent for it that
must not be repeated.  Once the run must end, a child that does not answer is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.dealing.blocks import Block, BlocksAsCompleted, BlocksInOrder
from tmux_fanout.core.dealing.dealer import Dealer, describe_fate
from tmux_fanout.core.dealing.lost_records import Sent, lost_outcomes, may_repeat
from tmux_fanout.core.dealing.messages import Counted, Done, Report, Told
from tmux_fanout.core.dealing.shares import plan_for_dealer
from tmux_fanout.core.ending import Ending, why_cut_short
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import LineResult, Result
from tmux_fanout.engine.io.streams import MOST_BYTES_AT_ONCE, MOST_RESULTS_AT_ONCE, Sink, Source
from tmux_fanout.engine.run.pipeline import Flow, WriteBatch, split_by_bytes
from tmux_fanout.engine.workers.head_watchdog import DealtHead
from tmux_fanout.engine.workers.message_deduplicator import MessageDeduplicator
from tmux_fanout.engine.workers.restarts import Restarts
from tmux_fanout.engine.workers.spawn import spawn_child
from tmux_fanout.engine.workers.total_statistics import TotalStatistics
from tmux_fanout.engine.workers.worker import Crew, Worker

_PATIENCE = 2.0  # seconds that children have to say what came of calls that were cancelled
_SILENCE = 0.15  # seconds that they have to show that they have heard of it
_READY = 5.0  # seconds that a new child has to be ready before the others are dealt everything
_PARTING = 1.0  # seconds that they have to end


class DealtRun(Flow[Block[Worker]]):
    """A run with child processes.

    Args:
        plan, source, sink: as for `Flow`.
        crew: the first of them.
        tell, watch_head: as for `Run`.

    Attributes:
        statistics, ending, trouble: as for `Flow`; what the children count is added up.
    """

    def __init__(
        self,
        plan: RunPlan,
        crew: Crew,
        source: Source,
        sink: Sink,
        *,
        tell: Callable[[str], None] = lambda _: None,
        watch_head: bool = False,
    ) -> None:
        is_unordered = plan.settings.unordered
        self._portions = BlocksAsCompleted[Worker]() if is_unordered else BlocksInOrder[Worker]()
        super().__init__(plan_for_dealer(plan), source, sink, self._portions, tell)
        self._job = job = crew.job
        self._news = MessageDeduplicator(tell)
        self._nowhere = [False] * len(plan.apis)  # was a record sent that was not dealt
        self._is_idempotent = [api.retry.idempotent for api in plan.apis]
        self._head = DealtHead(tell if watch_head else None)
        batch = max(api.batch.size if api.batch else 1 for api in plan.apis)
        self._dealer = Dealer[Worker](job.number, batch)
        self._crew = crew
        self._workers: dict[Worker, None] = {}
        self._restarts = Restarts(
            self._start_again,
            is_wanted=lambda: self._is_calling,
            given_up=self._end_without_workers,
            tell=tell,
        )
        self._changed = ParkingLot()  # a worker has gone, or may be listened to
        self._is_starting = False  # then nobody is dealt everything because others are not ready
        self._farewell = trio.CancelScope()
        self._tally = TotalStatistics(self.statistics, job.number)

    def abort(self, ending: Ending) -> None:
        super().abort(ending)
        self._farewell.deadline = min(self._farewell.deadline, trio.current_time() + _PATIENCE)

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._tally.conclude()

    async def _work(self) -> None:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            self._nursery = nursery
            for worker in self._crew.workers:
                self._employ(worker)
            with self._until_stopped():
                self._is_calling = True
                try:
                    await self._read_all()
                finally:
                    self._is_calling = False
            await self._part()
            nursery.cancel_scope.cancel()

    def _employ(self, worker: Worker) -> None:
        self._workers[worker] = None
        self._is_starting = True
        self._nursery.start_soon(self._run_worker, worker)
        self._nursery.start_soon(self._start_without, worker)

    async def _start_without(self, worker: Worker) -> None:
        """Deal to the other workers if one, such as one that is stopped, is not ready in time."""
        await trio.sleep(_READY)
        if worker in self._workers and not worker.counted and self._is_starting:
            self._is_starting = False
            if self._is_calling:
                self._start_calls()

    async def _run_worker(self, worker: Worker) -> None:
        try:
            try:
                await worker.run(
                    lambda report: self._hear(worker, report), lambda: self._until_heard(worker)
                )
            finally:
                status = worker.bury()
                del self._workers[worker]
                self._tally.inherit(worker)
                self._tally.add_up(self._workers)
            if not worker.is_dismissed:
                self._mourn(worker, status)
        finally:
            worker.forget()
            self._changed.unpark_all()

    async def _until_heard(self, worker: Worker) -> None:
        """Return when there is room for what a worker has to say."""
        while self._is_calling and self._window.is_overfull and not self._is_at_head(worker):
            await self._changed.park()

    def _is_at_head(self, worker: Worker) -> bool:
        head = self._portions.head
        return head is not None and head.member is worker

    def _admit(self) -> None:
        count = self._window.admit(record.size for record in self._chunk)
        for portion in self._enter([self._chunk.popleft() for _ in range(count)]):
            self._portions.add(portion)

    def _enter(self, records: Sequence[Record]) -> Iterator[Block[Worker]]:
        """The portions of records, to be dealt but for those that are none."""
        for is_valid, group in groupby(records, lambda record: record.error is None):
            if is_valid:
                portions = self._dealer.add(list(group))
                self._open_calls += sum(len(portion.open) for portion in portions)
                yield from portions
            else:
                portion: Block[Worker] = Block([])
                for record in group:
                    portion.add(Result(record, self._names, ()))
                yield portion

    def _start_calls(self) -> None:
        """Deal, and listen to whom there is room for."""
        self._changed.unpark_all()
        if self._is_starting:
            return
        while handing := self._dealer.next():
            handing.member.hand(handing.records)

    def _hear(self, worker: Worker, report: Report) -> None:
        worker.heard_at = trio.current_time()
        if isinstance(report, Told):
            self._news.pass_on(report.text)
        elif isinstance(report, Counted):
            is_new, worker.counted = worker.counted is None, report
            self._tally.add_up(self._workers)
            if is_new:
                self._dealer.enlist(worker)
                self._begin_if_all_are_there()
        else:
            self._take(worker, report)

    def _begin_if_all_are_there(self) -> None:
        if all(worker.counted for worker in self._workers):
            self._is_starting = False
        if self._is_calling:
            self._start_calls()

    def _take(self, worker: Worker, done: Done) -> None:
        """Lines have come.  Here nothing is done for each that could be done for all."""
        names, join = self._names, self._join
        portion: Block[Worker] = Block([])
        portions = []
        settled = grown = 0
        for index, line in zip(done.indexes, done.lines):
            if index not in portion.open:
                found = self._dealer.portion_of(worker, index)
                if found is None:
                    continue  # it was given up
                portion = found
                portions.append(portion)
                self._portions.came(portion)
            record = portion.open.pop(index)
            outcomes, kind = done.outcomes.get(index, ()), done.kinds.get(index)
            portion.results.append(LineResult(record, names, outcomes, join, line, kind))
            size = len(line)
            portion.size += record.size + size
            grown += size
            settled += 1
        self._window.grow(grown)
        self._dealer.finished(worker, settled, portions)
        self._note_settled(settled)

    def _note_settled(self, records: int) -> None:
        self._open_calls -= records
        self._wake_writer()
        if not self._open_calls:
            self._all_settled.unpark_all()
            self._changed.unpark_all()

    def _handfuls(self) -> Iterator[WriteBatch]:
        results, size = self._portions.take(MOST_RESULTS_AT_ONCE)
        if size <= MOST_BYTES_AT_ONCE:
            yield WriteBatch(results, size)
        else:
            for part, its_size in split_by_bytes(results, _size_of):
                yield WriteBatch(part, its_size)

    def _mourn(self, worker: Worker, status: int) -> None:
        """A worker has died; see to its records, and to its place."""
        sent = self._may_have_sent(worker)
        broken = self._dealer.died(
            worker,
            lambda index: self._is_calling and may_repeat(sent[index], self._is_idempotent),
        )
        if status or self._is_calling:  # else it has ended as it was told
            fate = describe_fate(broken)
            self._tell(f"worker process {worker.place} died ({_in_words(status)}){fate}")
        self._portions.replace({each.portion: each.parts for each in broken})
        for each in broken:
            for part in each.lost:
                self._lose(part, "cancelled", "the worker process that had it died", sent)
        self._head.waits_for(None)  # if it was one of those, it is another now
        self._note_head()
        if not self._is_calling:
            return
        self._restarts.replace(
            self._nursery, worker.place, has_answered=worker.has_answered, killed=status < 0
        )
        self._begin_if_all_are_there()

    def _may_have_sent(self, worker: Worker) -> dict[int, Sent]:
        """For each of its records, by index, whether it may have been sent, as `Worker` says it."""
        portions = self._dealer.portions_of(worker)
        return worker.may_have_sent([index for portion in portions for index in portion.open])

    def _start_again(self, place: int) -> None:
        self._employ(Worker(self._job, place, spawn_child))

    def _end_without_workers(self) -> None:
        """End the run if nobody makes calls any more, and nobody will."""
        if not self._workers and not self._restarts.are_pending:
            self.ending = Ending.WORKERS_GONE
            self._stop_by(trio.current_time())

    def _cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        for portion in self._enter(records):
            self._portions.add(portion)
        for portion in list(self._portions):
            self._lose(portion, kind, why, {})

    def _lose(
        self,
        portion: Block[Worker],
        kind: ErrorKind,
        why: str,
        sent: Mapping[int, Sent],
    ) -> None:
        """Settle the records of which no line will come.

        Args:
            sent: for records that were dealt, whether to each API it may have been sent.
        """
        self._portions.came(portion)
        records = list(portion.open.values())
        for record in records:
            may_be_sent = sent.get(record.index, self._nowhere)
            outcomes = lost_outcomes(kind, why, may_be_sent, self._is_idempotent)
            for api, outcome in zip(self._tally.own, outcomes):
                api.settled(outcome)
            portion.add(Result(record, self._names, outcomes, self._join))
        self._note_settled(len(records))

    async def _part(self) -> None:
        """Stop what is open, hear what came of it, and have the workers end."""
        kind, why = why_cut_short(self.ending, self._settings.deadline)
        for portion in self._dealer.withdraw():
            self._lose(portion, kind, why, {})
        self._changed.unpark_all()
        self._farewell.deadline = trio.current_time() + _PATIENCE
        with self._farewell:
            await self._cancel_workers()
        for worker in list(self._workers):
            self._give_up_on(
                worker, kind, f"{why}; the worker process that had it did not say more"
            )
        with trio.move_on_after(_PARTING if self.ending is Ending.FINISHED else _SILENCE):
            for worker in self._workers:
                worker.dismiss()
            while self._workers:
                await self._changed.park()

    async def _cancel_workers(self) -> None:
        """Have the workers cancel what is open, and hear what came of it.

        A worker that does not answer at all, such as one that is stopped, is killed.
        """
        if not self._open_calls:
            return
        asked = trio.current_time()
        for worker in self._workers:
            worker.cancel(self.ending)
        with trio.move_on_after(_SILENCE):
            while self._open_calls and self._workers:
                await self._changed.park()
        if not self._open_calls:
            return
        await trio.sleep(_SILENCE / 5)  # what has come while this process stood still is read now
        for worker in list(self._workers):
            if worker.heard_at < asked:
                if self._dealer.portions_of(worker):
                    self._tell(f"worker process {worker.place} does not answer, and is killed")
                why = "the worker process that had it did not answer"
                self._give_up_on(worker, "cancelled", why)
                worker.kill()
        while self._open_calls and self._workers:
            await self._changed.park()

    def _give_up_on(self, worker: Worker, kind: ErrorKind, why: str) -> None:
        """Settle the records of a worker that has not said in time what came of them."""
        sent = self._may_have_sent(worker)
        for portion in self._dealer.portions_of(worker):
            self._lose(portion, kind, why, sent)


def _size_of(result: Result) -> int:
    return result.source.size + (len(result.line) if isinstance(result, LineResult) else 0)


def _in_words(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
