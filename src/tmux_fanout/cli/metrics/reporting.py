"""The metrics of a run, wherever they are asked for."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry, ProcessCollector

from tmux_fanout.cli.metrics.families import RunCollector
from tmux_fanout.cli.metrics.file import MetricsFile
from tmux_fanout.cli.metrics.server import served
from tmux_fanout.engine.run.pipeline import Pipeline


class Exposition:
    """Where the metrics of a run go.

    Args:
        listener: listens for those who scrape them, or None.
        path: of the file that they are written to, or None.
        complain: called with one line if they cannot be written.

    Attributes:
        has_failed: whether the file lacks the last figures.
    """

    def __init__(
        self, listener: socket.socket | None, path: str | None, complain: Callable[[str], None]
    ) -> None:
        self._listener = listener
        self._path = path
        self._complain = complain
        self.has_failed = False

    def __repr__(self) -> str:
        return f"<Exposition: {self._listener!r}, {self._path}>"

    @asynccontextmanager
    async def of(self, run: Pipeline) -> AsyncIterator[None]:
        """Expose the metrics of a run, which begins and ends within the block."""
        registry = CollectorRegistry()
        registry.register(RunCollector(run))
        ProcessCollector(registry=registry)
        file = MetricsFile(self._path, registry, self._complain) if self._path else None
        async with AsyncExitStack() as stack:
            if file:
                await stack.enter_async_context(file.kept_up_to_date(run.refresh))
            if self._listener:
                await stack.enter_async_context(served(self._listener, registry, run.refresh))
            yield
        self.has_failed = file is not None and file.has_failed
