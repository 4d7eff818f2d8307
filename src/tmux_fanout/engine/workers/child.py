"""The worker process itself: a fork, or `python -m tmux_fanout.engine.workers.child`.

    pipe --> orders --> DealtSource --> a local pipeline --> ReportingSink --> pipe

Its standard input and output are pipes to its parent, which it does not outlive: once they end,
nobody wants its results.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import trio

from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.dealing.messages import (
    Count,
    Deal,
    Elsewhere,
    Frames,
    Granted,
    Heard,
    Refused,
    Stop,
    TallyUp,
    Tune,
    decode_order,
    encode_message,
)
from tmux_fanout.core.dealing.shares import plan_for_worker, shared_limits
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.results.timings import Starts, encoder_for
from tmux_fanout.core.sharing.lease import Grant
from tmux_fanout.engine.calls.sharing.share import Share
from tmux_fanout.engine.configuration.modules import search_modules
from tmux_fanout.engine.configuration.secrets import Secrets
from tmux_fanout.engine.process import allow_connections, collect_garbage_rarely, connections_left
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_backend
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.telemetry import Exporters, exporting, make_exporters
from tmux_fanout.engine.workers.assignment import Assignment, WorkerJob, decode_assignment
from tmux_fanout.engine.workers.member.leaseholder import Leaseholder
from tmux_fanout.engine.workers.member.reports import Reporter, ReportingSink
from tmux_fanout.engine.workers.member.sent_flags import SentFlags, flagging
from tmux_fanout.engine.workers.member.source import DealtSource
from tmux_fanout.engine.workers.pipes import PipeEnd, Sender
from tmux_fanout.engine.workers.spawn import PARENTS_SIGNALS
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.select import check_transports, open_transports
from tmux_fanout.transports.tls import Contexts


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
    sys.stdout = sys.stderr  # functions of the user's may print
    orders = _orders(from_parent)
    first = await anext(orders, None)
    if first is not None:
        try:
            task = prepare(decode_assignment(first))
        except ConfigError as exc:  # this machine is not the one where the plan was checked
            await to_parent.send(encode_message(Refused(str(exc))))
        else:
            collect_garbage_rarely()
            await work(task, flags_fd, orders, to_parent)


class Task(NamedTuple):
    """An assignment as it is carried out here, in this environment."""

    assignment: Assignment
    whole: RunPlan
    contexts: Contexts
    exporters: Exporters


def prepare(assignment: Assignment) -> Task:
    """Plan an assignment.

    Raises:
        ConfigError: it cannot be carried out here.
    """
    job = assignment.job
    search_modules(job.folders)
    env = Secrets(os.environ, known=job.variables).environment(job.apis)
    whole = plan_for_worker(plan_run(job.apis, job.settings, env), job.workers)
    return Task(
        assignment,
        whole,
        check_transports(whole.apis),
        make_exporters(os.environ, _drop),  # the parent has warned
    )


def _drop(_: str) -> None:
    """Drop a warning."""


async def _orders(pipe: PipeEnd) -> AsyncIterator[bytes]:
    frames = Frames()
    while data := await pipe.receive():
        for content in frames.feed(data):
            yield content


async def work(
    task: Task, flags_fd: int | None, orders: AsyncIterator[bytes], pipe: Sender
) -> None:
    """Carry out orders until there are no more.

    Args:
        task: what to do.
        flags_fd: as for `main`.
        orders: contents of the frames of orders.
        pipe: where reports go.
    """
    assignment, whole, contexts, _ = task
    job = assignment.job
    share = Share(whole)
    share.conditions.hear(assignment.conditions)
    plan, notices = _within_descriptors(whole, assignment.grant)
    source = DealtSource(plan.names, pipe)
    flags = None if flags_fd is None else _open_flags(flags_fd, job)
    starts = Starts() if plan.settings.timings else None
    encode = encoder_for(
        job.emit, plan.names, mends=job.mends, starts=starts, has_marks=plan.has_marks
    )
    sink = ReportingSink(
        pipe,
        encode,
        _SHOWS_OUTCOMES[job.verbose],
        flags,
        is_spent=lambda: run.ending is Ending.COST_LIMIT,
    )
    with exporting(task.exporters, notices.append) as export:
        async with open_transports(plan.apis, contexts) as transports:
            used = _with_flags(transports, flags) if flags else transports
            reasons: list[str] = []
            options = LocalOptions(mends=job.mends, starts=starts, share=share, export=export)
            opener = local_backend(plan, used, options)
            run = Pipeline(
                plan,
                source,
                sink,
                source.observed(opener),
                notify=notices.append,
                watch_head=False,
                on_give_up=reasons.append,
            )
            reporter = Reporter(pipe, run, notices, reasons)
            leaseholder = Leaseholder(pipe, share, assignment.grant, source.is_idle)
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(reporter.report_every, job.interval)
                nursery.start_soon(leaseholder.keep_asking)
                nursery.start_soon(leaseholder.keep_telling)
                nursery.start_soon(_obey, orders, source, run, reporter, leaseholder)
                await run.run()
                nursery.cancel_scope.cancel()
    await reporter.report()


async def _obey(
    orders: AsyncIterator[bytes],
    source: DealtSource,
    run: Pipeline,
    reporter: Reporter,
    leaseholder: Leaseholder,
) -> None:
    async for content in orders:
        match decode_order(content):
            case Deal() as deal:
                source.add(deal)
            case Granted(grant):
                leaseholder.take(grant)
            case Heard(conditions):
                leaseholder.share.hear(conditions)
            case TallyUp(endpoints):
                leaseholder.share.asked(endpoints)
            case Elsewhere(tallies, records):
                leaseholder.share.tallies.hear(tallies, records)
            case Count():
                await reporter.report(always=True)
            case Tune(tuning, connections, is_less):
                allow_connections(connections)
                leaseholder.renew(is_less=is_less)
                run.tune(tuning)
            case Stop(ending):
                run.abort(Ending[ending])
                await reporter.report(always=True)  # shows that the order was received
    source.finish()
    run.abort(Ending.SIGHUP)  # either nothing is open, or the parent has gone


def _open_flags(fd: int, job: WorkerJob) -> SentFlags:
    flags = SentFlags(fd, job.slots, len(job.apis))
    os.close(fd)
    return flags


def _with_flags(transports: Sequence[Transport], flags: SentFlags) -> Sequence[Transport]:
    return [flagging(transport, flags, index) for index, transport in enumerate(transports)]


def _within_descriptors(whole: RunPlan, first: Grant) -> tuple[RunPlan, deque[str]]:
    """Return a plan that needs no more descriptors than there are, and notices of any change.

    Args:
        whole: the plan of the run.
        first: the share that this process begins with.
    """
    wanted = sum(api.max_connections for api in whole.apis)
    allow_connections(wanted)
    allowed = connections_left()
    if wanted <= allowed:
        return whole, deque()
    plan = fit(whole, allowed)
    shares = {
        limit.api: amount
        for limit, amount in zip(shared_limits(whole), first.amounts)
        if limit.kind == "slots" and limit.endpoint is None
    }
    if all(shares[index] <= api.limit for index, api in enumerate(plan.apis)):
        return plan, deque()
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
