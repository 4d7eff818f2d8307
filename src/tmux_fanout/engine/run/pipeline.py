"""What runs of either kind have in common: records come in by a window, results go out.

    source --> admission --> (what makes results of records) --> in order --> sink
                  ^                                                           |
                  +----------------- the window makes room <------------------+

One task reads and admits, and one writes.  What is complete lies in its place in the order until
the writer takes it; the writer is woken when the head of the line is complete.  So memory is
bounded by the window, a slow reader of the output stops the writer, a full window stops the
reading, and no cycle can deadlock: the head of the line always owns its place.

Whatever stops a run early only moves the time at which its work must be over: a deadline, a first
signal (now, and time to drain), a second one (now).  Every way out then passes the same closing:
what is still open is settled as cut short, and the sink gets every record that was read.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, NamedTuple, Protocol, TypeVar

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.ending import Ending, why_cut_short
from tmux_fanout.core.errors import ErrorKind, InputError, OutputClosed, OutputError
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.io.streams import MOST_BYTES_AT_ONCE, Sink, Source
from tmux_fanout.engine.run.head_watchdog import HeadOfLine
from tmux_fanout.engine.run.timed import timed_read, timed_write

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_MIN_PATIENCE = 0.5  # seconds, with the reader of the output, once the run must end
_PATIENCE_WHEN_ABORTED = 5.0  # seconds at most, where whoever stopped the run cannot wait
_NOTICE_AFTER = 2.0  # seconds of waiting for that reader


class Line(Protocol[R_co]):
    """What was admitted and not yet written, in the order in which it is to be."""

    def __len__(self) -> int: ...

    @property
    def ready(self) -> bool:
        """Whether the writer would be given anything."""
        ...

    @property
    def head(self) -> R_co | None:
        """What the others wait for."""
        ...


class WriteBatch(NamedTuple):
    """Results to be written at once, and their bytes in the window."""

    results: Sequence[Result]
    size: int


class Flow(ABC, Generic[R]):
    """A run of either kind.

    Args:
        plan: what to do.
        source: where records come from.
        sink: where results go.
        line: of what was admitted.
        tell: called with what a user should know at once, in one line.

    Attributes:
        statistics: what was counted; live while the run lasts.
        ending: why the run ended, or would if it ended now.
        trouble: what broke the input or the output, or None.
    """

    _head: HeadOfLine[R]

    def __init__(
        self,
        plan: RunPlan,
        source: Source,
        sink: Sink,
        line: Line[R],
        tell: Callable[[str], None],
    ) -> None:
        settings = self._settings = plan.settings
        self._names = tuple(api.name for api in plan.apis)
        self._join = plan.join
        self._max_failures = plan.max_failures
        self.statistics = RunStatistics(self._names)
        self.ending = Ending.FINISHED
        self.trouble: Exception | None = None
        self._source = source
        self._sink = sink
        self._chunk: deque[Record] = deque()  # read, not yet admitted
        self._window = Window(plan.window, settings.window_bytes, plan.stretched_window)
        self._room = ParkingLot()  # the reader waits here for the window
        self._line = line
        self._tell = tell
        self._ready = ParkingLot()  # the writer waits here for the head of the line
        self._is_waiting_for_head = False
        self._is_calling = False  # whether calls may be started
        self._open_calls = 0  # or records, where others make the calls
        self._all_settled = ParkingLot()
        self._is_settled = False
        self._is_aborted = False
        self._reading = trio.CancelScope()
        self._working = trio.CancelScope()
        self._flushing = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.ending.value}, {self._window!r}, {self._line!r}>"

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
        self._is_aborted = True
        if self._flushing.cancel_called:
            self._sink.hurry(0.0)
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
                await self._wait_for_reader()
        finally:
            self.statistics.conclude(trio.current_time(), started, time.process_time() - busy)

    async def _wait_for_reader(self) -> None:
        """Wait while the reader of the output takes what is left, until the writer is done."""
        patience = max(self._settings.drain_timeout, _MIN_PATIENCE)
        if self._is_aborted:
            patience = min(patience, _PATIENCE_WHEN_ABORTED)
        self._sink.hurry(patience)
        await trio.sleep(_NOTICE_AFTER)
        left = self.statistics.read - self.statistics.written
        until = f"the run ends when it has taken nothing for {show_duration(patience)}"
        self._tell(f"{left:,} lines wait for the reader of the output; {until}")
        await trio.sleep_forever()

    @abstractmethod
    async def _work(self) -> None:
        """Read, and have all calls made, within `_until_stopped`."""

    @contextmanager
    def _until_stopped(self) -> Iterator[None]:
        with self._working:
            yield
        if self._working.cancelled_caught:
            self._note_deadline()

    def _note_deadline(self) -> None:
        if self.ending in (Ending.FINISHED, Ending.INPUT_BROKEN):
            self.ending = Ending.DEADLINE

    async def _read_all(self) -> None:
        """Read until the input ends, or the run drains, and wait for all calls to be settled."""
        with self._reading:
            await self._read()
        while self._open_calls:
            await self._all_settled.park()

    async def _read(self) -> None:
        """Admit records as the window makes room, in input order, and start their calls."""
        try:
            while chunk := await timed_read(self._source, self.statistics):
                self.statistics.read += len(chunk)
                self._chunk.extend(chunk)
                while self._chunk:
                    self._admit()
                    self._wake_writer()
                    self._note_head()
                    self._start_calls()
                    if self._chunk and not self._stretch():
                        self._note_head()
                        await self._room.park()
        except InputError as exc:
            self.ending, self.trouble = Ending.INPUT_BROKEN, exc

    @abstractmethod
    def _admit(self) -> None:
        """Admit what the window has room for."""

    @abstractmethod
    def _start_calls(self) -> None:
        """Start the calls that may be started, of records that were admitted."""

    def _stretch(self) -> bool:
        """Start what slots idle for want of, though the window is full; say if there was any."""
        return False

    def _wake_writer(self) -> None:
        if self._is_waiting_for_head and self._line.ready:
            self._ready.unpark_all()

    async def _write(self, nursery: trio.Nursery) -> None:
        """Hand over what is at the head of the line, until there is nothing left to come."""
        try:
            while len(self._line) or not self._is_settled:
                if self._line.ready:
                    for handful in self._handfuls():
                        await self._hand_over(handful)
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

    @abstractmethod
    def _handfuls(self) -> Iterator[WriteBatch]:
        """Take some of what is ready, parted so that none is too large but of one result."""

    def _note_head(self) -> None:
        """The writer waits for the head of the line, or the reader for room, or both."""
        if self._is_waiting_for_head:
            self._head.waits_for(self._line.head if self._is_calling else None)
            is_full = bool(self._chunk) and self._is_calling and not self._settings.unordered
            now = trio.current_time()
            self.statistics.output_held.note("head_of_line" if is_full else None, now)

    async def _watch_reader(self, nursery: trio.Nursery) -> None:
        """End the run when the reader of the output goes, even if there is nothing to write."""
        await self._sink.reader_gone()
        self.ending = Ending.OUTPUT_CLOSED
        nursery.cancel_scope.cancel()

    async def _hand_over(self, handful: WriteBatch) -> None:
        await timed_write(self._sink, handful.results, self.statistics)
        was_overfull = self._window.is_overfull
        self._window.leave(len(handful.results), handful.size)
        if was_overfull and self._is_calling:
            self._start_calls()
        self._room.unpark_all()
        if self._max_failures and self._max_failures.are_passed(*self.statistics.own):
            self._give_up()

    def _give_up(self) -> None:
        """Too many records are not ok: stop, as at a deadline."""
        if self.ending is Ending.FINISHED and self._is_calling:
            self.ending = Ending.GIVEN_UP
            self._stop_by(trio.current_time())

    def _settle_the_rest(self) -> None:
        """Settle what is open, and what was read and never admitted, so that all get a line."""
        ahead = self._source.read_ahead()
        self.statistics.read += len(ahead)
        records = [*self._chunk, *ahead]
        self._chunk.clear()
        for record in records:
            self._window.enter(record.size)
        self._cut_short(records, *why_cut_short(self.ending, self._settings.deadline))
        self._is_settled = True
        self._ready.unpark_all()

    @abstractmethod
    def _cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        """Settle what is open, and these records, the last that were read."""


def split_by_bytes(
    items: Sequence[T], size_of: Callable[[T], int]
) -> Iterator[tuple[list[T], int]]:
    """Items in parts that are not too large to be written at once, or of one, with their sizes."""
    part: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if part and total + size > MOST_BYTES_AT_ONCE:
            yield part, total
            part, total = [], 0
        part.append(item)
        total += size
    yield part, total
