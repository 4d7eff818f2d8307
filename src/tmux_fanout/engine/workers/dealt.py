"""A run whose calls are made by child processes.

It reads, admits, puts in order and writes as any run does; but where that would start calls this
one deals records, and what comes back is lines.  The children put their own lines in order, so the
head of the line is always the next that its owner will say.  While the window is overfull only
that one is listened to; the others fill their pipes, then their own windows, and wait.

A child that dies is replaced, unless it is for the second time in its place that one dies before
anything came of it.  What becomes of its records is decided in `core.dealing`; a record may be
dealt again if no request was sent for it that must not be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.dealing import Dealer
from tmux_fanout.core.ending import Ending, why_cut_short
from tmux_fanout.core.errors import CallError, ErrorKind
from tmux_fanout.core.messages import Counted, Done, Report, Told
from tmux_fanout.core.outcome import LineResult, Outcome, Result
from tmux_fanout.core.plan import RunPlan
from tmux_fanout.core.records import Record
from tmux_fanout.core.workers import plan_for_dealer
from tmux_fanout.engine.row import Row
from tmux_fanout.engine.run import Run
from tmux_fanout.engine.streams import Sink, Source
from tmux_fanout.engine.workers.head import DealtHead
from tmux_fanout.engine.workers.process import Crew, Worker
from tmux_fanout.engine.workers.starting import spawn_child
from tmux_fanout.engine.workers.tally import Tally

_PATIENCE = 2.0  # seconds that children have to say what came of calls that were cancelled
_PARTING = 1.0  # seconds that they have to end
_LEAST_DEATHS = 2  # in one place, before anything came of what was dealt: then it is no accident
_SAME_NEWS = 5.0  # seconds in which several children may have the same to tell


class DealtRow(Row):
    """A record whose calls are made elsewhere, as if they were one.

    Attributes:
        result: what came of them, or None so far.
    """

    __slots__ = ("result",)

    result: Result | None


class DealtRun(Run):
    """A run with child processes.

    Args:
        plan, source, sink, tell, watch_head: as for `Run`.
        crew: the first of them.

    Attributes:
        statistics, ending, trouble: as for `Run`; what the children count is added up.
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
        super().__init__(plan_for_dealer(plan), [], source, sink, tell=tell)
        self._job = job = crew.job
        self._tell = tell
        self._last_news: dict[str, float] = {}
        self._is_idempotent = [api.retry.idempotent for api in plan.apis]
        self._head = DealtHead(self._owner_of, tell if watch_head else None)
        batch = max(api.batch.size if api.batch else 1 for api in plan.apis)
        self._dealer = Dealer[Worker](job.number, batch)
        self._dealt_rows: dict[int, DealtRow] = {}  # those that are open, by index of the record
        self._crew = crew
        self._workers: dict[Worker, None] = {}
        self._deaths: Counter[int] = Counter()  # by place, of those that had not answered
        self._changed = ParkingLot()  # a worker has gone, or may be listened to
        self._is_starting = False  # then nobody is dealt everything because others are not ready
        self._farewell = trio.CancelScope()
        self._tally = Tally(self.statistics, job.number)

    def __repr__(self) -> str:
        return f"<DealtRun: {self.ending.value}, {self._dealer!r}>"

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
            await super()._work()
            await self._part()
            nursery.cancel_scope.cancel()

    def _employ(self, worker: Worker) -> None:
        self._workers[worker] = None
        self._is_starting = True
        self._nursery.start_soon(self._run_worker, worker)

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
        head = self._rows.head
        return head is not None and self._owner_of(head) is worker

    def _owner_of(self, row: Row) -> Worker | None:
        return self._dealer.owner(row.record.index)

    def _records_of(self, worker: Worker) -> list[int]:
        """Indexes of the records that it has."""
        return [index for index in self._dealt_rows if self._dealer.owner(index) is worker]

    def _enter(self, record: Record) -> Row:
        row = DealtRow(record)
        row.result = None
        if record.error is None:
            row.open = 1
            self._open_calls += 1
            self._dealt_rows[record.index] = row
        self._rows.add(row)
        return row

    def _admit(self) -> None:
        before = len(self._chunk)
        records = list(self._chunk)
        super()._admit()
        entered = records[: before - len(self._chunk)]
        self._dealer.add([record for record in entered if record.error is None])

    def _start_calls(self) -> None:
        """Deal, and listen to whom there is room for."""
        self._changed.unpark_all()
        if self._is_starting:
            return
        while handing := self._dealer.next():
            handing.member.hand(handing.records)

    def _hear(self, worker: Worker, report: Report) -> None:
        if isinstance(report, Told):
            self._pass_on(report.text)
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

    def _pass_on(self, text: str) -> None:
        now = trio.current_time()
        self._last_news = {t: at for t, at in self._last_news.items() if at > now - _SAME_NEWS}
        if text not in self._last_news:
            self._last_news[text] = now
            self._tell(text)

    def _take(self, worker: Worker, done: Done) -> None:
        """Lines have come."""
        names, join = self._names, self._join
        for index, line in zip(done.indexes, done.lines):
            if self._dealer.finished(worker, index):
                row = self._dealt_rows.pop(index)
                outcomes, kind = done.outcomes.get(index, ()), done.kinds.get(index)
                row.result = LineResult(row.record, names, outcomes, join, line, kind)
                self._settle(row, len(line))
        self._note_settled()

    def _settle(self, row: DealtRow, size: int) -> None:
        """It has its result, of so many bytes."""
        row.open = 0
        row.size += size
        self._window.grow(size)
        self._open_calls -= 1
        self._rows.completed(row)

    def _note_settled(self) -> None:
        self._wake_writer()
        if not self._open_calls:
            self._all_settled.unpark_all()
            self._changed.unpark_all()

    def _result(self, row: Row) -> Result:
        assert isinstance(row, DealtRow)
        return row.result or Result(row.record, self._names, ())

    def _mourn(self, worker: Worker, status: int) -> None:
        """A worker has died; see to its records, and to its place."""
        self._tell(f"worker process {worker.place} died ({_in_words(status)})")
        sent = worker.may_have_sent(self._records_of(worker))
        lost = self._dealer.died(
            worker, lambda index: self._is_calling and self._may_repeat(sent[index])
        )
        for record in lost:
            self._lose(record.index, "cancelled", "the worker process that had it died", sent)
        if not self._is_calling:
            return
        self._replace(worker)
        if not self._workers:
            self.ending = Ending.WORKERS_GONE
            self._stop_by(trio.current_time())
        self._begin_if_all_are_there()

    def _replace(self, worker: Worker) -> None:
        """Have another in the place of one that died, unless that would die as well."""
        if not worker.has_answered:
            self._deaths[worker.place] += 1
        if worker.has_answered or self._deaths[worker.place] < _LEAST_DEATHS:
            try:
                self._employ(Worker(self._job, worker.place, spawn_child))
            except OSError as exc:
                why = exc.strerror
                self._tell(f"worker process {worker.place} cannot be started again: {why}")

    def _may_repeat(self, sent: Sequence[bool] | None) -> bool:
        """Whether no request was sent that must not be made twice."""
        return sent is None or not any(
            was_sent and not is_idempotent
            for was_sent, is_idempotent in zip(sent, self._is_idempotent)
        )

    def _cut_short(self, row: Row, kind: ErrorKind, why: str) -> None:
        if row.open:
            self._lose(row.record.index, kind, why, {})

    def _lose(
        self, index: int, kind: ErrorKind, why: str, sent: dict[int, Sequence[bool] | None]
    ) -> None:
        """Settle a record of which no line will come.

        Args:
            sent: for records that were dealt, whether to each API it may have been sent.
        """
        row = self._dealt_rows.pop(index)
        was_dealt, marks = index in sent, sent.get(index)
        outcomes = []
        for place, api in enumerate(self._tally.own):
            is_idempotent = self._is_idempotent[place]
            may_be_sent = was_dealt and (marks is None or marks[place])
            words = f"{why}; {'it may have been sent' if may_be_sent else 'not sent'}"
            error = CallError(kind, words, may_be_sent and not is_idempotent)
            outcome = Outcome(False, error=error, attempts=int(may_be_sent))
            api.settled(outcome)
            outcomes.append(outcome)
        row.result = Result(row.record, self._names, outcomes, self._join)
        self._settle(row, 0)
        self._note_settled()

    async def _part(self) -> None:
        """Stop what is open, hear what came of it, and have the workers end."""
        kind, why = why_cut_short(self.ending, self._settings.deadline)
        for record in self._dealer.withdraw():
            self._lose(record.index, kind, why, {})
        self._changed.unpark_all()
        self._farewell.deadline = trio.current_time() + _PATIENCE
        with self._farewell:
            if self._open_calls:
                for worker in self._workers:
                    worker.cancel(self.ending)
            while self._open_calls and self._workers:
                await self._changed.park()
        for worker in list(self._workers):
            self._give_up_on(worker, kind, why)
        with trio.move_on_after(_PARTING):
            for worker in self._workers:
                worker.dismiss()
            while self._workers:
                await self._changed.park()

    def _give_up_on(self, worker: Worker, kind: ErrorKind, why: str) -> None:
        """It has not said in time what came of its records."""
        sent = worker.may_have_sent(self._records_of(worker))
        self._dealer.died(worker, lambda _: False)
        for index in sent:
            self._lose(index, kind, why, sent)


def _in_words(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
