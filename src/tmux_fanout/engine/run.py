"""One run, from the first record to the last line.

    source --> admission --> calls, one queue for each API --> reorder buffer --> sink
                  ^                                                              |
                  +---------------- the window makes room <----------------------+

Three kinds of task: one reads and admits, one writes, and those of the callers make calls, one or
many at a time.  They never hand results through channels: a call that settles marks its row, and
the writer is woken when the row at the head of the line is complete.  So memory is bounded by the
window, a slow reader of the output stops the writer, a full window stops the reading, and no cycle
can deadlock: the head of the line always owns its place.  Before slots idle for it,
`core.stretching` takes over.

Whatever stops a run early only moves the time at which its work must be over: a deadline, a first
signal (now, and time to drain), a second one (now).  Every way out then passes the same closing:
what is still open is settled as cut short, and the sink gets every record that was read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.ending import Ending, why_cut_short
from tmux_fanout.core.errors import ErrorKind, InputError, OutputClosed, OutputError
from tmux_fanout.core.join import ALL
from tmux_fanout.core.outcome import Result
from tmux_fanout.core.plan import RunPlan
from tmux_fanout.core.records import Record
from tmux_fanout.core.reorder import AsCompleted, InOrder
from tmux_fanout.core.statistics import RunStatistics
from tmux_fanout.core.window import Window
from tmux_fanout.engine.accounted import hand_over, take
from tmux_fanout.engine.call import Call
from tmux_fanout.engine.callers import make_callers
from tmux_fanout.engine.chaining import Chaining
from tmux_fanout.engine.head import HeadOfLine
from tmux_fanout.engine.idling import Idling
from tmux_fanout.engine.joining import Joining
from tmux_fanout.engine.row import Row, by_size
from tmux_fanout.engine.streams import Sink, Source
from tmux_fanout.engine.total import TotalLimit
from tmux_fanout.transports.base import Transport

MOST_RESULTS_AT_ONCE = 256


class Run:
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
        statistics: what was counted; live while the run lasts.
        ending: why the run ended, or would if it ended now.
        trouble: what broke the input or the output, or None.
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
        settings = self._settings = plan.settings
        self._names = tuple(api.name for api in plan.apis)
        self.statistics = RunStatistics(self._names)
        self.ending = Ending.FINISHED
        self.trouble: Exception | None = None
        self._source = source
        self._sink = sink
        self._chunk: deque[Record] = deque()  # read, not yet admitted
        self._window = Window(plan.window, settings.window_bytes, plan.stretched_window)
        self._room = ParkingLot()  # the reader waits here for the window
        self._rows = AsCompleted[Row]() if settings.unordered else InOrder[Row]()
        self._ready = ParkingLot()  # the writer waits here for the head of the line
        self._is_waiting_for_head = False
        self._is_settled = False
        self._open_calls = 0
        self._few_calls = 0  # so few open that the reader, or who waits for all, has to know
        self._all_settled = ParkingLot()
        self._reading = trio.CancelScope()
        self._working = trio.CancelScope()
        self._flushing = trio.CancelScope()
        total = TotalLimit(settings.total_limit) if settings.total_limit else None
        self._callers = make_callers(
            plan.apis,
            transports,
            total,
            self.statistics.apis,
            may_start=self._may_start,
            settled=self._call_settled,
            tell=tell,
            random=random or Random(),
        )
        self._idling = Idling(self._callers, self.statistics.apis, total, plan.window)
        self._head = HeadOfLine(self._callers, tell if watch_head else None)
        self._chaining = Chaining(self._callers)
        self._is_calling = False  # whether calls may be started
        self._join = plan.join
        self._joining = Joining(plan.join, self._names, self._callers)
        self._max_failures = plan.max_failures

    def __repr__(self) -> str:
        return f"<Run: {self.ending.value}, {self._window!r}, {self._rows!r}>"

    def drain(self, ending: Ending) -> None:
        """Stop reading, and give what is admitted the drain timeout to finish."""
        self.ending = ending
        self._reading.cancel()
        self._stop_by(trio.current_time() + self._settings.drain_timeout)

    def abort(self, ending: Ending) -> None:
        """Cancel every call now; each record that was read still gets its line.

        Asked once more, do not even wait for the reader of the output.
        """
        self.ending = ending
        if self._flushing.cancel_called:
            self._sink.hurry()
        self._stop_by(trio.current_time())

    def _stop_by(self, time: float) -> None:
        for scope in (self._working, self._flushing):
            scope.deadline = min(scope.deadline, time)

    async def run(self) -> None:
        """Read, call and write until the input ends or the run is stopped.

        What went wrong with input or output does not raise: it is in `ending` and `trouble`.
        """
        started, busy = trio.current_time(), time.process_time()
        if self._settings.deadline is not None:
            self._stop_by(started + self._settings.deadline)
        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(self._write, nursery)
                nursery.start_soon(self._watch_reader, nursery)
                nursery.start_soon(self._head.watch)
                await self._work()
                self._settle_the_rest()
                with self._flushing:
                    await trio.sleep_forever()  # until the writer is done, and cancels all this
                self._note_deadline()
                self._sink.hurry()
                await trio.sleep_forever()
        finally:
            self.statistics.conclude(trio.current_time(), started, time.process_time() - busy)

    async def _work(self) -> None:
        with self._working:
            try:
                async with trio.open_nursery(strict_exception_groups=True) as calls:
                    self._joining.nursery = calls
                    for caller in self._callers:
                        caller.open(calls, self._working)
                    self._is_calling = True
                    with self._reading:
                        await self._read()
                    while self._open_calls:
                        await self._all_settled.park()
                    calls.cancel_scope.cancel()  # alarms, and what was lost to others
            finally:
                self._is_calling = False
                for caller in self._callers:
                    caller.abandon()
        if self._working.cancelled_caught:
            self._note_deadline()

    def _note_deadline(self) -> None:
        if self.ending in (Ending.FINISHED, Ending.INPUT_BROKEN):
            self.ending = Ending.DEADLINE

    async def _read(self) -> None:
        """Admit records as the window makes room, in input order, and start their calls."""
        try:
            while chunk := await take(self._source, self.statistics):
                self.statistics.read += len(chunk)
                self._chunk.extend(chunk)
                while self._chunk:
                    self._admit()
                    self._start_calls()
                    if self._chunk and not self._stretch():
                        self._note_head()
                        await self._room.park()
        except InputError as exc:
            self.ending, self.trouble = Ending.INPUT_BROKEN, exc

    def _admit(self) -> None:
        now = trio.current_time()
        while self._chunk and self._window.try_enter(self._chunk[0].size):
            self._submit(self._enter(self._chunk.popleft()), now)
        self._wake_writer()
        self._note_head()

    def _stretch(self) -> bool:
        """Start what slots idle for want of, though the window is full; say if there was any.

        If not, the reader is woken as soon as there may be: see `_few_calls`.
        """
        self._few_calls = 0
        is_held_by_head = self._is_waiting_for_head and not self._rows.ready
        if not (is_held_by_head and self._window.has_room(self._chunk[0].size, is_needed=True)):
            return False
        now, need = trio.current_time(), self._idling.need(self._rows.incomplete)
        for _ in range(min(need.records, len(self._chunk))):
            if not self._window.try_enter(self._chunk[0].size, is_needed=True):
                break
            self._submit(self._enter(self._chunk.popleft()), now)
        if need.records:
            self._start_calls()
        else:
            self._few_calls = max(0, self._open_calls - need.settled)
        return need.records > 0

    def _submit(self, row: Row, now: float) -> None:
        for call, caller in zip(row.calls, self._callers):
            if not caller.plan.after:
                caller.submit(call, now)

    def _enter(self, record: Record) -> Row:
        row = Row(record)
        if record.error is None:
            row.calls = [Call(row) for _ in self._callers]
            row.open = len(row.calls)
            self._open_calls += row.open
        self._rows.add(row)
        return row

    def _start_calls(self) -> None:
        for caller in self._callers:
            caller.start()

    def _may_start(self, call: Call) -> bool:
        """Whether there is room for what an attempt may bring; what has begun goes on."""
        if self._window.is_overfull:
            return call.attempts > 0 or call.row is self._rows.head
        return True

    def _call_settled(self, call: Call, size: int) -> None:
        row = call.row
        row.open -= 1
        self._open_calls -= 1
        if self._open_calls <= self._few_calls:
            self._few_calls = 0
            self._all_settled.unpark_all()
            self._room.unpark_all()
        row.size += size
        self._window.grow(size)
        if not row.open:
            row.close()
            self._rows.completed(row)
            self._wake_writer()
        elif self._is_calling:
            if self._chaining.is_needed:
                self._chaining.look_at(row)
            if self._join is not ALL and row.open:
                self._joining.look_at(row)

    def _wake_writer(self) -> None:
        if self._is_waiting_for_head and self._rows.ready:
            self._ready.unpark_all()

    async def _write(self, nursery: trio.Nursery) -> None:
        """Hand over what is at the head of the line, until there is nothing left to come."""
        try:
            while len(self._rows) or not self._is_settled:
                rows = self._rows.take(MOST_RESULTS_AT_ONCE)
                if rows:
                    for batch in by_size(rows):
                        await self._hand_over(batch)
                else:
                    self._is_waiting_for_head = True
                    self._room.unpark_all()  # as the window may be stretched from now on
                    self._note_head()
                    await self._ready.park()
                    self._is_waiting_for_head = False
                    self._head.waits_for(None)
        except OutputError as exc:
            if isinstance(exc, OutputClosed):
                self.ending = Ending.OUTPUT_CLOSED
            elif self.ending is Ending.FINISHED:
                self.ending = Ending.OUTPUT_BROKEN
            self.trouble = exc
        nursery.cancel_scope.cancel()

    def _note_head(self) -> None:
        """The writer waits for the head of the line, or the reader for room, or both."""
        if self._is_waiting_for_head:
            self._head.waits_for(self._rows.head if self._is_calling else None)
            is_full = bool(self._chunk) and self._is_calling and not self._settings.unordered
            now = trio.current_time()
            self.statistics.output_held.note("head_of_line" if is_full else None, now)

    async def _watch_reader(self, nursery: trio.Nursery) -> None:
        """End the run when the reader of the output goes, even if there is nothing to write."""
        await self._sink.reader_gone()
        self.ending = Ending.OUTPUT_CLOSED
        nursery.cancel_scope.cancel()

    async def _hand_over(self, rows: list[Row]) -> None:
        results = [self._result(row) for row in rows]
        await hand_over(self._sink, results, self.statistics)
        was_overfull = self._window.is_overfull
        self._window.leave(len(rows), sum(row.size for row in rows))
        if was_overfull and self._is_calling:
            self._start_calls()
        self._room.unpark_all()
        if self._max_failures and self._max_failures.are_passed(*self.statistics.own):
            self._give_up()

    def _result(self, row: Row) -> Result:
        return Result(row.record, self._names, row.outcomes, self._join)

    def _give_up(self) -> None:
        """Too many records are not ok: stop, as at a deadline."""
        if self.ending is Ending.FINISHED and self._is_calling:
            self.ending = Ending.GIVEN_UP
            self._stop_by(trio.current_time())

    def _settle_the_rest(self) -> None:
        """Settle what is open, and what was read and never admitted, so that all get a line."""
        kind, why = why_cut_short(self.ending, self._settings.deadline)
        rows = list(self._rows)
        ahead = self._source.read_ahead()
        self.statistics.read += len(ahead)
        for record in (*self._chunk, *ahead):
            self._window.enter(record.size)
            rows.append(self._enter(record))
        self._chunk.clear()
        for row in rows:
            self._cut_short(row, kind, why)
        self._is_settled = True
        self._ready.unpark_all()

    def _cut_short(self, row: Row, kind: ErrorKind, why: str) -> None:
        for call, caller in zip(row.calls, self._callers):
            if call.outcome is None:
                caller.cut_short(call, kind, why)
