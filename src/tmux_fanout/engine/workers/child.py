"""The worker process itself: a fork, or `python -m tmux_fanout.engine.workers.child`.

    pipe --> orders --> DealtSource --> a local pipeline --> ReportingSink --> pipe

Its standard input and output are pipes to its parent, which it does not outlive: once they end,
nobody wants its results.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

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
    GivenUp,
    Notice,
    Refused,
    Stop,
    decode_order,
    encode_message,
)
from tmux_fanout.core.dealing.shares import plan_for_worker
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ConfigError, OutputClosed
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.merge import counts_of
from tmux_fanout.core.results.containment import encode_lines
from tmux_fanout.core.results.envelope import ENCODERS
from tmux_fanout.core.results.mend import mend_encoder, plan_mend
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.process import allow_connections, collect_garbage_rarely, connections_left
from tmux_fanout.engine.run.local import local_pipeline
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.workers.assignment import Assignment, WorkerJob, decode_assignment
from tmux_fanout.engine.workers.pipes import PipeEnd
from tmux_fanout.engine.workers.sent_flags import SentFlags, flagging
from tmux_fanout.engine.workers.spawn import PARENTS_SIGNALS
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.select import check_transports, open_transports
from tmux_fanout.transports.tls import Contexts


class DealtSource:
    """A source of the records that were dealt to this worker.

    Args:
        names: the names of the APIs, in order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._records: deque[Record] = deque()
        self._more = ParkingLot()
        self._at_end = False

    def __repr__(self) -> str:
        return f"<DealtSource: {len(self._records)} records, {'no ' * self._at_end}more to come>"

    def add(self, deal: Deal) -> None:
        """Append the records of an order."""
        for index, json in zip(deal.indexes, deal.records):
            record = Record(index, json, json)
            line = deal.lines.get(index) if deal.lines else None
            planned = plan_mend(record, line, self._names) if line else None
            self._records.append(planned or record)
        self._more.unpark_all()

    def finish(self) -> None:
        """Note that no more records will come."""
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
    """A sink that reports results to the parent.

    Args:
        pipe: to the parent.
        encode: returns the line of a result.
        shows_outcomes: whether to report the outcomes of a result, too; None: never.
        flags: of requests that may have been sent, to be freed once a record is reported; or None.
    """

    def __init__(
        self,
        pipe: PipeEnd,
        encode: Callable[[Result], bytes],
        shows_outcomes: Callable[[Result], bool] | None,
        flags: SentFlags | None,
    ) -> None:
        self._pipe = pipe
        self._encode = encode
        self._shows_outcomes = shows_outcomes
        self._flags = flags

    def __repr__(self) -> str:
        return f"<ReportingSink: {self._pipe!r}>"

    async def put(self, results: Sequence[Result]) -> None:
        indexes = [result.index for result in results]
        lines = encode_lines(self._encode, results)  # first: a failure makes it not ok
        shown = filter(self._shows_outcomes, results) if self._shows_outcomes else ()
        done = Done(
            indexes,
            lines,
            {result.index: result.failures for result in results if not result.ok},
            {result.index: result.outcomes for result in shown},
        )
        try:
            message = encode_message(done)
        except Exception:  # a lone surrogate, say, in outcomes that are only shown
            message = encode_message(msgspec.structs.replace(done, outcomes={}))
        try:
            await self._pipe.send(message)
        except OSError as exc:
            raise OutputClosed("the parent process has gone") from exc
        if self._flags:
            self._flags.forget(indexes)  # no sooner: the flags speak for records without a report

    async def consumer_gone(self) -> None:
        await trio.sleep_forever()  # the end of the other pipe shows it

    def hurry(self, patience: float) -> None:
        """Do nothing: the parent either reads or has gone."""


class Reporter:
    """Reports counts and notices to the parent at intervals.

    Args:
        pipe: to the parent.
        run: whose statistics to report.
        notices: those that were not reported yet; emptied by each report.
        reasons: why the run is to be given up; emptied as well.
    """

    def __init__(
        self, pipe: PipeEnd, run: Pipeline, notices: deque[str], reasons: list[str]
    ) -> None:
        self._pipe = pipe
        self._reasons = reasons
        self._run = run
        self._notices = notices
        self._last: Counted | None = None

    def __repr__(self) -> str:
        return f"<Reporter: {len(self._notices)} notices, last {self._last}>"

    async def report(self, *, always: bool = False) -> None:
        """Report notices, and counts if they have changed.

        Args:
            always: whether to report counts even if they have not.
        """
        texts = [text.encode(errors="backslashreplace").decode() for text in self._notices]
        messages = [encode_message(Notice(text)) for text in texts]
        self._notices.clear()
        messages += [encode_message(GivenUp(reason)) for reason in self._reasons]
        self._reasons.clear()
        apis = [counts_of(api) for api in self._run.statistics.apis]
        is_spent = self._run.ending is Ending.COST_LIMIT
        waits, last = self._run.waits(), self._last
        is_new = last is None or (apis, waits) != (last.apis, last.waits)
        if always or is_spent or is_new:
            self._last = Counted(apis, time.process_time(), is_spent, waits)
            messages.append(encode_message(self._last))
        with (
            trio.CancelScope(shield=True),
            suppress(OSError),
        ):  # needs no deadline: the parent reads, or has gone
            await self._pipe.send(b"".join(messages))

    async def report_every(self, seconds: float) -> None:
        """Report at this interval, until cancelled."""
        while True:
            await self.report()
            await trio.sleep(seconds)


