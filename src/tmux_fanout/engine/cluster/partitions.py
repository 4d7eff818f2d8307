"""An engine for partitions of records that are in this process already.

Partitions come from other threads, several at a time; each waits for its own lines.  The engine is
a worker like any other, with queues for pipes: records are dealt to it, its results are given to
the partitions that they belong to, and its other reports go to whoever holds the limits.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import trio

from tmux_fanout.core.dealing.messages import (
    Asks,
    Deal,
    Done,
    Found,
    Frames,
    GivenUp,
    Tallied,
    decode_report,
    encode_message,
    frame,
)
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.envelope import ENCODERS
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.cluster.remote import wait_for
from tmux_fanout.engine.io.iterables import record_of
from tmux_fanout.engine.workers.assignment import decode_assignment
from tmux_fanout.engine.workers.child import Task, prepare, work

AT_ONCE = 8  # partitions
_IDLE = 2.0  # seconds without a partition, after which the engine ends
_PREFIX = len(frame(b""))


class _Part:
    """A partition whose lines are awaited."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = {record.index: record for record in records}
        self.lines: dict[int, bytes] = {}
        self.is_cut_short = False
        self.error: BaseException | None = None
        self.done = threading.Event()


class PartitionEngine:
    """An engine in a thread of its own; it ends once it has been idle for a while.

    Args:
        assignment: what to do, as `encode_assignment` returns it.
        report: sends reports to whoever holds the limits; its result are orders, as frames.
        leave: called at the end, with whether all that was spent has been reported.

    Attributes:
        places: one for each partition that may be under way.
        has_ended: whether it takes no more partitions.

    Raises:
        ConfigError: the assignment cannot be carried out here.
    """

    def __init__(
        self,
        assignment: bytes,
        report: Callable[[bytes], Future[bytes]],
        leave: Callable[[bool], object],
    ) -> None:
        self.places = threading.Semaphore(AT_ONCE)
        self._task: Task = prepare(decode_assignment(assignment))
        self._report = report
        self._leave = leave
        self._lock = threading.Lock()
        self._users = 0
        self.has_ended = self._is_settled = False
        self._error: BaseException | None = None
        self._parts: dict[int, _Part] = {}  # by index of the record
        self._orders, self._to_obey = trio.open_memory_channel[bytes](math.inf)
        self._reports, self._to_report = trio.open_memory_channel[bytes](math.inf)
        self._frames = Frames()
        self._token: trio.lowlevel.TrioToken | None = None
        self._ready = threading.Event()
        threading.Thread(target=self._run, name="tmux-fanout", daemon=True).start()
        self._ready.wait()

    def __repr__(self) -> str:
        return f"<PartitionEngine: {len(self._parts)} records>"

    def reserve(self) -> bool:
        """Keep the engine from ending until `release`; return False if it has ended."""
        with self._lock:
            self._users += not self.has_ended
            return not self.has_ended

    def release(self) -> None:
        """Let the engine end."""
        with self._lock:
            self._users -= 1

    def lines(self, first: int, values: Sequence[Any], *, must_be_whole: bool) -> list[bytes]:
        """Make the calls of a partition, and return its lines; the engine is reserved.

        Args:
            first: index of its first record: a record has the same index whenever its partition is
                run, and so the same idempotency key.
            values: JSON-serialisable, or text or bytes of JSON.
            must_be_whole: whether calls that are cut short, as the budget is spent, are an error.

        Raises:
            RuntimeError: the run was given up.
        """
        records = [
            record_of(index, value.encode() if isinstance(value, str) else value)
            for index, value in enumerate(values, first)
        ]
        valid = [record for record in records if record.error is None]
        part = _Part(valid)
        if valid:
            self._hand_over(part)
            part.done.wait()
        if part.error:
            raise RuntimeError(f"the run was given up: {part.error}") from part.error
        if must_be_whole and part.is_cut_short:
            raise RuntimeError("the run was given up: max_cost is reached")
        encode = ENCODERS[self._task.assignment.job.emit](self._task.whole.names)
        return [
            part.lines.get(record.index) or encode(Result(record, self._task.whole.names, ()))
            for record in records
        ]

    def _run(self) -> None:
        try:
            trio.run(self._main, strict_exception_groups=True)
        except BaseException as exc:  # it becomes that of all partitions
            self._fail(exc)
        finally:
            self._fail(RuntimeError("the engine has ended"))
            self._ready.set()
            self._leave(self._is_settled)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._ready.set()
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(self._pass_on)
            nursery.start_soon(self._end_when_idle)
            await work(self._task, None, self._to_obey, self)
            nursery.cancel_scope.cancel()

    def _hand_over(self, part: _Part) -> None:
        """Have the engine make the calls of a partition, from another thread."""
        deal = Deal(list(part.records), [record.json for record in part.records.values()])
        order = encode_message(deal)[_PREFIX:]
        with self._lock:
            if self.has_ended:
                part.error = self._error
                part.done.set()
                return
            self._parts |= dict.fromkeys(part.records, part)
        assert self._token
        with suppress(trio.RunFinishedError):  # `_run` lets all partitions know
            self._token.run_sync_soon(self._orders.send_nowait, order)

    async def _end_when_idle(self) -> None:
        idle = 0.0
        while not self.has_ended:
            await trio.sleep(_IDLE / 4)
            idle = 0.0 if self._users else idle + _IDLE / 4
            if idle >= _IDLE and self._is_settled:
                with self._lock:
                    self.has_ended = not self._users
        self._orders.close()

    async def _pass_on(self) -> None:
        """Pass reports on, and obey the orders that are the answer."""
        async for reports in self._to_report:
            try:
                answer = await wait_for(self._report(reports))
            except OSError:
                continue  # without an answer the share is over by itself
            for content in Frames().feed(answer):
                self._orders.send_nowait(content)

    async def send(self, data: bytes) -> None:
        """Take reports of the engine, as the pipe of a worker does."""
        await trio.lowlevel.checkpoint()
        for content in self._frames.feed(data):
            report = decode_report(content)
            if isinstance(report, Done):
                self._settle(report)
            elif isinstance(report, (Asks, Found, Tallied)):
                if isinstance(report, Asks):
                    self._is_settled = report.ask.is_idle and not self._users
                self._reports.send_nowait(frame(content))
            elif isinstance(report, GivenUp):
                self._fail(RuntimeError(report.reason))
                self._orders.close()

    def close(self) -> None:
        """Do nothing: the engine ends by itself."""

    def _settle(self, done: Done) -> None:
        for index, line in zip(done.indexes, done.lines):
            with self._lock:
                part = self._parts.pop(index, None)
            if part:
                part.lines[index] = line
                kinds = [failure.kind for failure in done.failures.get(index, ())]
                part.is_cut_short |= "cancelled" in kinds
                if len(part.lines) == len(part.records):
                    part.done.set()

    def _fail(self, error: BaseException) -> None:
        """Let whoever waits for lines know that there will be none, now and later."""
        with self._lock:
            self.has_ended = True
            self._error = self._error or error
            for part in {*self._parts.values()}:
                part.error = self._error
                part.done.set()
            self._parts.clear()
