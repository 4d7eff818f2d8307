"""Results of a run, for a trio program: an async iterator within a block that the run lives in."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import trio

from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.library.plan import Resolved
from tmux_fanout.engine.run.local_pipeline import local_pipeline
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.transports.select import open_transports

PROGRESS_INTERVAL = 0.5  # seconds

Progress = Callable[[RunStatistics], object]


class ClosableSource(Source, Protocol):
    """A source that has something to let go of."""

    def close(self) -> None: ...


class Results(AsyncIterator[Result]):
    """The results of a run, in input order, each as soon as it and all before it are ready.

    `fanout` makes it; iterate over it with `async for`.
    """

    def __init__(self, run: Pipeline, batches: trio.MemoryReceiveChannel[Sequence[Result]]) -> None:
        self._run = run
        self._batches = batches
        self._ready: deque[Result] = deque()
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Results of {self._run!r}>"

    @property
    def statistics(self) -> RunStatistics:
        """What the run has counted so far: a live view, final once the run has ended."""
        return self._run.statistics

    async def __anext__(self) -> Result:
        if not self._ready:
            self._ready.extend(await self.next_batch())
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def next_batch(self) -> Sequence[Result]:
        """Wait for a result, and return all that are ready; an empty sequence at the end.

        Raises:
            Exception: Whatever the records or the progress function raised, once all results that
                precede it are out.
        """
        try:
            return await self._batches.receive()
        except trio.EndOfChannel:
            if self._error:
                raise self._error from None
            return ()

    async def _drive(
        self, batches: trio.MemorySendChannel[Sequence[Result]], progress: Progress | None
    ) -> None:
        """Run to the end; closing the channel then ends the iteration."""
        # Closing must not be a checkpoint: the iteration may end then, and cancel this task there,
        # and the error of a run that crashed would be lost.
        with batches:
            self._error = await run_with_progress(self._run, progress)
            if self._run.error and not self._error:
                # The engine's own exception says only that the records raised.
                self._error = self._run.error.__cause__ or self._run.error


class _ChannelSink:
    """Hands results to whoever iterates; the engine waits until they are taken."""

    def __init__(self, batches: trio.MemorySendChannel[Sequence[Result]]) -> None:
        self._batches = batches

    async def put(self, results: Sequence[Result]) -> None:
        await self._batches.send(results)

    async def consumer_gone(self) -> None:
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        """Do nothing: a run ends here when its block is left."""


@asynccontextmanager
async def open_results(
    resolved: Resolved,
    open_source: Callable[[], ClosableSource],
    progress: Progress | None,
) -> AsyncIterator[Results]:
    """Run within the block; leaving it cancels whatever is unfinished.

    Args:
        resolved: What to do.
        open_source: Called within trio, since a source may start a thread.
        progress: See `fanout`.
    """
    if not in_trio():
        raise RuntimeError("fanout needs trio: use tmux_fanout.asyncio.fanout, or fanout_sync")
    error: BaseException | None = None
    send, receive = trio.open_memory_channel[Sequence[Result]](0)
    async with _open_pipelines(resolved) as make_pipeline:
        source = open_source()
        results = Results(make_pipeline(source, _ChannelSink(send)), receive)
        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(results._drive, send, progress)
                try:
                    yield results
                except (Exception, KeyboardInterrupt, SystemExit) as exc:
                    error = exc  # the block's own: must not come out in the nursery's group
                nursery.cancel_scope.cancel()
        finally:
            source.close()
            receive.close()
    if error:
        raise error


@asynccontextmanager
async def _open_pipelines(
    resolved: Resolved,
) -> AsyncIterator[Callable[[Source, Sink], Pipeline]]:
    """Open what makes the calls, for the block; the value returns the pipeline to it."""
    plan, contexts, cluster = resolved
    if cluster is None:
        async with open_transports(plan.apis, contexts) as transports:
            yield partial(local_pipeline, plan, transports)
        return
    from tmux_fanout.engine.cluster.opening import cluster_crew  # needed rarely
    from tmux_fanout.engine.workers.coordinator import workers_pipeline

    opening = cluster_crew(
        cluster.address,
        plan,
        cluster.job,
        trust_network=cluster.trust_network,
        check=trio.from_thread.check_cancelled,
    )
    crew = await trio.to_thread.run_sync(opening.__enter__)
    try:
        yield partial(workers_pipeline, plan, crew)
    finally:
        with trio.CancelScope(shield=True):  # its own time limits bound it
            await trio.to_thread.run_sync(opening.__exit__, None, None, None)


def in_trio() -> bool:
    """Return whether the caller is a trio task."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


async def run_with_progress(run: Pipeline, progress: Progress | None) -> Exception | None:
    """Run to the end while calling `progress` every `PROGRESS_INTERVAL` seconds.

    Returns:
        What `progress` raised, which has ended the run; else None.
    """
    if progress is None:
        await run.run()
        return None
    error: Exception | None = None

    def notify() -> None:
        nonlocal error
        try:
            progress(run.statistics)
        except Exception as exc:
            error = exc
            nursery.cancel_scope.cancel()

    async def notify_regularly() -> None:
        while True:
            await trio.sleep(PROGRESS_INTERVAL)
            notify()

    async with trio.open_nursery(strict_exception_groups=True) as nursery:
        nursery.start_soon(notify_regularly)
        await run.run()
        notify()
        nursery.cancel_scope.cancel()
    return error