def main(flags_fd: int | None) -> None:
    """Execute the parent's orders, and end when it does.

    Args:
        flags_fd: descriptor of the memory for sent flags; None if nothing is tracked.
    """
    for number in PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
    trio.run(_main, flags_fd, strict_exception_groups=True)


async def _main(flags_fd: int | None) -> None:
    from_parent, to_parent = PipeEnd(os.dup(0)), PipeEnd(os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):  # whatever reads or prints must not touch the pipes
        os.dup2(nothing, fd)
    os.close(nothing)
    orders = _orders(from_parent)
    first = await anext(orders, None)
    if first is not None:
        try:
            task = _prepare(decode_assignment(first))
        except ConfigError as exc:  # this machine is not the one where the plan was checked
            await to_parent.send(encode_message(Refused(str(exc))))
        else:
            await _work(task, flags_fd, orders, to_parent)


class Task(NamedTuple):
    """An assignment as it is carried out here, in this environment."""

    assignment: Assignment
    plan: RunPlan
    contexts: Contexts


def _prepare(assignment: Assignment) -> Task:
    job = assignment.job
    plan = plan_run(job.apis, job.settings, os.environ)
    return Task(assignment, plan, check_transports(plan.apis))


async def _orders(pipe: PipeEnd) -> AsyncIterator[bytes]:
    frames = Frames()
    while data := await pipe.receive():
        for content in frames.feed(data):
            yield content


async def _work(
    task: Task, flags_fd: int | None, orders: AsyncIterator[bytes], pipe: PipeEnd
) -> None:
    (job, worker_index), plan, contexts = task
    plan = plan_for_worker(plan, worker_index, job.workers)
    plan, notices = _within_descriptors(plan)
    source = DealtSource(plan.names)
    flags = None if flags_fd is None else _open_flags(flags_fd, job)
    encode = (mend_encoder if job.mends else ENCODERS[job.emit])(plan.names)
    sink = ReportingSink(pipe, encode, _SHOWS_OUTCOMES[job.verbose], flags)
    async with open_transports(plan.apis, contexts) as transports:
        used = _with_flags(transports, flags) if flags else transports
        reasons: list[str] = []
        run = local_pipeline(
            plan,
            used,
            source,
            sink,
            notify=notices.append,
            on_give_up=reasons.append,
            mends=job.mends,
        )
        reporter = Reporter(pipe, run, notices, reasons)
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
    async for content in orders:
        order = decode_order(content)
        if isinstance(order, Deal):
            source.add(order)
        elif isinstance(order, Stop):
            run.abort(Ending[order.ending])
            await reporter.report(always=True)  # shows the parent that the order was received
    source.finish()
    run.abort(Ending.SIGHUP)  # either nothing is open, or the parent has gone


def _open_flags(fd: int, job: WorkerJob) -> SentFlags:
    flags = SentFlags(fd, job.slots, len(job.apis))
    os.close(fd)
    return flags


def _with_flags(transports: Sequence[Transport], flags: SentFlags) -> Sequence[Transport]:
    return [flagging(transport, flags, index) for index, transport in enumerate(transports)]


def _within_descriptors(plan: RunPlan) -> tuple[RunPlan, deque[str]]:
    """Return a plan that needs no more descriptors than there are, and notices of any change."""
    wanted = sum(api.limit for api in plan.apis)
    allow_connections(wanted)
    allowed = connections_left()
    if wanted <= allowed:
        return plan, deque()
    plan = fit(plan, allowed)
    limits = ", ".join(f"{api.name} {api.limit}" for api in plan.apis)
    notice = f"too few files may be open: limits of each worker process are {limits}"
    return plan, deque([notice])


def _has_error(result: Result) -> bool:
    return any(outcome.error for outcome in result.outcomes)


def _always(_: Result) -> bool:
    return True


_SHOWS_OUTCOMES = (None, _has_error, _always)  # by how verbose a job is


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else None)
