"""One run, from the first record to the last line.

    source --> window --> backend: calls, or processes that make them --> in order --> sink
                 ^                                                                      |
                 +-------------------- what is written makes room <---------------------+

This is the way of a record.  The reader (`transfer`) takes it from the source and admits it to the
window.  The backend (`backend`) makes its calls and keeps its results until all records before it
are out; there are two backends, `local` and `engine.workers.coordinator`.  The writer (`transfer`)
writes its line.

The pipeline itself starts these parts and ends them.  Whatever stops a run early only moves the
time at which its calls must be over: a deadline, a first signal (now, plus time to drain), a second
one (now).  Every way out then passes the same closing: what is still open is settled as cut short,
and the sink gets every record that was read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.ending import Ending, why_cut_short
from tmux_fanout.core.errors import ErrorKind, InputError, OutputClosed, OutputError
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.progress import HeadOfLine
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.text import counted
from tmux_fanout.core.tuning.tuning import Tuning
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.run.backend import Backend, Hooks, OpenBackend
from tmux_fanout.engine.run.head_watchdog import HeadWatchdog
from tmux_fanout.engine.run.transfer import Transfer, Wakeups

_MIN_PATIENCE = 0.5  # seconds without progress granted to the consumer once the run must end
_PATIENCE_WHEN_ABORTED = 5.0  # maximum of the same, where whoever stopped the run cannot wait
_NOTICE_AFTER = 2.0  # seconds of waiting for the consumer


class Pipeline:
    """A run: reads records, has a backend make their calls, and writes the results.

    Args:
        plan: what to do.
        source: yields records.
        sink: receives results.
        open_backend: opens what makes the calls.
        notify: called with one-line notices for the user.
        watch_head: whether to notify of records that hold up the output for long.
        on_give_up: called with the reason in place of giving up the run; by default it is given up.

    Attributes:
        statistics: live while the run lasts.
        window: bounds what is admitted and not yet written.
        ending: why the run ended, or would if it ended now.
        error: what broke the input or the output, or None.
        reason: why the run was given up, or "".
        last_loads: what each API had to do, and how its endpoints were, when the last call ended.
    """

    def __init__(
        self,
        plan: RunPlan,
        source: Source,
        sink: Sink,
        open_backend: OpenBackend,
        *,
        notify: Callable[[str], None],
        watch_head: bool,
        on_give_up: Callable[[str], None] | None = None,
    ) -> None:
        settings = self._settings = plan.settings
        self.statistics = RunStatistics(
            [api.name for api in plan.apis],
            [api.spending.price if api.spending else None for api in plan.apis],
        )
        self.ending = Ending.FINISHED
        self.error: Exception | None = None
        self.reason = ""
        self.last_loads: Sequence[Load] = [Load()] * len(plan.apis)
        self._source = source
        self._sink = sink
        self._open_backend = open_backend
        self._notify = notify
        self._watch_head = watch_head
        self._on_give_up = on_give_up
        self._max_failures = plan.max_failures
        self.window = Window(plan.window, settings.window_bytes, plan.stretched_window)
        self._wakeups = Wakeups()
        self._tuning: Tuning | None = None
        self._is_aborted = False
        self._backend: Backend | None = None  # while calls are made
        self._reading = trio.CancelScope()
        self._calling = trio.CancelScope()
        self._flushing = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<Pipeline: {self.ending.value}, {self.window!r}>"

    @property
    def stops_at(self) -> float:
        """When the calls are cancelled that are still open then; infinite if they are not."""
        return self._calling.deadline

    def waits(self) -> Sequence[Wait | None]:
        """Return for the live display what the calls of each API wait for now, or None."""
        return (
            self._backend.waits()
            if self._backend is not None
            else [None] * len(self.statistics.apis)
        )

    def loads(self) -> Sequence[Load]:
        """Return for reports what each API has to do now, and how its endpoints are."""
        return (
            self._backend.loads()
            if self._backend is not None
            else [Load()] * len(self.statistics.apis)
        )

    def tune(self, tuning: Tuning) -> None:
        """Change limits and rates, and pause and resume APIs, from now on."""
        self._tuning = tuning
        if self._backend is not None:
            self._backend.tune(tuning)

    async def refresh(self) -> None:
        """Bring the statistics up to date for a report: those of workers come with a delay."""
        if self._backend is not None:
            await self._backend.refresh()

    def head_of_line(self) -> HeadOfLine | None:
        """Return for the live display the record that results wait for, or None."""
        head = self.head()
        return head if head and head.held else None

    def head(self) -> HeadOfLine | None:
        """Return for reports the record that the output comes to next; None if it is ready."""
        backend = self._backend
        if backend is None or backend.ready:
            return None
        index = backend.head_index
        if index is None:
            return None
        return HeadOfLine(index, backend.describe_head(), backend.held_results())

    def drain(self, ending: Ending) -> None:
        """Stop reading, and give admitted records the drain timeout to finish."""
        self.ending = ending
        self._reading.cancel()
        self._stop_by(trio.current_time() + self._settings.drain_timeout)

    def give_up(self, reason: str) -> None:
        """Stop the run, for this reason; no attempt is under way."""
        if self.ending is Ending.FINISHED:
            self.reason = reason
            self._notify(f"giving up: {reason}")
            self._stop(Ending.GIVEN_UP)

    def abort(self, ending: Ending) -> None:
        """Cancel every call now; each record that was read still gets its line.

        Called once more, do not even wait for the consumer of the output.
        """
        self._is_aborted = True
        if self._flushing.cancel_called:
            self._sink.hurry(0.0)
        self._stop(ending)

    def _stop(self, ending: Ending) -> None:
        self.ending = ending
        self._stop_by(trio.current_time())

    def _stop_by(self, time: float) -> None:
        for scope in (self._calling, self._flushing):
            scope.deadline = min(scope.deadline, time)

    def _why_cut_short(self) -> tuple[ErrorKind, str]:
        return why_cut_short(self.ending, self._settings.deadline, self.reason)

    async def run(self) -> None:
        """Read, call and write until the input ends or the run is stopped.

        A failure of the input or the output is not raised: see `ending` and `error`.
        """
        started, busy = trio.current_time(), time.process_time()
        if self._settings.deadline is not None:
            self._stop_by(started + self._settings.deadline)
        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                transfer = await self._call(nursery)
                transfer.settle_the_rest(*self._why_cut_short())
                with self._flushing:
                    await trio.sleep_forever()  # the writer cancels the nursery when it is done
                self._note_deadline()
                await self._wait_for_consumer()
        finally:
            self.statistics.conclude(trio.current_time(), started, time.process_time() - busy)

    async def _call(self, nursery: trio.Nursery) -> Transfer:
        """Start reading and writing; return once all calls are settled or must stop."""
        async with self._open_backend(self._hooks()) as backend:
            watchdog = HeadWatchdog(backend, self._notify if self._watch_head else None)
            self._backend = backend
            if self._tuning:
                backend.tune(self._tuning)
            transfer = self._transfer(backend, watchdog)
            nursery.start_soon(self._write, transfer, nursery.cancel_scope)
            nursery.start_soon(self._watch_consumer, nursery.cancel_scope)
            nursery.start_soon(watchdog.watch)
            try:
                await self._read(transfer)
                await transfer.wait_until_settled()
            finally:
                self._backend = None
                self.last_loads = backend.loads()
                transfer.stop_calling()
        self._ending_of_calls()
        return transfer

    def _hooks(self) -> Hooks:
        return Hooks(
            scope=self._calling,
            window=self.window,
            statistics=self.statistics,
            wake_reader=self._wakeups.wake_reader,
            wake_writer=self._wakeups.wake_writer,
            stop=self._stop,
            give_up=self._on_give_up or self.give_up,
            reason=lambda: self.reason,
            ending=self._ending_of_calls,
            notify=self._notify,
        )

    def _transfer(self, backend: Backend, watchdog: HeadWatchdog) -> Transfer:
        return Transfer(
            self._source,
            self._sink,
            backend,
            window=self.window,
            statistics=self.statistics,
            wakeups=self._wakeups,
            watchdog=watchdog,
            is_ordered=not self._settings.unordered,
            wrote=self._check_failures,
        )

    async def _read(self, transfer: Transfer) -> None:
        try:
            with self._reading:
                await transfer.read()
        except InputError as exc:
            self.ending, self.error = Ending.INPUT_BROKEN, exc

    async def _write(self, transfer: Transfer, everything: trio.CancelScope) -> None:
        try:
            await transfer.write()
        except OutputError as exc:
            if isinstance(exc, OutputClosed):
                self.ending = Ending.OUTPUT_CLOSED
            elif self.ending is Ending.FINISHED:
                self.ending = Ending.OUTPUT_BROKEN
            self.error = exc
        everything.cancel()

    async def _watch_consumer(self, everything: trio.CancelScope) -> None:
        """End the run when the consumer goes, even if there is nothing to write."""
        await self._sink.consumer_gone()
        self.ending = Ending.OUTPUT_CLOSED
        everything.cancel()

    async def _wait_for_consumer(self) -> None:
        """Let the consumer take what is left, for as long as it takes anything."""
        patience = max(self._settings.drain_timeout, _MIN_PATIENCE)
        if self._is_aborted:
            patience = min(patience, _PATIENCE_WHEN_ABORTED)
        self._sink.hurry(patience)
        await trio.sleep(_NOTICE_AFTER)
        left = self.statistics.read - self.statistics.written
        waiting = f"{counted(left, 'line')} {'waits' if left == 1 else 'wait'}"
        until = f"the run ends when it has taken nothing for {show_duration(patience)}"
        self._notify(f"{waiting} for the reader of the output; {until}")
        await trio.sleep_forever()

    def _ending_of_calls(self) -> Ending:
        """Return why the calls have ended."""
        if self._calling.cancelled_caught:
            self._note_deadline()
        return self.ending

    def _note_deadline(self) -> None:
        if self.ending in (Ending.FINISHED, Ending.INPUT_BROKEN):
            self.ending = Ending.DEADLINE

    def _check_failures(self) -> None:
        """Stop, as at a deadline, if too many records are not ok."""
        has_failed = self._max_failures and self._max_failures.are_passed(*self.statistics.own)
        if has_failed and self.ending is Ending.FINISHED:
            self._stop(Ending.GIVEN_UP)
