"""The worker processes that are alive: starting, reading reports, replacing, dismissing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.dealing.messages import (
    Asks,
    Counted,
    Done,
    Found,
    GivenUp,
    Notice,
    Report,
    Tallied,
    Wants,
)
from tmux_fanout.engine.workers.crew.base import Crew
from tmux_fanout.engine.workers.limits import SharedLimits
from tmux_fanout.engine.workers.restarts import Restarts
from tmux_fanout.engine.workers.total_statistics import TotalStatistics
from tmux_fanout.engine.workers.worker import Worker

_AMOUNT = re.compile(r"\b(until|after|at) \d\S*")
_SAME_MESSAGE_WITHIN = 5.0  # seconds: several workers tend to notice the same thing
_SILENT_AFTER = 5.0  # seconds without a report; a worker asks for its share more often
_START_TIMEOUT = 5.0  # seconds that a new worker has to be ready before the others get everything


class Workforce:
    """The workers of a run, from the start of each process to its end.

    Args:
        crew: where workers come from.
        nursery: where the tasks of workers run.
        totals: adds up what the workers count.
        on_ready: called with each worker that can take records from now on.
        on_done: called with each report on records.
        on_wants: called with each report on slots that idle.
        on_share: called with a worker, and whether it stands by as it has no share of the limits.
        on_exit: called with each worker that died, and its exit status, before it is replaced.
        records_elsewhere: returns how many unfinished records the run has that a worker does not
            have; None: not known.
        has_room_for: whether the next reports of a worker may be read now.
        start: deals records; called when more workers are ready.
        give_up: called when no worker is left, and none will be started.
        on_given_up: called with the reason when a worker wants the run to be given up.
        notify: called with one-line notices for the user.
        max_grace: seconds for which attempts of a worker that died may go on at most.

    Attributes:
        changed: unparked when a worker has gone or has reported its counts, and by `wake`.
        is_starting: whether dealing has to wait for workers that are not ready yet.
    """

    def __init__(
        self,
        crew: Crew,
        nursery: trio.Nursery,
        totals: TotalStatistics,
        *,
        on_ready: Callable[[Worker], None],
        on_done: Callable[[Worker, Done], None],
        on_wants: Callable[[Worker, Wants], None],
        on_share: Callable[[Worker, bool], object],
        on_exit: Callable[[Worker, int | None], None],
        records_elsewhere: Callable[[Worker], int | None],
        has_room_for: Callable[[Worker], bool],
        start: Callable[[], None],
        give_up: Callable[[], None],
        on_given_up: Callable[[str], None],
        notify: Callable[[str], None],
        max_grace: float,
    ) -> None:
        self._crew = crew
        self._nursery = nursery
        self._totals = totals
        self._on_ready = on_ready
        self._on_done = on_done
        self._on_wants = on_wants
        self._on_given_up = on_given_up
        self._on_exit = on_exit
        self._records_elsewhere = records_elsewhere
        self._has_room_for = has_room_for
        self._start = start
        self._give_up = give_up
        self._notify = notify
        self._messages = MessageDeduplicator(notify)
        self._restarts = Restarts(
            nursery,
            self._start_another,
            is_wanted=lambda: self._is_open,
            given_up=self._give_up_if_none_is_left,
            notify=notify,
        )
        self._limits = SharedLimits(crew.holder, crew.first(), totals, max_grace, on_share)
        self._workers: dict[Worker, None] = {}
        self._is_open = True
        self._may_join = True
        self.is_starting = False
        self.changed = ParkingLot()
        for worker in crew.first():
            self._employ(worker)
        nursery.start_soon(self._watch)

    def __repr__(self) -> str:
        return f"<Workforce: {list(self._workers)}>"

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        """Yield the workers that are alive; any of them may go meanwhile."""
        return iter(list(self._workers))

    def wake(self) -> None:
        """Look again at who may be read from, and at what is awaited on `changed`."""
        self.changed.unpark_all()

    def resize(self, wholes: Sequence[int]) -> bool:
        """Change the limits; workers have to ask for their shares.

        Returns:
            Whether one is lower than before.
        """
        is_less, due = self._limits.resize(wholes)
        for worker in due:
            self._await(worker)
        return is_less

    def close(self) -> None:
        """Start no more workers, and read from all of them."""
        self._is_open = False
        self.wake()

    async def dismiss(self) -> None:
        """Have all workers end, and wait until they have."""
        for worker in self._workers:
            worker.dismiss()
        while self._workers:
            await self.changed.park()

    async def _watch(self) -> None:
        await self._crew.watch(self._welcome, self._notify)
        self._may_join = False
        self._give_up_if_none_is_left()

    def _welcome(self, worker: Worker) -> None:
        """Employ a worker that has come by itself."""
        if self._is_open:
            self._limits.inform(worker)
            self._employ(worker)
        else:
            worker.reap()
            worker.forget_flags()

    def _employ(self, worker: Worker) -> None:
        self._workers[worker] = None
        self._limits.expect(worker)
        self._nursery.start_soon(self._run_worker, worker)
        self._await(worker)

    def _await(self, worker: Worker) -> None:
        """Deal no records before a worker is ready to take some, or takes too long for that."""
        self.is_starting = True
        self._nursery.start_soon(self._start_without, worker)

    def _start_another(self, worker: Worker) -> None:
        if another := self._crew.replacement(worker):
            self._limits.join(another)
            self._employ(another)

    async def _start_without(self, worker: Worker) -> None:
        """Deal to the other workers if one, such as a stopped process, is not ready in time."""
        await trio.sleep(_START_TIMEOUT)
        if worker in self._workers and self._is_awaited(worker) and self.is_starting:
            self.is_starting = False
            if self._is_open:
                self._start()

    async def _run_worker(self, worker: Worker) -> None:
        try:
            try:
                await worker.run(
                    lambda report: self._receive(worker, report),
                    lambda: self._wait_for_room(worker),
                )
            finally:
                status = worker.reap()
                del self._workers[worker]
                for each in self._limits.leave(worker):
                    self._await(each)
                self._totals.inherit(worker)
                self._totals.add_up(self._workers)
            if not worker.is_dismissed:
                self._on_exit(worker, status)
                self._replace(worker, was_killed=status is None or status < 0)
        finally:
            worker.forget_flags()
            self.wake()

    def _replace(self, worker: Worker, *, was_killed: bool) -> None:
        if not self._is_open:
            return
        self._restarts.replace(worker, killed=was_killed)
        self._start_if_all_are_ready()

    async def _wait_for_room(self, worker: Worker) -> None:
        while not self._has_room_for(worker):
            await self.changed.park()

    def _receive(self, worker: Worker, report: Report) -> None:
        worker.heard_at = trio.current_time()
        if isinstance(report, Done):
            self._on_done(worker, report)
        elif isinstance(report, Notice):
            self._messages.pass_on(report.text)
        elif isinstance(report, GivenUp):
            self._on_given_up(report.reason)
        elif isinstance(report, Counted):
            self._update_counts(worker, report)
        elif isinstance(report, Wants):
            self._on_wants(worker, report)
        elif isinstance(report, Asks):
            if self._limits.answer(worker, report.ask):
                self._start_if_all_are_ready()
        elif isinstance(report, Found):
            self._limits.pass_on(worker, report.conditions, self._workers)
        elif isinstance(report, Tallied):
            elsewhere = self._records_elsewhere(worker)
            self._limits.add_tallies(worker, report, self._responding(), elsewhere)

    def _responding(self) -> list[Worker]:
        """Return the workers that are ready, and not stopped or out of reach."""
        since = trio.current_time() - _SILENT_AFTER
        return [each for each in self._workers if each.counted and each.heard_at >= since]

    def _update_counts(self, worker: Worker, counted: Counted) -> None:
        is_first, worker.counted = worker.counted is None, counted
        self._totals.add_up(self._workers)
        self.changed.unpark_all()
        if is_first:
            self._on_ready(worker)
            self._start_if_all_are_ready()

    def _start_if_all_are_ready(self) -> None:
        if not any(map(self._is_awaited, self._workers)):
            self.is_starting = False
        if self._is_open:
            self._start()

    def _is_awaited(self, worker: Worker) -> bool:
        """Return whether dealing waits for a worker that has just been started."""
        return worker.counted is None or self._limits.expects_share(worker)

    def _give_up_if_none_is_left(self) -> None:
        if not (self._workers or self._may_join or self._restarts.are_pending):
            self._give_up()


class MessageDeduplicator:
    """Passes on notices, except those that were passed on within the last seconds.

    Those that differ in a time or a rate only are the same notice, from different workers.

    Args:
        notify: called with each text.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._recent: dict[str, float] = {}  # times, by text

    def __repr__(self) -> str:
        return f"<MessageDeduplicator: {len(self._recent)} recent texts>"

    def pass_on(self, text: str) -> None:
        """Pass a text on unless it was recently."""
        now = trio.current_time()
        self._recent = {
            text: at for text, at in self._recent.items() if at > now - _SAME_MESSAGE_WITHIN
        }
        what = _AMOUNT.sub(r"\1", text)
        if what not in self._recent:
            self._recent[what] = now
            self._notify(text)
