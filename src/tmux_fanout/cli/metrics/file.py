"""The option `--metrics-file`: a file that node_exporter's textfile collector reads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from prometheus_client import CollectorRegistry, write_to_textfile

from tmux_fanout.cli.arguments.replaceable import check_replaceable
from tmux_fanout.core.text import printable

INTERVAL = 5.0  # seconds between two versions of the file
_OPTION = "--metrics-file"
_STARTS = b"# HELP tmux_fanout_"


def check_metrics_file(path: str) -> None:
    """Check that metrics may be written to a file: it is theirs, or there is none.

    Raises:
        ConfigError: they may not.
    """
    unlike = "has no metrics of an earlier run"
    check_replaceable(path, _OPTION, begins=_STARTS, unlike=unlike)


class MetricsFile:
    """Writes metrics to a file, whose readers see whole versions only.

    Args:
        path: of the file.
        registry: of the metrics.
        complain: called with one line if that fails, once.

    Attributes:
        has_failed: whether the last version could not be written.
    """

    def __init__(
        self, path: str, registry: CollectorRegistry, complain: Callable[[str], None]
    ) -> None:
        self._path = os.path.realpath(path)
        self._registry = registry
        self._complain = complain
        self._has_complained = False
        self.has_failed = False

    def __repr__(self) -> str:
        return f"<MetricsFile: {self._path}>"

    def write(self) -> None:
        """Write a version; a failure is said, and ends no run."""
        try:
            write_to_textfile(self._path, self._registry)
        except OSError as exc:
            self.has_failed = True
            if not self._has_complained:
                self._has_complained = True
                self._complain(f"{_OPTION}: {printable(repr(self._path))}: {exc.strerror}")
        else:
            self.has_failed = False

    async def _keep_writing(self, refresh: Callable[[], Awaitable[None]]) -> None:
        while True:
            await refresh()
            self.write()
            await trio.sleep(INTERVAL)

    @asynccontextmanager
    async def kept_up_to_date(self, refresh: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Write versions at intervals within the block, and the last one after it."""
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(self._keep_writing, refresh)
            yield
            nursery.cancel_scope.cancel()
        self.write()
