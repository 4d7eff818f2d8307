"""The backend whose calls are made by worker processes.

    admit --> dealer ====> workers, each a pipeline of its own ====> blocks, in order --> take_ready
                 ^                                                       |
                 +------- unfinished records of a worker that died ------+

Records are dealt to workers in blocks of consecutive records, and come back as finished lines.
Each worker puts its own lines in order, so the line at the head of the output is always the next
one that its worker sends.  While the window is overfull only that worker is read from; the others
fill their pipes, then their own windows, and wait.

`dealt_records` deals the records and settles them, and `workforce` starts and replaces the workers.
When a worker dies, `core.dealing.dealer` decides what becomes of its records: one may be dealt
again if no request was sent for it that must not be repeated.  Once the run must end, workers get a
short time to report on the calls that they cancel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.dealing.messages import Done, Wants
from tmux_fanout.core.dealing.shares import plan_for_dealer, tuned_amounts
from tmux_fanout.core.ending import Ending, why_cut_short
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.tuning.tuning import Tuning, slots_in, without_limits
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.run.backend import Hooks, OpenBackend, WriteBatch
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.workers.crew.base import Crew
from tmux_fanout.engine.workers.dealt_records import DealtRecords
from tmux_fanout.engine.workers.total_statistics import TotalStatistics
from tmux_fanout.engine.workers.worker import Worker
from tmux_fanout.engine.workers.workforce import Workforce

_CANCEL_TIMEOUT = 2.0  # seconds that workers have to report on calls that were cancelled
_REFRESH_TIMEOUT = 0.5  # seconds that they have to report their counts when asked
_EXIT_TIMEOUT = 5.0  # seconds that they have to report their last counts and to end


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
        crew: where workers come from.
    """
    plan = plan_for_dealer(plan)
    opener = workers_backend(plan, crew)
    return Pipeline(plan, source, sink, opener, notify=notify, watch_head=watch_head)


