"""Results of a run, for an asyncio program: an async iterator over an engine in another thread.

    event loop of the program     |     thread of the engine
                                  |
    records --> AsyncioSource._pull --> AsyncioSource --> run
                                  |                        |
    block <-- AsyncioResults <-- AsyncioResults._serve <---+
                                  |

What belongs to the program stays in its event loop: the records are iterated over there, and the
progress function is called there.  The threads post callbacks to each other, and neither waits for
the other in any other way; so every implementation of the event loop will do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from contextvars import copy_context
from typing import Any

import trio

from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.io.iterables import HandedOverSource, IterableSource
from tmux_fanout.engine.library.results import (
    PROGRESS_INTERVAL,
    ClosableSource,
    Progress,
    Results,
)
from tmux_fanout.engine.library.thread import EngineThread

Records = Iterable[Any] | AsyncIterable[Any]
OpenRun = Callable[[Callable[[], ClosableSource]], AbstractAsyncContextManager[Results]]


class AsyncioResults(AsyncIterator[Result]):
    """The results of a run, in input order, each as soon as it and all before it are ready.

    `tmux_fanout.asyncio.fanout` makes it; iterate over it with `async for`.
    """

    def __init__(
        self,
        open_run: OpenRun,
        records: Records,
        chunk_size: int,
        progress: Progress | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._records = records
        self._chunk_size = chunk_size
        self._progress = progress
        self._loop = loop
        self._context = copy_context()  # not that of the engine's thread, which says "trio"
        self._opened: asyncio.Future[Results] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._ready: deque[Result] = deque()
        self._changed = asyncio.Event()
        self._is_over = False
        self._error: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._source: AsyncioSource | None = None
        self._taken = trio.Event()
        self._engine = EngineThread(
            lambda: open_run(self._open_source), self._serve, lambda: self._post(self._end_thread)
        )

    def __repr__(self) -> str:
        return f"<AsyncioResults: {'over' if self._is_over else 'running'}>"

    @property
    def statistics(self) -> RunStatistics:
        """What the run has counted so far: a live view, final once the run has ended."""
        return self._opened.result().statistics

    async def __anext__(self) -> Result:
        while not self._ready:
            if self._is_over:
                raise self._error or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        result = self._ready.popleft()
        if not self._ready:
            self._engine.call_soon(self._take)
        return result

    # In the thread of the engine

    def _post(self, function: Callable[..., object], *args: Any) -> None:
        with suppress(RuntimeError):  # the program has closed its event loop
            self._loop.call_soon_threadsafe(function, *args, context=self._context)

    def _open_source(self) -> ClosableSource:
        records = self._records
        if type(records) is list or type(records) is tuple or type(records) is range:
            return IterableSource(records, self._chunk_size)  # runs no code of the program
        self._source = AsyncioSource(records, self._chunk_size, self._post)
        return self._source

    async def _serve(self, results: Results) -> None:
        """Hand over one batch after the other, each once the one before is taken."""
        self._post(self._open, results)
        error: BaseException | None = None
        try:
            while batch := await results.next_batch():
                self._taken = trio.Event()
                self._post(self._deliver, batch)
                await self._taken.wait()
        except trio.Cancelled:
            raise
        except BaseException as exc:  # of the records, which may be one of asyncio's
            error = exc
        self._post(self._end, error)

    def _take(self) -> None:
        self._taken.set()

    # In the event loop

    def _open(self, results: Results) -> None:
        self._opened.set_result(results)
        self._report_later()

    def _deliver(self, batch: Sequence[Result]) -> None:
        if not self._is_over:
            self._ready.extend(batch)
            self._changed.set()

    def _end(self, error: BaseException | None) -> None:
        """End the iteration once it has what is ready."""
        if not self._is_over:
            self._report()
        if not self._is_over:
            self._finish(error)

    def _end_thread(self) -> None:
        if not self._is_over:
            self._finish(self._engine.crash)
        self._ended.set_result(None)

    def _finish(self, error: BaseException | None) -> None:
        self._is_over = True
        self._error = error
        self._changed.set()
        if self._timer:
            self._timer.cancel()

    def _report_later(self) -> None:
        if self._progress and not self._is_over:
            self._timer = self._loop.call_later(PROGRESS_INTERVAL, self._report_again)

    def _report_again(self) -> None:
        self._report()
        self._report_later()

    def _report(self) -> None:
        """Call the progress function; what it raises ends the run."""
        try:
            if self._progress:
                self._progress(self.statistics)
        except Exception as exc:
            self._finish(exc)
            self._engine.cancel()

    async def _start(self) -> None:
        """Wait until the run is open.

        Raises:
            BaseException: It could not be opened.
        """
        either: tuple[asyncio.Future[Any], ...] = (self._opened, self._ended)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._engine.crash:
            raise self._engine.crash

    async def _close(self) -> None:
        """Cancel whatever is unfinished, and wait until no task, socket or thread is left.

        Raises:
            BaseException: The engine has crashed.
            CancelledError: The caller was cancelled in the meantime.
        """
        self._ready.clear()
        if not self._is_over:
            self._finish(None)
        if not self._loop.is_running():  # the program has dropped its task, and cannot wait
            self._engine.stop()
            return
        self._engine.cancel()
        await _wait_out(asyncio.create_task(self._clean_up()))
        if self._engine.crash:
            raise self._engine.crash

    async def _clean_up(self) -> None:
        await self._ended
        self._engine.stop()
        if self._source and self._source.task:
            await asyncio.wait([self._source.task])


class AsyncioSource(HandedOverSource):
    """Read the records of an iterable that belongs to an event loop in another thread.

    Args:
        records: The iterable, async or not.
        chunk_size: Maximum number of records of a chunk.
        post: Calls a function in that event loop, soon.
    """

    def __init__(self, records: Records, chunk_size: int, post: Callable[..., object]) -> None:
        super().__init__(chunk_size)
        self._records = records
        self._post = post
        self._slots = asyncio.Semaphore(chunk_size)
        self.task: asyncio.Task[None] | None = None
        post(self._start)

    def close(self) -> None:
        """Cancel the iteration over the records, without waiting for it."""
        self._post(self._cancel)

    def _free(self, slots: int) -> None:
        self._post(self._release, slots)

    # In the event loop

    def _start(self) -> None:
        self.task = asyncio.create_task(self._pull())

    def _cancel(self) -> None:
        if self.task:
            self.task.cancel()

    def _release(self, slots: int) -> None:
        for _ in range(slots):
            self._slots.release()

    async def _pull(self) -> None:
        try:
            async with aclosing(_each(self._records)) as values:
                async for value in values:
                    await self._slots.acquire()
                    self.hand_over(value)
        except BaseException as exc:  # which the iteration over the results raises
            self.end(exc)
        else:
            self.end()


async def _each(records: Records) -> AsyncGenerator[Any, None]:
    if isinstance(records, AsyncIterable):
        async for value in records:
            yield value
    else:
        for value in records:
            yield value


@asynccontextmanager
async def open_asyncio_results(
    open_run: OpenRun, records: Records, chunk_size: int, progress: Progress | None
) -> AsyncIterator[AsyncioResults]:
    """Run within the block; leaving it cancels whatever is unfinished.

    Args:
        open_run: Opens the run in the thread of the engine, given what opens its source there.
        records: See `fanout`.
        chunk_size: Maximum number of records read together.
        progress: See `fanout`.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        advice = "under trio use tmux_fanout.fanout, elsewhere fanout_sync"
        raise RuntimeError(f"tmux_fanout.asyncio.fanout needs asyncio: {advice}") from None
    results = AsyncioResults(open_run, records, chunk_size, progress, loop)
    try:
        await results._start()
        yield results
    finally:
        await results._close()


async def _wait_out(task: asyncio.Task[None]) -> None:
    """Wait for a task, even if the caller is cancelled meanwhile, and only then be cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled:
        raise cancelled
    task.result()
