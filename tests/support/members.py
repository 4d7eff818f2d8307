"""Worker processes without processes: each a task, whose pipes are in memory, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from random import Random
from typing import Any, cast
from unittest.mock import patch

import trio
from support.scripted import ListSink, ListSource, Script, ScriptedTransport

from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.dealing.shares import shared_limits
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.sharing.holder import Holder
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.workers import child
from tmux_fanout.engine.workers.assignment import WorkerJob, decode_assignment
from tmux_fanout.engine.workers.coordinator import workers_pipeline
from tmux_fanout.engine.workers.crew import local
from tmux_fanout.engine.workers.crew.local import LocalCrew, start_worker
from tmux_fanout.engine.workers.pipes import PipeEnd
from tmux_fanout.engine.workers.spawn import Child
from tmux_fanout.engine.workers.worker import Worker
from tmux_fanout.transports.base import Transport


class MemoryPipe:
    """Both ends of a pipe without bounds.

    Attributes:
        is_cut: whether nothing arrives until `mend`.
    """

    def __init__(self) -> None:
        self.is_cut = False
        self._data = bytearray()
        self._is_closed = False
        self._changed = trio.lowlevel.ParkingLot()

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._is_closed:
            raise BrokenPipeError
        self._data += data
        self._changed.unpark_all()

    async def receive(self) -> bytes:
        while self.is_cut or not (self._data or self._is_closed):
            await self._changed.park()
        await trio.lowlevel.checkpoint()
        data = bytes(self._data)
        self._data.clear()
        return data

    def mend(self) -> None:
        self.is_cut = False
        self._changed.unpark_all()

    def close(self) -> None:
        self._is_closed = True
        self._changed.unpark_all()


class Site:
    """Counts the attempts of all members.

    Attributes:
        in_flight, peak: number of attempts under way, and the maximum of that.
    """

    def __init__(self) -> None:
        self.in_flight = self.peak = 0


class CountedTransport(ScriptedTransport):
    """A scripted transport of one of several members.

    Args:
        script: what to answer.
        site: counts the attempts of all.
    """

    def __init__(self, script: Script, site: Site) -> None:
        super().__init__(script)
        self._site = site

    def fly(self) -> object:
        self._site.in_flight += 1
        self._site.peak = max(self._site.peak, self._site.in_flight)
        return super().fly()

    def land(self, flight: object) -> None:
        self._site.in_flight -= flight in self._flights
        super().land(flight)


class Member:
    """A worker as a task.

    Args:
        pid: a number.
        transports: of its APIs.
    """

    def __init__(self, pid: int, transports: Sequence[ScriptedTransport]) -> None:
        self.pid = pid
        self.transports = transports
        self.to, self.from_ = MemoryPipe(), MemoryPipe()
        self._scope = trio.CancelScope()
        self._status: int | None = None

    async def run(self) -> None:
        _current.set(self)
        with self._scope:
            orders = child._orders(cast(PipeEnd, self.to))
            task = child.prepare(decode_assignment(await anext(orders)))
            await child.work(task, None, orders, cast(PipeEnd, self.from_))
        self._status = -9 if self._scope.cancelled_caught else 0
        self.to.close()
        self.from_.close()

    def cut_off(self) -> None:
        """Lose touch with the parent."""
        self.to.is_cut = self.from_.is_cut = True

    def mend(self) -> None:
        """Be in touch again."""
        self.to.mend()
        self.from_.mend()

    def kill(self) -> None:
        """End at once, in touch or not: the other ends of the pipes are closed."""
        self._scope.cancel()
        self.from_.mend()

    def wait(self) -> int:
        return -9 if self._status is None else self._status


_current: ContextVar[Member] = ContextVar("member")


class MembersScenario:
    """A run whose calls are made by members with scripted transports.

    Args:
        scripts: by API name.
        values: records, all available at the start.
        workers: how many members there are.
        api: settings of every API.
        settings: settings of the run.

    Attributes:
        members: all that were ever started.
        sites: by API, the attempts of all members.
        notices: what the user was told.
        run: the pipeline, once it was started.
    """

    run: Pipeline

    def __init__(
        self,
        scripts: dict[str, Script],
        values: Sequence[Any],
        *,
        workers: int = 3,
        api: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self._scripts = scripts
        self.sites = {name: Site() for name in scripts}
        self._apis = [
            Api(name, "http://api.test/", **{"idempotent": True, **(api or {})}) for name in scripts
        ]
        self._settings = RunSettings(**settings)
        self.plan = plan_run(self._apis, self._settings, {})
        self._workers = workers
        self.sink = ListSink()
        self.source = ListSource([(0.0, values[i : i + 100]) for i in range(0, len(values), 100)])
        self.members: list[Member] = []
        self.notices: list[str] = []

    async def play(self, meanwhile: Callable[[], Any] | None = None) -> list[Result]:
        """Run to the end, and something else meanwhile; return the results."""
        job = WorkerJob(
            self._apis,
            self._settings,
            self._workers,
            "envelope",
            mends=False,
            verbose=2,
            interval=1.0,
            slots=self.plan.stretched_window,
            tracks_sent=False,
        )
        async with trio.open_nursery() as nursery:

            def start(kept: int | None) -> Child:
                transports = [
                    CountedTransport(script, self.sites[name])
                    for name, script in self._scripts.items()
                ]
                member = Member(len(self.members), transports)
                self.members.append(member)
                nursery.start_soon(member.run)
                return Child(member, cast(PipeEnd, member.to), cast(PipeEnd, member.from_))

            with (
                patch.object(local, "spawn_child", start),
                patch.object(child, "open_transports", self._open_transports),
                patch.object(child, "collect_garbage_rarely"),
                patch.object(child, "LocalOptions", _steady_options),
            ):
                holder = Holder[Worker]([each.amount for each in shared_limits(self.plan)])
                workers = [start_worker(job, index, start) for index in range(self._workers)]
                for each in workers:
                    holder.join(each)
                for each in workers:
                    each.assign(holder.first(each, 0.0))
                self.run = workers_pipeline(
                    self.plan,
                    LocalCrew(job, workers, holder),
                    self.source,
                    self.sink,
                    notify=self.notices.append,
                )
                if meanwhile:
                    nursery.start_soon(meanwhile)
                await self.run.run()
            nursery.cancel_scope.cancel()
        return self.sink.results

    @asynccontextmanager
    async def _open_transports(
        self, apis: Sequence[ApiPlan], contexts: object
    ) -> AsyncIterator[Sequence[Transport]]:
        yield _current.get().transports

    def sent_at(self) -> list[tuple[float, int]]:
        """Return when each attempt was sent, and by which member, in this order."""
        return sorted(
            (time, member.pid)
            for member in self.members
            for transport in member.transports
            for time, _ in transport.sent_at
        )


def _steady_options(**options: Any) -> LocalOptions:
    """Return what a worker's run has besides its plan, with the same jitter in each test."""
    return LocalOptions(random=Random(0), **options)
