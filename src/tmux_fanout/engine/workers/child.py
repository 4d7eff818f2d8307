"""A process that makes calls for another: a fork, or `python -m tmux_fanout.engine.workers.child`.

Its standard input and output are pipes to its parent, which it does not outlive: their end means
that whatever it does is no longer wanted.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import msgspec
import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.dealing.messages import (
    Counted,
    Deal,
    Done,
    Frames,
    Notice,
    decode_order,
    encode_message,
)
from tmux_fanout.core.dealing.shares import plan_for_worker
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import OutputClosed
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.merge import counts_of
from tmux_fanout.core.results.containment import encode_lines
from tmux_fanout.core.results.envelope import ENCODERS
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.process import allow_connections, collect_garbage_rarely, connections_left
from tmux_fanout.engine.run.local import local_pipeline
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.workers.assignment import Assignment
from tmux_fanout.engine.workers.pipes import PipeEnd
from tmux_fanout.engine.workers.sent_flags import SentFlags, marking
from tmux_fanout.engine.workers.spawn import PARENTS_SIGNALS
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.select import open_transports


class DealtSource:
    """The records that were dealt."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._more = ParkingLot()
        self._at_end = False

    def add(self, deal: Deal) -> None:
        for index, json in zip(deal.indexes, deal.records):
            self._records.append(Record(index, json, json))
        self._more.unpark_all()

    def finish(self) -> None:
        """No more will come."""
        self._at_end = True
        self._more.unpark_all()

    async def next_chunk(self) -> list[Record]:
        while not self._records and not self._at_end:
            await self._more.park()
        records = list(self._records)
        self._records.clear()
        return records

    def read_ahead(self) -> list[Record]:
        return list(self._records)

    def share_read(self) -> float | None:
        return None


class ReportingSink:
    """Says what came of records.

    Args:
        pipe: to the parent.
        encode: a result as a line.
        is_told: whether the outcomes of a result are asked for; None: never.
        marks: of what was sent, which of these records is of no interest any more; or None.
    """

    def __init__(
        self,
        pipe: PipeEnd,
        encode: Callable[[Result], bytes],
        is_told: Callable[[Result], bool] | None,
        marks: SentFlags | None,
    ) -> None:
        self._pipe = pipe
        self._encode = encode
        self._is_told = is_told
        self._marks = marks

    async def put(self, results: Sequence[Result]) -> None:
        indexes = [result.index for result in results]
        lines = encode_lines(self._encode, results)  # first: one that cannot be encoded is not ok
        failed = [result for result in results if not result.ok]
        told = filter(self._is_told, results) if self._is_told else ()
        done = Done(
            indexes,
            lines,
            {result.index: error.kind for result in failed if (error := result.first_error)},
            {result.index: result.outcomes for result in told},
        )
        try:
            message = encode_message(done)
        except Exception:  # half a character, say, in what is only shown on standard error
            message = encode_message(msgspec.structs.replace(done, outcomes={}))
        try:
            await self._pipe.send(message)
        except OSError as exc:
            raise OutputClosed("the parent process has gone") from exc
        if self._marks:
            self._marks.forget(indexes)  # no sooner: what is not said is asked of the marks

    async def reader_gone(self) -> None:
        await trio.sleep_forever()  # the end of the other pipe tells

    def hurry(self, patience: float) -> None:
        """The parent reads, or has gone."""


