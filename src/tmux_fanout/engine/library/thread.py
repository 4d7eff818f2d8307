"""A run in a thread of its own, for programs that do not use trio.

Trio can also run as a guest of another event loop, in its thread.  But a thread can have one such
guest only, so a program could not have two runs at a time; and calls would stand still whenever the
program computes something.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TypeVar

import trio

from tmux_fanout.engine.library.results import Results

T = TypeVar("T")

OpenResults = Callable[[], AbstractAsyncContextManager[Results]]


class EngineThread:
    """A thread that a run lives in, from construction until `stop`, or until `serve` returns.

    Args:
        open_results: Opens the run.
        serve: Hands over its results; it is called in the thread, and cancelled by `stop`.
        on_end: Called at the end of the thread, whatever ended it.

    Attributes:
        crash: What the run has raised, which can only be a bug or a failure to start; else None.
    """

    def __init__(
        self,
        open_results: OpenResults,
        serve: Callable[[Results], Awaitable[None]],
        on_end: Callable[[], object],
    ) -> None:
        self._open_results = open_results
        self._serve = serve
        self._on_end = on_end
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._has_started = threading.Event()
        self.crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tmux-fanout", daemon=True)
        self._thread.start()
        self._has_started.wait()
        # A run that still lasts when the program ends is deleted too late for its thread.
        atexit.register(self.stop)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function in the thread, if that has not ended."""
        with suppress(trio.RunFinishedError):
            if self._token:
                self._token.run_sync_soon(function)

    def wait_for(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call an async function in the thread, and wait for what it returns."""
        return trio.from_thread.run(function, trio_token=self._token)

    def cancel(self) -> None:
        """Ask the run to end."""
        self.call_soon(self._scope.cancel)

    def stop(self) -> None:
        """Cancel the run, and wait until the thread has ended."""
        atexit.unregister(self.stop)
        self.cancel()
        self._thread.join()

    def _run(self) -> None:
        try:
            trio.run(self._main, strict_exception_groups=True)
        except BaseException as exc:
            self.crash = exc
        self._has_started.set()  # even if trio could not start
        self._on_end()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._has_started.set()
        with self._scope:
            async with self._open_results() as results:
                await self._serve(results)
