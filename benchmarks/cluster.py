"""The workers of a Dask cluster against one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.cases import compare
from benchmarks.contenders import Contender, ours
from benchmarks.machine import choose_many_cores
from benchmarks.report import Report
from benchmarks.servers import fast_server
from benchmarks.tools import version_of

_MEMBERS = (1, 2, 4)
_PATIENCE = 60.0  # seconds for a cluster to come up


def cluster(bench: Bench) -> Report:
    """Compare clusters of one, two and four workers with one process."""
    if version_of("distributed") is None:
        return Report(case="cluster", server="none", notes=["not installed: distributed"])
    wide = replace(bench, cores=choose_many_cores(), names=())
    with ExitStack() as stack:
        contenders = [Contender(name="tmux-fanout", command=ours())]
        for members in _MEMBERS:
            address = stack.enter_context(_dask(bench.directory, members))
            command = ours("--cluster", address)
            contenders.append(Contender(name=f"tmux-fanout, {members} members", command=command))
        server = fast_server(3, wide.cores.server)
        note = "scheduler, Dask workers and clients share the cores of the clients"
        return compare(wide, server, contenders, case="cluster", records=40_000, note=note)


@contextmanager
def _dask(directory: Path, members: int) -> Iterator[str]:
    """Run a cluster for the block; its value is the address of the scheduler."""
    file = directory / f"scheduler-{members}.json"
    with ExitStack() as stack:
        _start(stack, "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
        deadline = time.monotonic() + _PATIENCE
        while not (file.exists() and file.read_text().endswith("}")):
            if time.monotonic() > deadline:
                raise TimeoutError("the scheduler does not come up")
            time.sleep(0.05)
        address: str = json.loads(file.read_text())["address"]
        for _ in range(members):
            _start(stack, "worker", address, "--nthreads", "1", "--no-nanny")
        _await(address, members)
        yield address


def _start(stack: ExitStack, kind: str, *options: str | Path) -> None:
    silent = subprocess.DEVNULL
    command = [sys.executable, "-m", "dask", kind, "--no-dashboard", *map(str, options)]
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed code is compiled
    process = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent, env=environment)
    stack.callback(process.wait)
    stack.callback(process.kill)


def _await(address: str, members: int) -> None:
    """Wait until all workers are there."""
    script = (
        "import sys, distributed as d; d.Client(sys.argv[1]).wait_for_workers(int(sys.argv[2]))"
    )
    arguments: Sequence[str] = (sys.executable, "-c", script, address, str(members))
    subprocess.run(arguments, check=True, timeout=_PATIENCE, capture_output=True)
