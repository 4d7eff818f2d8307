"""The two tasks of a pipeline: one reads and admits records, one writes results.

The reader takes records from the source, admits as many as the window has room for, and has the
backend start their calls; then it waits for room.  The writer takes what the backend has ready,
writes it, makes room in the window for as much, and then waits for the head of the line.

So memory is bounded by the window; a slow consumer of the output stops the writer, a full window
stops the reader, and nothing can deadlock: the head of the line is always inside the window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.errors import ErrorKind, OutputError
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.run.backend import Backend, WriteBatch
from tmux_fanout.engine.run.head_watchdog import HeadWatchdog

_size_of = attrgetter("size")


class Wakeups:
    """Where the two tasks wait.

    Attributes:
        room: the reader waits here while the window is full.
        settled: the reader waits here for the last calls.
        output: the writer waits here for the head of the line.
    """

    def __init__(self) -> None:
        self.room = ParkingLot()
        self.settled = ParkingLot()
        self.output = ParkingLot()

    def __repr__(self) -> str:
        reader = "waits" if self.room or self.settled else "runs"
        return f"<Wakeups: the reader {reader}, the writer {'waits' if self.output else 'runs'}>"

    def wake_reader(self) -> None:
        """Let the reader look again at the window and at the calls that are open."""
        self.room.unpark_all()
        self.settled.unpark_all()

    def wake_writer(self) -> None:
        """Let the writer look again at the head of the line."""
        if self.output:
            self.output.unpark_all()


class Transfer:
    """Carries records from a source through a backend to a sink.

    Args:
        source: yields records.
        sink: receives results.
        backend: turns records into results.
        window: bounds what is between the two.
        statistics: where to count records, and the time spent waiting.
        wakeups: where the tasks wait; the backend wakes them, too.
        watchdog: observes the head of the line.
        is_ordered: whether records wait for those before them.
        wrote: called after each write.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        backend: Backend,
        *,
        window: Window,
        statistics: RunStatistics,
        wakeups: Wakeups,
        watchdog: HeadWatchdog,
        is_ordered: bool,
        wrote: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._backend = backend
        self._window = window
        self._statistics = statistics
        self._wakeups = wakeups
        self._watchdog = watchdog
        self._is_ordered = is_ordered
        self._wrote = wrote
        self._unadmitted: deque[Record] = deque()
        self._is_calling = True  # until `stop_calling`
        self._is_closed = False  # whether the backend will get no more records
        self._is_waiting = False  # whether the writer waits for the head of the line

    def __repr__(self) -> str:
        return f"<Transfer: {len(self._unadmitted)} records not admitted, {self._window!r}>"

    async def read(self) -> None:
        """Admit records in input order as the window makes room, until the input ends.

        Raises:
            InputError: the input broke off.
        """
        unadmitted = self._unadmitted
        while chunk := await _timed_read(self._source, self._statistics):
            self._statistics.read += len(chunk)
            unadmitted.extend(chunk)
            while unadmitted:
                self._admit(self._window.admit(map(_size_of, unadmitted)))
                if self._is_waiting and self._backend.ready:
                    self._wakeups.wake_writer()
                self._note_wait()
                self._backend.start()
                if unadmitted and not self._stretch():
                    self._note_wait()
                    await self._wakeups.room.park()

    def _admit(self, count: int) -> None:
        if count:
            self._backend.admit([self._unadmitted.popleft() for _ in range(count)])

    def _stretch(self) -> bool:
        """Admit records beyond a full window if slots would idle; return whether any were.

        See `core.ordering.stretching`.  If none were, the backend wakes the reader in time.
        """
        is_held_by_head = self._is_waiting and not self._backend.ready
        size = self._unadmitted[0].size
        if not (is_held_by_head and self._window.has_room(size, is_needed=True)):
            return False
        wanted = self._backend.wanted_records()
        if not wanted:
            return False
        sizes = map(_size_of, islice(self._unadmitted, wanted))
        self._admit(self._window.admit(sizes, is_needed=True))
        self._backend.start()
        return True

    async def wait_until_settled(self) -> None:
        """Wait until no call of an admitted record is open."""
        while not self._backend.is_settled:
            await self._wakeups.settled.park()

    def stop_calling(self) -> None:
        """Have the backend start no more calls."""
        self._is_calling = False

    def settle_the_rest(self, kind: ErrorKind, why: str) -> None:
        """Settle what is open, and what was read and never admitted, so that all get a line.

        Args:
            kind, why: of the error that each open call gets.
        """
        ahead = self._source.read_ahead()
        self._statistics.read += len(ahead)
        records = [*self._unadmitted, *ahead]
        self._unadmitted.clear()
        for record in records:
            self._window.enter(record.size)
        self._backend.cut_short(records, kind, why)
        self._is_closed = True
        self._wakeups.wake_writer()

    async def write(self) -> None:
        """Write results as they become ready, until there will be no more.

        Raises:
            OutputError: the sink can take no more.
        """
        backend = self._backend
        while len(backend) or not self._is_closed:
            if backend.ready:
                for batch in backend.take_ready():
                    await self._write_batch(batch)
            else:
                self._is_waiting = True
                self._wakeups.room.unpark_all()  # the window may be stretched from now on
                self._note_wait()
                await self._wakeups.output.park()
                self._is_waiting = False
                self._watchdog.waits_for(None)

    async def _write_batch(self, batch: WriteBatch) -> None:
        await _timed_write(self._sink, batch.results, self._statistics)
        was_overfull = self._window.is_overfull
        self._window.leave(len(batch.results), batch.size)
        if was_overfull and self._is_calling:
            self._backend.start()
        self._wakeups.room.unpark_all()
        self._wrote()

    def _note_wait(self) -> None:
        """Note what the writer waits for, if it does; and whether that keeps the reader waiting."""
        if self._is_waiting:
            is_calling = self._is_calling
            self._watchdog.waits_for(self._backend.head_index if is_calling else None)
            is_full = bool(self._unadmitted) and is_calling and self._is_ordered
            now = trio.current_time()
            self._statistics.output_held.note("head_of_line" if is_full else None, now)


async def _timed_read(source: Source, statistics: RunStatistics) -> Sequence[Record]:
    """Return the next chunk, as `Source.next_chunk` does, and count the time that it takes."""
    began = trio.current_time()
    try:
        return await source.next_chunk()
    finally:
        statistics.input_seconds += trio.current_time() - began


async def _timed_write(sink: Sink, results: Sequence[Result], statistics: RunStatistics) -> None:
    """Write results, as `Sink.put` does, and count those that were written and the time spent."""
    statistics.output_held.note("reader", trio.current_time())
    try:
        await sink.put(results)
    except OutputError as exc:
        statistics.wrote(results[: exc.whole])
        raise
    statistics.output_held.note(None, trio.current_time())
    statistics.wrote(results)
