"""Results of a run, for a program without trio: an iterator over an engine in another thread."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence

import trio

from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.library.results import Results
from tmux_fanout.engine.library.thread import EngineThread, OpenResults


class SyncResults(Iterator[Result]):
    """The results of a run, in input order, each as soon as it and all before it are ready.

    `fanout_sync` makes it.  The run starts when the first result, or `statistics`, is asked for.
    `close` cancels it; so does leaving a `with` block, or dropping the iterator, as leaving a `for`
    loop early does.
    """

    def __init__(self, open_results: OpenResults) -> None:
        self._open_results = open_results
        self._run: _SyncRun | None = None
        self._ready: deque[Result] = deque()
        self._is_closed = False
        self._lifetime = threading.RLock()  # starting and closing may come from two threads

    def __repr__(self) -> str:
        if self._run is None:
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
            if self._run:
                self._run.stop()

    def __enter__(self) -> SyncResults:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _start(self) -> _SyncRun:
        with self._lifetime:
            if self._run is None:
                if self._is_closed:
                    raise RuntimeError("this run was closed before it started")
                self._run = _SyncRun(self._open_results)
            return self._run


class _SyncRun:
    """A run in a thread of its own, from construction until `stop`.

    Attributes:
        results: The run's results; only `statistics` may be used from another thread.

    Raises:
        BaseException: The run could not start.
    """

    def __init__(self, open_results: OpenResults) -> None:
        self._opening: queue.SimpleQueue[Results | None] = queue.SimpleQueue()
        self._engine = EngineThread(open_results, self._serve, lambda: self._opening.put(None))
        opened = self._opening.get()
        if opened is None:
            self.stop()
            raise AssertionError("a run that does not start raises")
        self.results = opened

    def next_batch(self) -> Sequence[Result]:
        """Wait for a result, and return all that are ready; see `Results.next_batch`."""
        return self._engine.wait_for(self.results.next_batch)

    def stop(self) -> None:
        """Cancel the run, and wait until its thread has ended.

        Raises:
            BaseException: The engine has crashed.
        """
        self._engine.stop()
        crash, self._engine.crash = self._engine.crash, None
        if crash:
            raise crash from None

    async def _serve(self, results: Results) -> None:
        self._opening.put(results)
        await trio.sleep_forever()
