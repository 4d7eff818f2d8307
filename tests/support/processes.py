"""Inspect processes through /proc."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.command import PATIENCE


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children that a process has not yet reaped."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    """Return a process's state as one letter: S for sleeping, Z for zombie, etc. (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def outlived(pids: Sequence[int]) -> Iterator[None]:
    """Run the block, then check that each of these processes has ended or ends soon."""
    descriptors = [os.pidfd_open(pid) for pid in pids]
    try:
        yield
        for fd in descriptors:
            ready, _, _ = select.select([fd], [], [], PATIENCE)
            assert ready, "a process is still running"
    finally:
        for fd in descriptors:
            os.close(fd)
