"""The backend that makes its calls in this process.

    admit --> one queue per API --> attempts, as slots come free --> reorder buffer --> take_ready

Results pass through no channel: a call that settles updates its record in the reorder buffer, and
the writer is woken once the record at the head of the line is complete.  `joining` settles records
before all of their calls are, `chaining` starts calls that depend on others, `fallback` leaves
calls that are not ok to other APIs, and `idle_slots` knows when slots idle behind a slow record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.ordering.reorder import AsCompleted, InOrder
from tmux_fanout.core.policy.join import ALL
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.results.mend import MendRecord
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.tuning.tuning import Tuning
from tmux_fanout.engine.calls.call import Call, PendingRecord
from tmux_fanout.engine.calls.caller import Caller
from tmux_fanout.engine.calls.callers.context import RunContext
from tmux_fanout.engine.calls.reuse.sharing import leader_of
from tmux_fanout.engine.calls.reuse.store import Store
from tmux_fanout.engine.calls.slots import TotalLimit
from tmux_fanout.engine.calls.tracing.spans import Spans
from tmux_fanout.engine.io.streams import MAX_RESULTS_AT_ONCE
from tmux_fanout.engine.run.backend import Hooks, WriteBatch, split_by_bytes
from tmux_fanout.engine.run.callers import make_callers
from tmux_fanout.engine.run.idle_slots import IdleSlots
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.metering import Metering
from tmux_fanout.engine.run.settling.chaining import Chaining
from tmux_fanout.engine.run.settling.fallback import caller_of
from tmux_fanout.engine.run.settling.joining import Joining
from tmux_fanout.transports.base import Transport


class LocalBackend:
    """Makes the calls of all APIs.

    Args:
        plan: the whole run.
        transports: one for each API of the plan.
        hooks: of the pipeline.
        nursery: where calls run, within `hooks.scope`.
        options: what the run has besides its plan.
        stores: the caches of the APIs, by their folders.

    Attributes:
        callers: of the APIs, in the order of the plan.
        hedges_head: as for `Backend`.
    """

    def __init__(
        self,
        plan: RunPlan,
        transports: Sequence[Transport],
        hooks: Hooks,
        nursery: trio.Nursery,
        options: LocalOptions,
        *,
        stores: Mapping[str, Store],
    ) -> None:
        self._share = share = options.share
        self._give_up = hooks.give_up
        self._fails_calls = plan.settings.on_down == "fail"
        self._is_given_up = False
        self._reason = ""  # why the run is given up once no attempt is under way
        self._names = plan.names
        self._join = plan.join
        self._mends = options.mends
        # Whether a call may be settled before the others of its record are submitted.
        self._settles_early = options.mends or any(api.share for api in plan.apis)
        self._buffer = (
            AsCompleted[PendingRecord]() if plan.settings.unordered else InOrder[PendingRecord]()
        )
        self._window = hooks.window
        self._hooks = hooks
        self._wake_reader = hooks.wake_reader
        self._wake_writer = hooks.wake_writer
        self._open_calls = 0
        self._wake_reader_at = 0  # open calls; 0 also tells the reader that all are settled
        self._is_open = True
        self._nursery = nursery
        self._is_restarting = False
        limit = plan.settings.total_limit
        self._total = total = TotalLimit(limit) if limit else None
        metering = Metering(plan)
        self._pacers = metering.pacers
        self.callers = make_callers(
            plan,
            transports,
            hooks.statistics.apis,
            self._context(plan, options),
            metering,
            share=share,
            stores=stores,
            settled=self._call_settled,
            lost=self._lost,
        )
        self._chains = [[self.callers[index] for index in chain] for chain in plan.chains]
        self._first_callers = [first for first, *_ in self._chains]
        self._sharing = [caller.sharing for caller in self.callers if caller.sharing]
        self._stores = list(stores.values())
        self._idle_slots = IdleSlots(self.callers, total, plan.window)
        self._chaining = Chaining(self._first_callers)
        self._joining = Joining(plan.join, self._names, self._first_callers, nursery)
        self.hedges_head = any(api.hedge == "head" for api in plan.apis)
        if share:
            share.open(self.callers, metering.pacers, total, metering.budget, self.start)

    def __repr__(self) -> str:
        return f"<LocalBackend: {self._open_calls} calls open, {self._buffer!r}>"

    def _context(self, plan: RunPlan, options: LocalOptions) -> RunContext:
        """Return what all callers have in common."""
        return RunContext(
            nursery=self._nursery,
            scope=self._hooks.scope,
            total=self._total,
            fence=options.share.fence if options.share else None,
            random=options.random,
            may_start=self._may_start,
            has_room=partial(self._window.has_room, 0),
            is_head=self._is_head,
            kept=self._kept,
            held_back=self._wake_reader,
            idle=self._give_up_if_idle,
            give_up=self._stop_at_cost,
            notify=self._hooks.notify,
            timings=plan.settings.timings,
            starts=options.starts,
            spans=Spans(options.export) if options.export else None,
        )

    def close(self) -> None:
        """Stop attempts that run without a task of their own; the nursery has ended all others."""
        self._is_open = False
        if self._share:
            self._share.close()
        for caller in self.callers:
            caller.abandon()

    def _lost(self, caller: Caller) -> None:
        """Act on an API that has been down for longer than calls wait for it."""
        if self._can_do_without(caller):
            caller.fail_waiting()
        elif not self._is_given_up:
            self._is_given_up = True
            for each in self.callers:
                each.close()
            self._reason = caller.describe_loss()
            self._give_up_if_idle()

    def _can_do_without(self, caller: Caller) -> bool:
        """Return whether the run goes on while an API is down: only its waiting calls fail.

        So it is for an API whose calls go to a fallback, and for a fallback of one that is well.
        """
        if self._fails_calls and not all(each.is_down for each in self.callers):
            return True
        fallback = caller.plan.fallback
        if fallback and fallback.on.has_breaker_open:
            return True
        chain = next(chain for chain in self._chains if caller in chain)
        return not all(each.is_down for each in chain[: chain.index(caller)])

    def _give_up_if_idle(self) -> None:
        if self._reason and not any(caller.in_flight for caller in self.callers):
            self._give_up(self._reason)
            self._reason = ""

    def _stop_at_cost(self) -> None:
        """End the run, as nothing more can be paid for, unless it is ending already."""
        ending = self._hooks.ending()
        self._hooks.stop(Ending.COST_LIMIT if ending is Ending.FINISHED else ending)

    def admit(self, records: Sequence[Record]) -> None:
        self._wake_reader_at = 0
        now = trio.current_time()
        if self._settles_early:
            self._admit_open(records, now)
            return
        for record in records:
            pending = self._enter(record)
            for call, caller in zip(pending.calls, self._first_callers):
                if not caller.plan.after:
                    caller.submit(call, now)

    def _enter(self, record: Record) -> PendingRecord:
        pending = PendingRecord(record)
        if record.error is None:
            pending.calls = [Call(pending) for _ in self._first_callers]
            pending.open_calls = len(pending.calls)
            self._open_calls += pending.open_calls
        self._buffer.add(pending)
        return pending

    def _admit_open(self, records: Sequence[Record], now: float) -> None:
        """Submit the calls that have no outcome, of an earlier run or at once."""
        for pending in map(self._enter_to_mend, records):
            for call, caller in zip(pending.calls, self._first_callers):
                if call.outcome is None and not caller.plan.after:
                    caller.submit(call, now)
            if self._chaining.is_needed and pending.open_calls:
                self._chaining.call_settled(pending)
            if self._join is not ALL and pending.open_calls:
                self._joining.call_settled(pending)

    def _enter_to_mend(self, record: Record) -> PendingRecord:
        """Add a record, with the outcomes that it keeps as those of calls that are settled."""
        pending = self._enter(record)
        if isinstance(record, MendRecord):
            for call, kept in zip(pending.calls, record.kept):
                call.outcome = kept
                if kept:
                    pending.open_calls -= 1
                    self._open_calls -= 1
        return pending

    def start(self) -> None:
        for caller in self.callers:
            caller.start()
        for store in self._stores:
            store.resume(self._nursery)

    def wanted_records(self) -> int:
        need = self._idle_slots.need(self._buffer.incomplete)
        self._wake_reader_at = 0 if need.records else max(0, self._open_calls - need.settled)
        return need.records

    @property
    def is_settled(self) -> bool:
        return not self._open_calls

    def _may_start(self, call: Call) -> bool:
        """Whether the window has room for a response; calls that have begun always continue."""
        if self._window.is_overfull:
            return call.attempts > 0 or call.pending is self._buffer.head
        return True

    def _is_head(self, call: Call) -> bool:
        """Whether the output waits for a call, or for a member of it if it is a batch."""
        head = self._buffer.head
        return call.pending is head or any(member.pending is head for member in call.members)

    def _kept(self, size: int) -> None:
        """Count bytes that calls keep; once they overfill the window no longer, others may start.

        `Transfer` starts calls after writes, the only other way in which bytes leave the window.
        """
        was_overfull = self._window.is_overfull
        self._window.grow(size)
        if was_overfull and not (self._window.is_overfull or self._is_restarting) and self._is_open:
            self._is_restarting = True
            self._nursery.start_soon(self._restart)

    async def _restart(self) -> None:
        """Start calls, outside of whatever has just made room for them."""
        self._is_restarting = False
        self.start()

    def _call_settled(self, call: Call, size: int) -> None:
        """Update the record of a call that has got its outcome, of `size` bytes."""
        pending = call.pending
        pending.open_calls -= 1
        self._open_calls -= 1
        if self._open_calls <= self._wake_reader_at:
            self._wake_reader_at = 0
            self._wake_reader()
        pending.size += size
        self._window.grow(size)
        if not pending.open_calls:
            pending.close()
            self._buffer.completed(pending)
            if self._buffer.ready:
                self._wake_writer()
        elif self._is_open:
            if self._chaining.is_needed:
                self._chaining.call_settled(pending)
            if self._join is not ALL and pending.open_calls:
                self._joining.call_settled(pending)

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def ready(self) -> bool:
        return self._buffer.ready

    def take_ready(self) -> Iterator[WriteBatch]:
        taken = self._buffer.take(MAX_RESULTS_AT_ONCE)
        for sharing in self._sharing:
            for pending in taken:
                sharing.written(pending)
        for part, size in split_by_bytes(taken, attrgetter("size")):
            results = [Result(each.record, self._names, each.outcomes, self._join) for each in part]
            yield WriteBatch(results, size)

    def waits(self) -> Sequence[Wait | None]:
        now = trio.current_time()
        return [caller.describe_wait(now) for caller in self.callers]

    def loads(self) -> Sequence[Load]:
        now = trio.current_time()
        return [caller.load(now) for caller in self.callers]

    def tune(self, tuning: Tuning) -> None:
        rates: dict[str, float] = {}
        for caller, each in zip(self.callers, tuning.apis):
            caller.tune(each)
            group = caller.plan.rate_group or caller.plan.name
            rates[group] = min(each.rate, rates.get(group, each.rate))
        now = trio.current_time()
        for caller in self.callers:
            if pacer := self._pacers.get(caller.plan.name):
                pacer.tune(rates[caller.plan.rate_group or caller.plan.name], now)
        if self._total:
            self._total.tune(tuning.total)
        for caller in self.callers:
            caller.resume()

    async def refresh(self) -> None:
        await trio.lowlevel.checkpoint()  # they always are

    @property
    def head_index(self) -> int | None:
        head = self._buffer.head
        return None if head is None else head.record.index

    def head_holds_up(self) -> None:
        head = self._buffer.head
        if self.hedges_head and head is not None:
            for call, caller in zip(head.calls, self._first_callers):
                caller_of(call, caller).holds_up(call)

    def held_results(self) -> int:
        return len(self._buffer) - self._buffer.incomplete

    def describe_head(self) -> str:
        head = self._buffer.head
        calls = zip(head.calls if head else (), self._first_callers)
        return "; ".join(
            f"{caller_of(call, caller).plan.name}: {_describe(call)}"
            for call, caller in calls
            if call.outcome is None
        )

    def cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        enter = self._enter_to_mend if self._mends else self._enter
        for pending in [*self._buffer, *map(enter, records)]:
            for call, caller in zip(pending.calls, self._first_callers):
                if call.outcome is None:
                    caller_of(call, caller).cut_short(call, kind, why)


def _describe(call: Call) -> str:
    """Say what an open call is doing."""
    call = call.batch or call
    if call.is_under_way:
        return f"attempt {call.attempts} is under way"
    if call.goes_on and (series := call.series):
        return f"waits for its next {series.noun}"
    if call.last_answer is not None:
        return f"waits for attempt {call.attempts + 1}, after {_describe_failure(call.last_answer)}"
    if leader_of(call) is not call:
        return "waits for the answer to the same request of another record"
    return "waits for other APIs" if call.is_new else "waits for its turn"


def _describe_failure(answer: Response | TransportError) -> str:
    return answer.message if isinstance(answer, TransportError) else f"HTTP {answer.status}"
