"""Results of a run, for a program without trio: an iterator over an engine in another thread."""

from __future__ import annotations

import atexit
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import NamedTuple

import trio

from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.library.results import Results

OpenResults = Callable[[], AbstractAsyncContextManager[Results]]


class SyncResults(Iterator[Result]):
    """The results of a run, in input order, each as soon as it and all before it are ready.

    `fanout_sync` makes it.  The run starts when the first result, or `statistics`, is asked for.
    `close` cancels it; so does leaving a `with` block, or dropping the iterator, as leaving a `for`
    loop early does.
    """

    def __init__(self, open_results: OpenResults) -> None:
        self._open_results = open_results
        self._engine: _EngineThread | None = None
        self._ready: deque[Result] = deque()
        self._is_closed = False
        self._lifetime = threading.RLock()  # starting and closing may come from two threads

    def __repr__(self) -> str:
        if self._engine is None:
            return "<SyncResults: not started>"
        return f"<SyncResults: {'closed' if self._is_closed else 'running'}>"

    @property
    def statistics(self) -> RunStatistics:
        """What the run has counted so far: a live view, final once the run has ended."""
        return self._start().results.statistics

    def __next__(self) -> Result:
        if not self._ready and not self._is_closed:
            try:
                self._ready.extend(self._start().next_batch())
            except BaseException:
                if self._is_closed:  # by another thread, which ends the iteration
                    raise StopIteration from None
                self.close()
                raise
            if not self._ready:
                self.close()
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def close(self) -> None:
        """Cancel whatever is unfinished, and wait until no socket and no thread is left.

        It may be called from any thread.  A thread that the records block ends when they return.
        """
        with self._lifetime:
            self._is_closed = True
            self._ready.clear()
            if self._engine:
                self._engine.stop()

    def __enter__(self) -> SyncResults:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _start(self) -> _EngineThread:
        with self._lifetime:
            if self._engine is None:
                if self._is_closed:
                    raise RuntimeError("this run was closed before it started")
                self._engine = _EngineThread(self._open_results)
            return self._engine


class _Opened(NamedTuple):
    """What the engine's thread hands over once the run has started."""

    results: Results
    token: trio.lowlevel.TrioToken
    stopped: trio.Event


class _EngineThread:
    """A run in a thread of its own, from construction until `stop`.

    Attributes:
        results: The run's results; only `statistics` may be used from another thread.

    Raises:
        Exception: The run could not start.
    """

    def __init__(self, open_results: OpenResults) -> None:
        self._open_results = open_results
        self._opening: queue.SimpleQueue[_Opened | None] = queue.SimpleQueue()
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tmux-fanout", daemon=True)
        self._thread.start()
        opened = self._opening.get()
        if opened is None:
            self._thread.join()
            self._raise_crash()
            raise AssertionError("a run that does not start raises")
        self.results, self._token, self._stopped = opened
        # An iterator that still exists when the program ends is deleted too late for its thread.
        atexit.register(self._stop)

    def next_batch(self) -> Sequence[Result]:
        """Wait for a result, and return all that are ready; see `Results.next_batch`."""
        return trio.from_thread.run(self.results.next_batch, trio_token=self._token)

    def stop(self) -> None:
        """Cancel the run, and wait until its thread has ended.

        Raises:
            BaseException: The engine has crashed.
        """
        atexit.unregister(self._stop)
        self._stop()
        self._raise_crash()

    def _stop(self) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._stopped.set)
        self._thread.join()

    def _raise_crash(self) -> None:
        crash, self._crash = self._crash, None
        if crash:
            raise crash from None

    def _run(self) -> None:
        try:
            trio.run(self._open, strict_exception_groups=True)
        except BaseException as exc:
            self._crash = exc
        self._opening.put(None)

    async def _open(self) -> None:
        async with self._open_results() as results:
            stopped = trio.Event()
            self._opening.put(_Opened(results, trio.lowlevel.current_trio_token(), stopped))
            await stopped.wait()
