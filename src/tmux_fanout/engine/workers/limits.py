"""The limits of a run, of which each worker gets a share, and what workers learn of endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import trio

from tmux_fanout.core.dealing.messages import Tallied
from tmux_fanout.core.sharing.conditions import Board, Condition
from tmux_fanout.core.sharing.holder import Holder
from tmux_fanout.core.sharing.lease import Ask, Grant
from tmux_fanout.core.sharing.tallies import Ledger
from tmux_fanout.engine.workers.total_statistics import TotalStatistics
from tmux_fanout.engine.workers.worker import Worker

_MIN_GRACE = 0.25  # seconds
_ASK_AT_ONCE = Grant(0, (), 0.0, 0.0)  # answers nothing


class SharedLimits:
    """Grants workers their shares, and passes on what they find out.

    Args:
        holder: divides the limits.
        workers: those that have their first shares.
        totals: knows how long calls took.
        max_grace: seconds for which attempts of a worker that died may go on at most.
        on_share: called with a worker, and whether it stands by as it has no share.
    """

    def __init__(
        self,
        holder: Holder[Worker],
        workers: Iterable[Worker],
        totals: TotalStatistics,
        max_grace: float,
        on_share: Callable[[Worker, bool], object],
    ) -> None:
        self._holder = holder
        self._totals = totals
        self._max_grace = max_grace
        self._on_share = on_share
        self._standing_by: set[Worker] = set()
        self._expecting: set[Worker] = set()  # who will have a share soon, or know that it has none
        self._board = Board[Worker]()
        self._ledger = Ledger[Worker]()
        for worker in workers:
            self._set(worker, stands_by=not holder.is_due(worker))

    def __repr__(self) -> str:
        return f"<SharedLimits: {self._holder!r}, {len(self._standing_by)} stand by>"

    def join(self, worker: Worker) -> None:
        """Give a worker that was started its job, with its first share."""
        now = trio.current_time()
        self._holder.join(worker)
        grant = self._holder.first(worker, now)
        self._note(worker, grant)
        worker.assign(grant, self._board.current(now))

    def expect(self, worker: Worker) -> None:
        """Note that a worker will ask for its share, before which it should get no records."""
        self._expecting.add(worker)

    def inform(self, worker: Worker) -> None:
        """Tell a worker that has its job, and will ask for its share, what is known."""
        if known := self._board.current(trio.current_time()):
            worker.tell(known)

    def leave(self, worker: Worker) -> Sequence[Worker]:
        """Let the others have the share of a worker that is gone.

        Returns:
            Those that stood by, and will have a share soon.
        """
        self._update_grace()
        self._holder.leave(worker, trio.current_time())
        self._board.leave(worker)
        self._ledger.leave(worker)
        self._standing_by.discard(worker)
        self._expecting.discard(worker)
        due = self._expect_those_due()
        for each in due:
            each.grant(_ASK_AT_ONCE)
        return due

    def resize(self, wholes: Sequence[int]) -> tuple[bool, Sequence[Worker]]:
        """Change the limits, of which workers have to ask for their shares.

        Returns:
            Whether one is lower than before, and the workers that stood by and will have a share.
        """
        return self._holder.resize(wholes), self._expect_those_due()

    def _expect_those_due(self) -> Sequence[Worker]:
        due = [each for each in self._standing_by if self._holder.is_due(each)]
        self._expecting.update(due)
        return due

    def answer(self, worker: Worker, ask: Ask) -> bool:
        """Grant a worker its share; return whether more can be dealt than before."""
        self._update_grace()
        now = trio.current_time()
        for each in self._holder.forget_the_silent(now):
            self._set(each, stands_by=True)
        grant = self._holder.answer(worker, ask, now)
        worker.grant(grant)
        if not grant.is_settled:
            for each in self._holder.owing():
                if each is not worker:
                    each.grant(_ASK_AT_ONCE)
        return self._note(worker, grant)

    def _update_grace(self) -> None:
        """Count what a worker had for as long as the slowest answer so far took."""
        self._holder.grace = min(max(self._totals.slowest, _MIN_GRACE), self._max_grace)

    def expects_share(self, worker: Worker) -> bool:
        """Return whether a worker has no share, and will have one soon."""
        return worker in self._expecting

    def _note(self, worker: Worker, grant: Grant) -> bool:
        """Note whether a worker has a share; return whether that has changed for the better."""
        lacks = self._holder.lacks(grant)
        expected = worker in self._expecting
        if lacks and not grant.is_settled:
            self._expecting.add(worker)
        else:
            self._expecting.discard(worker)
        stood_by = worker in self._standing_by
        self._set(worker, stands_by=lacks)
        return (stood_by and not lacks) or (expected and worker not in self._expecting)

    def _set(self, worker: Worker, *, stands_by: bool) -> None:
        if stands_by != (worker in self._standing_by):
            (self._standing_by.add if stands_by else self._standing_by.remove)(worker)
            self._on_share(worker, stands_by)

    def pass_on(
        self, worker: Worker, conditions: Sequence[Condition], workers: Iterable[Worker]
    ) -> None:
        """Tell the other workers what one has found out, and that one what it leaves to them."""
        now = trio.current_time()
        told = self._board.add(worker, conditions, now)
        if own := self._board.leave_to_others(worker, conditions, now):
            worker.tell(own)
        for each in workers if told else ():
            if each is not worker:
                each.tell(told)

    def add_tallies(
        self, worker: Worker, tallied: Tallied, workers: Iterable[Worker], records: int | None
    ) -> None:
        """Note what a worker has counted, and tell it what the others have, if it asks.

        Args:
            worker: the worker.
            tallied: its report.
            workers: all that can report.
            records: how many unfinished records the run has elsewhere; None: not known.
        """
        now = trio.current_time()
        self._ledger.add(worker, tallied.tallies, now)
        if not tallied.asks:
            return
        keys = [each.key for each in tallied.tallies]
        others = [each for each in workers if each is not worker]
        if questions := self._ledger.questions(keys, now):
            for each in others:
                each.ask_for_tallies(questions)
        worker.tell_of_others(self._ledger.others(worker, keys, others, now), records)
