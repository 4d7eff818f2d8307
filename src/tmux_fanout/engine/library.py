"""The library: the engine for programs.

`fanout` is for trio programs.  `fanout_sync` is for all others: it runs the same engine in a thread
of its own, so that calls go on while the program works on a result.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, TypedDict, Unpack

import trio

from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings, TransportName
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.io.iterables import (
    AsyncIterableSource,
    BlockingIterableSource,
    IterableSource,
)
from tmux_fanout.engine.process import connections_left
from tmux_fanout.engine.run.local import Run
from tmux_fanout.transports.select import check_transports, open_transports
from tmux_fanout.transports.tls import Contexts

_Opened = tuple[trio.lowlevel.TrioToken, "Results", trio.Event]
Records = Iterable[Any] | AsyncIterable[Any]
_AnySource = IterableSource | AsyncIterableSource | BlockingIterableSource


class Options(TypedDict, total=False):
    """What `fanout` and `fanout_sync` take by keyword; see `core.config.settings.RunSettings`."""

    limit: int | str | Mapping[str, int]
    rate: str
    retries: int
    connect_timeout: float | str
    attempt_timeout: float | str
    timeout: float | str
    idempotent: bool
    max_response: int | str
    transport: TransportName
    total_limit: int
    chunk_size: int
    window: int
    window_bytes: int | str
    unordered: bool
    join: str
    max_failures: int | str
    deadline: float | str
    env_proxy: bool


class Results(AsyncIterator[Result]):
    """Results, in input order, as they become ready."""

    def __init__(self, run: Run, batches: trio.MemoryReceiveChannel[Sequence[Result]]) -> None:
        self._run = run
        self._batches = batches
        self._ready: deque[Result] = deque()

    def __repr__(self) -> str:
        return f"<Results of {self._run!r}>"

    async def __anext__(self) -> Result:
        if not self._ready:
            self._ready.extend(await self.next_batch())
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def next_batch(self) -> Sequence[Result]:
        """The next results, all that are ready; none at the end.

        Raises:
            Exception: whatever the records raised, once all results before it are out.
        """
        try:
            return await self._batches.receive()
        except trio.EndOfChannel:
            if self._run.trouble:
                raise self._run.trouble.__cause__ or self._run.trouble from None
            return ()


class _ChannelSink:
    """Hands results to whoever iterates; the engine waits until they are taken."""

    def __init__(self, batches: trio.MemorySendChannel[Sequence[Result]]) -> None:
        self._batches = batches

    async def put(self, results: Sequence[Result]) -> None:
        await self._batches.send(results)

    async def reader_gone(self) -> None:
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        """Nothing to hurry: leaving the block is what ends a run here."""


def fanout(
    records: Records, apis: Sequence[Api], **options: Unpack[Options]
) -> AbstractAsyncContextManager[Results]:
    """Send each record to several HTTP APIs at once; results come in input order.

        async with fanout(records, [Api("a", "https://...")], timeout=20) as results:
            async for result in results:
                print(result.ok, result["a"].body)

    Args:
        records: an iterable that does not block, or an async iterable, of JSON-able values or of
            bytes that are JSON text; NaN and infinities become null.  It is read as far ahead as
            `window` says.
        apis: where to; their names differ.
        options: durations in seconds or as texts such as `"10s"`, sizes in bytes or as texts such
            as `"64MiB"`:

            limit, rate, retries, connect_timeout, attempt_timeout, timeout, idempotent,
                max_response, transport: for the APIs that do not say otherwise, as in `Api`.
            total_limit: attempts in flight over all APIs (no limit).
            chunk_size: most records read together (100).
            window: records read and not yet handed out (1024, at least 4 x the largest limit; up to
                8192 where slots would idle behind a slow record).
            window_bytes: bytes of those records and their responses (64 MiB).
            unordered: results as they complete instead.
            join: `all` (the default), `first`, `quorum:N` or `best-effort:T`: how many ok outcomes
                settle a record, and cancel its other calls.
            max_failures: a number or a share such as `"5%"` of records that are not ok, past which
                the others that were read come out as `cancelled`, and no more are read.
            deadline: for the whole run; what it stops gets outcomes of kind `deadline`.
            env_proxy: whether `http_proxy` and its kin in the environment count (they do).

    Returns:
        A context manager for an async iterator of `Result`.  A failed call is a `Result` that is
        not ok.  Leaving the block cancels what is under way; no task or socket outlives it.

    Raises:
        ConfigError: an API or an option is not usable; at once, before anything is sent.
        Exception: what `records` raises comes out of the iteration, after the results before it.
    """
    plan = _plan(apis, options)
    contexts = check_transports(plan.apis)

    def source() -> _AnySource:
        if isinstance(records, AsyncIterable):
            return AsyncIterableSource(records)
        return IterableSource(records, plan.chunk_size)

    return _running(plan, contexts, source)


def fanout_sync(
    records: Iterable[Any], apis: Sequence[Api], **options: Unpack[Options]
) -> Iterator[Result]:
    """`fanout` for synchronous programs: an iterator of results, in input order.

        for result in fanout_sync(records, [Api("a", "https://...")]):
            print(result.ok, result["a"].body)

    The engine runs in a thread of its own.  An iterable that may block, such as a generator, is
    read in another, so it must not depend on the thread that it runs in.

    Args:
        records: an iterable of JSON-able values, or of bytes that are JSON text.
        apis, options: as for `fanout`.

    Returns:
        An iterator; closing it (or dropping it, as leaving a `for` loop early does) cancels what
        is under way, and waits until no socket is left and no thread but one that `records`
        itself blocks, which ends when that goes on.

    Raises:
        ConfigError: an API or an option is not usable; at once, before anything is sent.
        RuntimeError: it was called from a trio task.
        Exception: what `records` raises comes out of the iteration, after the results before it.
    """
    if _in_trio():
        raise RuntimeError("fanout_sync would block trio; write: async with fanout(...) as results")
    plan = _plan(apis, options)
    contexts = check_transports(plan.apis)

    def source() -> _AnySource:
        kind = IterableSource if isinstance(records, Collection) else BlockingIterableSource
        return kind(records, plan.chunk_size)

    return _iterate(plan, contexts, source)


def _in_trio() -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def _plan(apis: Sequence[Api], options: Options) -> RunPlan:
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        known = ", ".join(Options.__annotations__)
        raise ConfigError(f"{sorted(unknown)[0]!r} is no option; there are {known}")
    settings = RunSettings(**options)
    return fit(plan_run(apis, settings, os.environ), connections_left())


@asynccontextmanager
async def _running(
    plan: RunPlan, contexts: Contexts, open_source: Callable[[], _AnySource]
) -> AsyncIterator[Results]:
    """A run under way, cancelled at the end of the block."""
    failure: BaseException | None = None
    send, receive = trio.open_memory_channel[Sequence[Result]](0)
    async with open_transports(plan.apis, contexts) as transports:
        source = open_source()
        run = Run(plan, transports, source, _ChannelSink(send))

        async def drive() -> None:
            async with send:
                await run.run()

        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(drive)
                try:
                    yield Results(run, receive)
                except (Exception, KeyboardInterrupt, SystemExit) as exc:
                    failure = exc  # of the block; kept out of the nursery's group
                nursery.cancel_scope.cancel()
        finally:
            source.close()
            receive.close()
    if failure:
        raise failure


def _iterate(
    plan: RunPlan, contexts: Contexts, open_source: Callable[[], _AnySource]
) -> Iterator[Result]:
    """Run in a thread; take results from it batch by batch."""
    opened: queue.SimpleQueue[_Opened | None] = queue.SimpleQueue()
    crash: list[BaseException] = []

    async def main() -> None:
        async with _running(plan, contexts, open_source) as results:
            enough = trio.Event()
            opened.put((trio.lowlevel.current_trio_token(), results, enough))
            await enough.wait()

    def engine() -> None:
        try:
            trio.run(main, strict_exception_groups=True)
        except BaseException as exc:
            crash.append(exc)
        opened.put(None)

    thread = threading.Thread(target=engine, name="tmux-fanout", daemon=True)
    thread.start()
    handle = opened.get()

    def stop() -> None:
        if handle:
            token, _, enough = handle
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(enough.set)
        thread.join()

    # An iterator that is still there when the program ends is closed too late for its thread.
    atexit.register(stop)
    try:
        if handle:
            token, results, _ = handle
            while batch := trio.from_thread.run(results.next_batch, trio_token=token):
                yield from batch
    finally:
        atexit.unregister(stop)
        stop()
        if crash:
            raise crash[0]