class Reporter:
    """Says, now and then, what was counted, and what a user had better know.

    Args:
        pipe: to the parent.
        run: which counts.
        told: what a user had better know and was not yet told.
    """

    def __init__(self, pipe: PipeEnd, run: Pipeline, told: deque[str]) -> None:
        self._pipe = pipe
        self._run = run
        self._told = told
        self._last: Counted | None = None

    async def report(self, *, even_if_old: bool = False) -> None:
        """Report what there is to say, if there is anything new, or in any case."""
        told = [text.encode(errors="backslashreplace").decode() for text in self._told]
        messages = [encode_message(Notice(text)) for text in told]
        self._told.clear()
        apis = [counts_of(api) for api in self._run.statistics.apis]
        if even_if_old or self._last is None or apis != self._last.apis:
            self._last = Counted(apis, time.process_time())
            messages.append(encode_message(self._last))
        with trio.CancelScope(shield=True), suppress(OSError):  # the parent reads, or has gone
            await self._pipe.send(b"".join(messages))  # half a message would spoil the next

    async def report_every(self, seconds: float) -> None:
        while True:
            await self.report()
            await trio.sleep(seconds)


def main() -> None:
    """Do what the parent says, and end when it does."""
    for number in PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
    trio.run(_main, strict_exception_groups=True)


async def _main() -> None:
    from_parent, to_parent = PipeEnd(os.dup(0)), PipeEnd(os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):  # for whatever may read or print
        os.dup2(nothing, fd)
    os.close(nothing)
    orders = _orders(from_parent)
    first = await anext(orders, None)
    if first is not None:
        assignment = pickle.loads(first)
        assert isinstance(assignment, Assignment)
        await _work(assignment, orders, to_parent)


async def _orders(pipe: PipeEnd) -> AsyncIterator[bytes]:
    frames = Frames()
    while data := await pipe.receive():
        for each in frames.feed(data):
            yield each


async def _work(assignment: Assignment, orders: AsyncIterator[bytes], pipe: PipeEnd) -> None:
    job = assignment.job
    plan = plan_run(job.apis, job.settings, os.environ)
    plan = plan_for_worker(plan, assignment.place, job.number)
    plan, trouble = _within_descriptors(plan)
    source = DealtSource()
    marks = _open_marks(assignment)
    encode = ENCODERS[job.emit]([api.name for api in plan.apis])
    sink = ReportingSink(pipe, encode, _IS_TOLD[job.verbose], marks)
    async with open_transports(plan.apis) as transports:
        marked = _marking(transports, marks) if marks else transports
        told = deque(trouble)
        run = local_pipeline(plan, marked, source, sink, notify=told.append)
        reporter = Reporter(pipe, run, told)
        collect_garbage_rarely()
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(reporter.report_every, job.interval)
            nursery.start_soon(_obey, orders, source, run, reporter)
            await run.run()
            nursery.cancel_scope.cancel()
    await reporter.report()


async def _obey(
    orders: AsyncIterator[bytes], source: DealtSource, run: Pipeline, reporter: Reporter
) -> None:
    async for each in orders:
        order = decode_order(each)
        if isinstance(order, Deal):
            source.add(order)
        else:
            run.abort(Ending[order.ending])
            await reporter.report(even_if_old=True)  # so that the parent knows that it was heard
    source.finish()
    run.abort(Ending.SIGHUP)  # nothing is open, or the parent has gone


def _open_marks(assignment: Assignment) -> SentFlags | None:
    if assignment.marks is None:
        return None
    marks = SentFlags(assignment.marks, assignment.job.slots, len(assignment.job.apis))
    os.close(assignment.marks)
    return marks


def _marking(transports: Sequence[Transport], marks: SentFlags) -> Sequence[Transport]:
    return [marking(each, marks, place) for place, each in enumerate(transports)]


def _within_descriptors(plan: RunPlan) -> tuple[RunPlan, list[str]]:
    wanted = sum(api.limit for api in plan.apis)
    allow_connections(wanted)
    allowed = connections_left()
    if wanted <= allowed:
        return plan, []
    plan = fit(plan, allowed)
    limits = ", ".join(f"{api.name} {api.limit}" for api in plan.apis)
    return plan, [f"too few files may be open: limits of each worker process are {limits}"]


def _if_any_failed(result: Result) -> bool:
    return any(outcome.error for outcome in result.outcomes)


def _always(_: Result) -> bool:
    return True


_IS_TOLD = (None, _if_any_failed, _always)


if __name__ == "__main__":
    main()
