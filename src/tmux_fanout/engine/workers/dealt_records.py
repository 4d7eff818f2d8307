"""The records of a run that were dealt to workers, from dealing to the results in output order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.dealing.blocks import Block, BlocksAsCompleted, BlocksInOrder
from tmux_fanout.core.dealing.dealer import Dealer, describe_fate
from tmux_fanout.core.dealing.lost_records import Sent, lost_outcomes, may_repeat
from tmux_fanout.core.dealing.messages import Done, Wants
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.results.outcome import LineResult, Result
from tmux_fanout.engine.io.streams import MAX_BYTES_AT_ONCE, MAX_RESULTS_AT_ONCE
from tmux_fanout.engine.run.backend import Hooks, WriteBatch, split_by_bytes
from tmux_fanout.engine.workers.worker import Worker


class DealtRecords:
    """Deals records in blocks, and settles them with lines, or as lost.

    Args:
        plan: of the run.
        workers: how many there are.
        max_open: returns how many records a worker may have at the same time; None: as many as the
            window has.
        hooks: of the pipeline.
        statistics: where to count the outcomes of lost records, for each API.
        all_settled: called when no record is open any more.

    Attributes:
        open: the number of records without a result.
    """

    def __init__(
        self,
        plan: RunPlan,
        workers: int,
        max_open: Callable[[], int | None],
        hooks: Hooks,
        statistics: Sequence[ApiStatistics],
        *,
        all_settled: Callable[[], None],
    ) -> None:
        self._names = plan.names
        self._join = plan.join
        self._chains = plan.chains
        self._is_idempotent = [api.retry.idempotent for api in plan.apis]
        self._sent_nowhere = [False] * len(plan.apis)
        is_unordered = plan.settings.unordered
        self._blocks = BlocksAsCompleted[Worker]() if is_unordered else BlocksInOrder[Worker]()
        batch = max(api.batch.size if api.batch else 1 for api in plan.apis)
        self._max_open = max_open
        self._max_window = plan.stretched_window
        self._dealer = Dealer[Worker](workers, batch, max(1, self._most() // 2))
        self._window = hooks.window
        self._wake_writer = hooks.wake_writer
        self._statistics = statistics
        self._all_settled = all_settled
        self.open = 0

    def __repr__(self) -> str:
        return f"<DealtRecords: {self.open} open, {self._dealer!r}>"

    def __len__(self) -> int:
        """Return how many blocks have not been taken yet."""
        return len(self._blocks)

    def add(self, records: Sequence[Record]) -> None:
        """Append records to the output, and queue the valid ones to be dealt."""
        for block in self._blocks_of(records):
            self._blocks.add(block)

    def _blocks_of(self, records: Sequence[Record]) -> Iterator[Block[Worker]]:
        """Form blocks of records; the dealer gets all but those of invalid records."""
        for is_valid, group in groupby(records, lambda record: record.error is None):
            if is_valid:
                blocks = self._dealer.add(list(group))
                self.open += sum(len(block.open) for block in blocks)
                yield from blocks
            else:
                block: Block[Worker] = Block([])
                for record in group:
                    block.add(Result(record, self._names, ()))
                yield block

    def enlist(self, worker: Worker) -> None:
        """Deal to a worker, too, from now on."""
        self._dealer.enlist(worker)

    def stand_by(self, worker: Worker, stands_by: bool) -> None:
        """Deal to a worker only if there is no other."""
        self._dealer.stand_by(worker, stands_by=stands_by)

    def wants(self, worker: Worker, wants: Wants) -> None:
        """Note that slots of a worker idle."""
        self._dealer.wants(worker, wants.records, wants.received)

    @property
    def wanted(self) -> int:
        """The number of records that idle slots could use."""
        return self._dealer.wanted

    def deal(self) -> None:
        """Hand the records that wait to the workers."""
        most = self._most()
        while dealt := self._dealer.next(lambda _: most):
            dealt.member.hand(dealt.records)

    def _most(self) -> int:
        """Return how many records a worker may have at the same time."""
        return self._max_open() or self._max_window

    @property
    def are_waiting(self) -> bool:
        """Whether records wait for a worker."""
        return self._dealer.is_waiting

    def number_at(self, worker: Worker) -> int:
        """Return the number of open records that a worker has."""
        return self._dealer.number_at(worker)

    def are_open_at(self, worker: Worker) -> bool:
        """Whether a worker has open records."""
        return bool(self._dealer.blocks_of(worker))

    def settle(self, worker: Worker, done: Done) -> None:
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
            outcomes, failed = done.outcomes.get(index, ()), done.failures.get(index, ())
            block.results.append(LineResult(record, names, outcomes, join, line, failed))
            size = len(line)
            block.size += record.size + size
            grown += size
            settled += 1
        self._window.grow(grown)
        self._dealer.finished(worker, settled, blocks)
        self._note_settled(settled)

    def worker_died(self, worker: Worker, *, may_deal_again: bool) -> str:
        """Queue the records of a worker that died again, or settle them as lost.

        Returns:
            What became of them, as the end of a sentence.
        """
        sent = self._may_have_sent(worker)
        broken = self._dealer.died(
            worker, lambda index: may_deal_again and may_repeat(sent[index], self._is_idempotent)
        )
        fate = describe_fate(broken)  # before the lost ones are settled
        self._blocks.replace({each.block: each.parts for each in broken})
        for each in broken:
            for part in each.lost:
                self._lose(part, "cancelled", "the worker process that had it died", sent)
        self._wake_writer()  # another block may be at the head of the line now
        return fate

    def give_up_on(self, worker: Worker, kind: ErrorKind, why: str) -> None:
        """Settle the records of a worker that has not reported on them in time."""
        sent = self._may_have_sent(worker)
        for block in self._dealer.blocks_of(worker):
            self._lose(block, kind, why, sent)

    def _may_have_sent(self, worker: Worker) -> dict[int, Sent]:
        """Return, by index, which APIs each open record of a worker may have been sent to."""
        blocks = self._dealer.blocks_of(worker)
        return worker.may_have_sent([index for block in blocks for index in block.open])

    def withdraw(self, kind: ErrorKind, why: str) -> None:
        """Settle the records that were dealt to nobody."""
        for block in self._dealer.withdraw():
            self._lose(block, kind, why, {})

    def cut_short(self, kind: ErrorKind, why: str) -> None:
        """Settle all open records; all workers have gone."""
        for block in list(self._blocks):
            self._lose(block, kind, why, {})

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
            outcomes = lost_outcomes(kind, why, may_be_sent, self._is_idempotent, self._chains)
            for (first, *_), outcome in zip(self._chains, outcomes):
                self._statistics[first].settled(outcome)
                self._statistics[first].failed(outcome, record.index)
            block.add(Result(record, self._names, outcomes, self._join))
        self._note_settled(len(records))

    def _note_settled(self, records: int) -> None:
        self.open -= records
        if self._blocks.ready:
            self._wake_writer()
        if not self.open:
            self._all_settled()

    @property
    def ready(self) -> bool:
        """Whether there are results to take."""
        return self._blocks.ready

    @property
    def held(self) -> int:
        """The number of results that are not taken."""
        return sum(len(block.results) for block in self._blocks)

    @property
    def head(self) -> Block[Worker] | None:
        """The block that the output waits for."""
        return self._blocks.head

    def take_ready(self) -> Iterator[WriteBatch]:
        """Remove and yield some of the ready results, in output order, as batches."""
        results, size = self._blocks.take(MAX_RESULTS_AT_ONCE)
        if size <= MAX_BYTES_AT_ONCE:
            yield WriteBatch(results, size)
        else:
            for part, part_size in split_by_bytes(results, _size_of):
                yield WriteBatch(part, part_size)


def _size_of(result: Result) -> int:
    return result.source.size + (len(result.line) if isinstance(result, LineResult) else 0)
