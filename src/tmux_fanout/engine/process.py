"""What holds for the whole process: its cores, its open files, and its garbage collector."""

from __future__ import annotations

import gc
import os
import resource

# For look-ups, for addresses that are tried side by side, and for what trio itself opens.
SPARE = 24


def usable_cores() -> int:
    """Those that it may run on, where the system tells, and else all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def connections_left() -> int:
    """How many more files this process may open, less what is needed beside connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 30 if soft == resource.RLIM_INFINITY else soft
    return most - len(os.listdir("/dev/fd")) - SPARE


def allow_connections(count: int) -> None:
    """Raise the soft limit of open files for so many, as far as the hard limit lets it."""
    missing = count - connections_left()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if missing > 0:
        wanted = soft + missing
        resource.setrlimit(
            resource.RLIMIT_NOFILE,
            (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard),
        )


def collect_garbage_rarely() -> None:
    """Look for cycles once in 20,000 new objects, and not among those that are there to stay.

    A run makes none that reference counting would not free, but for exceptions; 1.5 % of its
    instructions went into looking for them.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