def workers_backend(plan: RunPlan, crew: Crew) -> OpenBackend:
    """Return what opens a `WorkersBackend`.

    Args:
        plan: as `plan_for_dealer` returns it.
        crew: where workers come from.
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
    """Has worker processes make the calls.

    Args:
        plan: as `plan_for_dealer` returns it.
        crew: where workers come from.
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
        self._plan = plan
        self._deadline = plan.settings.deadline
        self._reply_timeout = crew.reply_timeout
        self._flush_timeout = crew.job.flush_timeout
        self._hooks = hooks
        self._totals = TotalStatistics(hooks.statistics, crew.job.workers, hooks.notify)
        self._records = DealtRecords(
            plan,
            crew.job.workers,
            lambda: crew.max_open,
            hooks,
            self._totals.own,
            all_settled=self._all_settled,
        )
        self._spent: set[Worker] = set()
        self._tuning: Tuning | None = None
        self._is_dealing = True
        self._workforce = Workforce(
            crew,
            nursery,
            self._totals,
            on_ready=self._on_ready,
            on_done=self._on_done,
            on_wants=self._on_wants,
            on_share=self._records.stand_by,
            on_exit=self._on_worker_exit,
            records_elsewhere=self._records_elsewhere,
            has_room_for=self._has_room_for,
            start=self.start,
            give_up=lambda: hooks.stop(Ending.WORKERS_GONE),
            on_given_up=hooks.give_up,
            notify=hooks.notify,
            max_grace=max(api.attempt_timeout for api in plan.apis),
        )

    def __repr__(self) -> str:
        return f"<WorkersBackend: {self._records!r}, {self._workforce!r}>"

    def admit(self, records: Sequence[Record]) -> None:
        self._records.add(records)

    def start(self) -> None:
        self._workforce.wake()
        if self._is_dealing and not self._workforce.is_starting:
            self._records.deal()

    def wanted_records(self) -> int:
        return self._records.wanted if self._is_dealing else 0

    @property
    def is_settled(self) -> bool:
        return not self._records.open

    def _has_room_for(self, worker: Worker) -> bool:
        """Whether the lines of a worker may come in now."""
        if not (self._is_dealing and self._hooks.window.is_overfull):
            return True
        head = self._records.head
        return head is not None and head.member is worker

    def _records_elsewhere(self, worker: Worker) -> int | None:
        """Return how many unfinished records a worker does not have; None: more are to come."""
        if self._records.are_waiting or (self._is_dealing and not self._hooks.window.has_room(0)):
            return None
        return self._records.open - self._records.number_at(worker)

    def _all_settled(self) -> None:
        self._hooks.wake_reader()
        self._workforce.wake()

    def _on_ready(self, worker: Worker) -> None:
        if self._tuning:
            self._tune(worker, self._tuning, is_less=True)
        self._records.enlist(worker)

    def tune(self, tuning: Tuning) -> None:
        self._tuning = tuning
        is_less = self._workforce.resize(tuned_amounts(self._plan, tuning))
        for worker in self._workforce:
            if worker.counted:  # else it gets that once it is ready
                self._tune(worker, tuning, is_less=is_less)

    def _tune(self, worker: Worker, tuning: Tuning, *, is_less: bool) -> None:
        worker.tune(without_limits(tuning), slots_in(tuning, self._plan), is_less=is_less)

    def _on_done(self, worker: Worker, done: Done) -> None:
        self._records.settle(worker, done)
        if self._records.are_waiting:
            self.start()
        if done.is_spent:
            self._on_worker_spent(worker)
        elif self._spent:
            self._stop_if_spent()

    def _on_wants(self, worker: Worker, wants: Wants) -> None:
        """Admit more records, even if the window is full, as slots idle."""
        self._records.wants(worker, wants)
        self._hooks.wake_reader()

    def _on_worker_spent(self, worker: Worker) -> None:
        """Let the other workers finish what they have, as one has spent its share of the budget."""
        self._spent.add(worker)
        self.stop_dealing()
        self._stop_if_spent()

    def _stop_if_spent(self) -> None:
        """End the run once no worker has records; those that have spent all soon have none."""
        if not any(map(self._records.are_open_at, self._workforce)):
            ending = self._hooks.ending()
            self._hooks.stop(Ending.COST_LIMIT if ending is Ending.FINISHED else ending)

    def _on_worker_exit(self, worker: Worker, status: int | None) -> None:
        """Have the records of a worker that died dealt again, or settled as lost."""
        if worker in self._spent:  # it was handed these just before that was known
            self._records.give_up_on(worker, *why_cut_short(Ending.COST_LIMIT, None, ""))
        fate = self._records.worker_died(worker, may_deal_again=self._is_dealing)
        if status != 0 or self._is_dealing:  # otherwise it ended as ordered
            self._hooks.notify(f"{worker.name} died{_describe(status)}{fate}")
        if self._spent:
            self._stop_if_spent()

    def stop_dealing(self) -> None:
        """Deal no more records, and replace no more workers."""
        self._is_dealing = False
        self._workforce.close()

    async def shut_down(self, ending: Ending) -> None:
        """Cancel what is open, wait for the workers' reports on it, and let them end.

        Args:
            ending: of the run.
        """
        kind, why = why_cut_short(ending, self._deadline, self._hooks.reason())
        self._records.withdraw(kind, why)
        if self._records.open:
            with trio.move_on_after(max(_CANCEL_TIMEOUT, 2 * self._reply_timeout)):
                await self._cancel_workers(ending)
        for worker in self._workforce:
            why_given_up = f"{why}; the worker process that had it did not report on it"
            self._records.give_up_on(worker, kind, why_given_up)
        usual = _EXIT_TIMEOUT if ending is Ending.FINISHED else self._reply_timeout
        with trio.move_on_after(usual + self._flush_timeout):
            await self._workforce.dismiss()

    async def _cancel_workers(self, ending: Ending) -> None:
        """Have the workers cancel what is open, and wait for what came of it.

        A worker that does not answer at all, such as a stopped process, is killed.
        """
        asked = trio.current_time()
        for worker in self._workforce:
            worker.cancel(ending)
        with trio.move_on_after(self._reply_timeout):
            await self._wait_for_reports()
        if not self._records.open:
            return
        await trio.sleep(
            self._reply_timeout / 5
        )  # to read what arrived while this process stood still
        for worker in self._workforce:
            if worker.heard_at < asked:
                if self._records.are_open_at(worker):
                    what = f"{worker.name} is not responding and is killed"
                    self._hooks.notify(what)
                why = "the worker process that had it did not answer"
                self._records.give_up_on(worker, "cancelled", why)
                worker.kill()
        await self._wait_for_reports()

    async def _wait_for_reports(self) -> None:
        """Wait until no record is open, or no worker is left to report on one."""
        while self._records.open and len(self._workforce):
            await self._workforce.changed.park()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def ready(self) -> bool:
        return self._records.ready

    def take_ready(self) -> Iterator[WriteBatch]:
        return self._records.take_ready()

    def waits(self) -> Sequence[Wait | None]:
        return self._totals.waits(self._workforce)

    def loads(self) -> Sequence[Load]:
        return self._totals.loads(self._workforce)

    async def refresh(self) -> None:
        former = {worker: worker.counted for worker in self._workforce}
        for worker in former:
            worker.ask_for_counts()
        with trio.move_on_after(_REFRESH_TIMEOUT):
            while any(former.get(worker) is worker.counted for worker in self._workforce):
                await self._workforce.changed.park()

    @property
    def head_index(self) -> int | None:
        head = self._records.head
        return next(iter(head.open), None) if head else None

    def head_holds_up(self) -> None:
        """Do nothing: the workers hedge the heads of their own lines."""

    def held_results(self) -> int:
        return self._records.held

    def describe_head(self) -> str:
        head = self._records.head
        if not head or not head.open:
            return ""
        worker = head.member
        return f"{worker.name} has it" if worker else "waits for a worker process"

    def cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        self._records.add(records)
        self._records.cut_short(kind, why)
        self._totals.add_up([])  # all workers have gone


def _describe(status: int | None) -> str:
    """Return how a process ended, in brackets, if that is known."""
    if status is None:
        return ""
    return f" (signal {-status})" if status < 0 else f" (exit status {status})"
