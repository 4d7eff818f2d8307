"""The whole process: its cores, open files, garbage collection and memory."""

from __future__ import annotations

import gc
import os
import resource
import sys
from contextlib import suppress

from tmux_fanout.core.errors import ConfigError

# Descriptors for name resolution, for addresses that are tried in parallel, and for trio itself.
SPARE = 24
# Without these, neither the input nor a single connection can be opened.
_INDISPENSABLE = 12


def usable_cores() -> int:
    """Return the number of cores that this process may use, or of all if that is not known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_open_files() -> None:
    """Check that this process may open the files that it cannot do without.

    Raises:
        ConfigError: it may not.
    """
    allow_connections(_INDISPENSABLE - SPARE)
    missing = _INDISPENSABLE - SPARE - connections_left()
    if missing > 0:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        advice = f"raise the limit to at least {soft + missing}, better 1024, with `ulimit -n`"
        raise ConfigError(f"too few open files are allowed ({soft}): {advice}")


def connections_left() -> int:
    """Return how many more connections this process may open, by its limit of open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    max_files = 1 << 30 if soft == resource.RLIM_INFINITY else soft
    return max_files - len(os.listdir("/dev/fd")) - SPARE


def allow_connections(count: int) -> None:
    """Raise the soft limit of open files for `count` connections, within the hard limit."""
    missing = count - connections_left()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if missing > 0:
        requested = soft + missing
        resource.setrlimit(
            resource.RLIMIT_NOFILE,
            (requested if hard == resource.RLIM_INFINITY else min(requested, hard), hard),
        )


def collect_garbage_rarely() -> None:
    """Search for reference cycles once in 20,000 new objects, and never among present objects.

    Apart from exceptions, and hosts from records (which `HostCallers` has freed), a run creates no
    cycles; searching for them took 1.5 % of its instructions.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def occupied_memory() -> int:
    """Return the bytes of memory that this process occupies; the maximum so far without /proc."""
    with suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if sys.platform == "darwin" else maximum << 10
