"""What the system knows of processes."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.command import PATIENCE


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and not waited for."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    """One letter: S for sleeping, Z for a zombie, and so on (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def outlived(pids: Sequence[int]) -> Iterator[None]:
    """When the block is left, each of these processes has to end, or has ended."""
    descriptors = [os.pidfd_open(pid) for pid in pids]
    try:
        yield
        for fd in descriptors:
            ready, _, _ = select.select([fd], [], [], PATIENCE)
            assert ready, "a process has not ended"
    finally:
        for fd in descriptors:
            os.close(fd)
