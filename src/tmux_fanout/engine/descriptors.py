"""How many connections a process can have open."""

from __future__ import annotations

import os
import resource

# For look-ups, for addresses that are tried side by side, and for what trio itself opens.
SPARE = 24


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
