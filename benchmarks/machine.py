"""Run processes on chosen cores, and measure what they cost."""

from __future__ import annotations

import os
import platform
import resource
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

PATIENCE = 900.0  # seconds that one measured process may take

Stream = int | IO[bytes] | None


class Cores(NamedTuple):
    """The cores for the server and for the client; empty means any."""

    server: Sequence[int] = ()
    client: Sequence[int] = ()


def choose_cores() -> Cores:
    """Return the first two usable cores; with one core, nothing is pinned."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[:1], usable[1:2]) if len(usable) > 1 else Cores()


def choose_many_cores() -> Cores:
    """Return one core for the server and the others for the client; below four, all for both."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[:1], usable[1:]) if len(usable) >= 4 else Cores()


class Usage(NamedTuple):
    """The cost of a process: exit status, wall and CPU seconds, peak memory in bytes."""

    status: int
    seconds: float
    cpu: float
    peak: int


@contextmanager
def running(
    command: Sequence[str],
    cores: Sequence[int],
    *,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.DEVNULL,
    stderr: Stream = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process on these cores, and kill it at the end if it is still running.

    Args:
        env: variables to add to the environment.
    """
    environment = {**os.environ, **(env or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed code is compiled
    with _on(cores):
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0, env=environment
        )
    with process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


@contextmanager
def _on(cores: Sequence[int]) -> Iterator[None]:
    """Move this process to these cores, so that the children it starts inherit them."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(
    command: Sequence[str],
    cores: Sequence[int],
    *,
    env: Mapping[str, str] | None = None,
    **streams: Stream,
) -> Usage:
    """Run a command to its end, and return what it cost, start-up included.

    Args:
        streams: as for `running`.

    Raises:
        TimeoutError: it does not end in time.
    """
    started = time.perf_counter()
    with running(command, cores, env=env, **streams) as process:
        _wait_for_exit(process)
        seconds = time.perf_counter() - started
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts the process before exec too, which is a copy of this one: keep this one small.
    peak = used.ru_maxrss << 10
    return Usage(process.returncode, seconds, used.ru_utime + used.ru_stime, peak)


def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    descriptor = os.pidfd_open(process.pid)
    try:
        if not select.select([descriptor], [], [], PATIENCE)[0]:
            raise TimeoutError(f"{process.args!r} did not end within {PATIENCE:.0f} s")
    finally:
        os.close(descriptor)


def peak_so_far(process: subprocess.Popen[bytes]) -> int:
    """Return the peak memory of a running process, in bytes."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def cpu_so_far(process: subprocess.Popen[bytes]) -> int:
    """Return the CPU time of a running process, in ticks."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def allow_many_files() -> None:
    """Raise the limit of open files to the hard limit, for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe() -> dict[str, Any]:
    """Return what a reader of the results has to know about the machine."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = {line.partition(":")[2].strip() for line in file if line.startswith("model name")}
    return {
        "cpu": ", ".join(sorted(models)) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
