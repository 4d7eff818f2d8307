"""A Dask cluster on loopback: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from support.command import PATIENCE, Process, environment

_DASK = [sys.executable, "-m", "dask"]
_COMMON = ("--no-dashboard",)
_LOGGED = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "info"}


class Slowly:
    """A reply that takes its time, and knows how many of them are under way.

    Args:
        seconds: that it takes.

    Attributes:
        peak: the most that were under way at the same time.
        times: when each began.
    """

    def __init__(self, seconds: float = 0.01) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._now = 0
        self.peak = 0
        self.times: list[float] = []

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        with self._lock:
            self._now += 1
            self.peak = max(self.peak, self._now)
            self.times.append(time.monotonic())
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        return 200, body


class DaskWorker:
    """A worker of a cluster.

    Attributes:
        process: the worker, or its nanny.
    """

    def __init__(self, process: Process) -> None:
        self.process = process

    def __repr__(self) -> str:
        return f"<DaskWorker {self.process.pid}>"

    def children(self) -> list[int]:
        """Return the processes that any of its threads has started."""
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(word) for path in found for word in path.read_text().split()]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        """End it, even if it is stopped, and whatever it has started."""
        self.process.kill()
        self.process.wait()


class Dask:
    """A running cluster.

    Args:
        folder: for its files.
        host: what the scheduler listens to, an address that may have a protocol.
        on: a command that runs the scheduler elsewhere.
        settings: variables of all processes.

    Attributes:
        address: of the scheduler.
        file: that the scheduler writes its address to.
        workers: those that were started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        on: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.workers: list[DaskWorker] = []
        self._settings = settings or {}
        arguments = ("--host", host, "--port", "0", "--scheduler-file", str(self.file))
        self.scheduler = self._start("scheduler", *arguments, on=on)
        _await(lambda: self.file.exists() and self.file.read_text().endswith("}"), "no scheduler")
        self.address: str = json.loads(self.file.read_text())["address"]

    def __repr__(self) -> str:
        return f"<Dask at {self.address}>"

    @property
    def option(self) -> tuple[str, str]:
        """The option of the command."""
        return ("--cluster", self.address)

    def join(self, *arguments: str, on: Sequence[str] = (), **variables: str) -> DaskWorker:
        """Start another worker, by the command `on` elsewhere; it takes part once it is ready."""
        arguments = ("--nthreads", "1", *(arguments or ("--no-nanny",)))
        process = self._start("worker", self.address, *arguments, on=on, **variables)
        self.workers.append(DaskWorker(process))
        return self.workers[-1]

    def await_workers(self, count: int) -> None:
        """Wait until so many workers are registered with the scheduler."""
        log = self.folder / "scheduler.log"
        _await(
            lambda: log.read_text().count("Register worker") >= count,
            f"less than {count} workers have come",
        )

    def log(self) -> str:
        """Return what scheduler and workers have logged."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def end(self) -> None:
        for worker in self.workers:
            worker.end()
        self.scheduler.kill()
        self.scheduler.wait()

    def _start(self, kind: str, *arguments: str, on: Sequence[str], **variables: str) -> Process:
        number = len(self.workers) if kind == "worker" else ""
        with open(self.folder / f"{kind}{number}.log", "wb") as log:
            return Process(
                [*on, *_DASK, kind, *_COMMON, *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(**_LOGGED, **self._settings, **variables),
            )


@contextmanager
def dask(
    folder: Path,
    workers: int,
    *,
    host: str = "127.0.0.1",
    on: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    **variables: str,
) -> Iterator[Dask]:
    """Run a cluster for the block, with so many workers that have these variables.

    Args:
        host, on, settings: see `Dask`.
    """
    cluster = Dask(folder, host=host, on=on, settings=settings)
    try:
        for _ in range(workers):
            cluster.join(**variables)
        cluster.await_workers(workers)
        yield cluster
    finally:
        cluster.end()


def await_end(pid: int) -> None:
    """Wait until a process that is not a child of ours has ended."""

    def has_ended() -> bool:
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return False
        return True

    _await(has_ended, f"process {pid} is still running")


def _await(condition: object, otherwise: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
