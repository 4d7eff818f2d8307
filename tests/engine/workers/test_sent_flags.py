"""Flags for requests that may have been sent, which one process sets and another reads."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tmux_fanout.engine.workers.member.sent_flags import FlagsMemory, SentFlags

SLOTS, APIS = 3, 2


@pytest.fixture
def memory() -> Iterator[FlagsMemory]:
    memory = FlagsMemory(SLOTS, APIS)
    yield memory
    memory.close()


def test_flags_are_kept_per_api(memory: FlagsMemory) -> None:
    """Index 0 is like any other, although unused slots are all zeros."""
    flags = SentFlags(memory.fd, SLOTS, APIS)
    assert memory.read() == {}
    flags.set(1 << 40, 1)
    assert memory.read() == {1 << 40: [False, True]}
    flags.set(0, 0)
    flags.set(1 << 40, 0)
    assert memory.read() == {1 << 40: [True, True], 0: [True, False]}


def test_slot_of_a_finished_record_is_reused(memory: FlagsMemory) -> None:
    """The next record does not inherit its flags."""
    flags = SentFlags(memory.fd, SLOTS, APIS)
    for index in range(10 * SLOTS):
        flags.set(index, 0)
        flags.forget([index])
        flags.forget([index])  # a record without a slot is ignored
    for index in (100, 101, 102):
        flags.set(index, 1)
    assert memory.read() == {i: [False, True] for i in (100, 101, 102)}


def test_flags_outlive_the_process_that_set_them(memory: FlagsMemory) -> None:
    """That holds even if the process ends without any clean-up."""
    pid = os.fork()
    if not pid:
        SentFlags(memory.fd, SLOTS, APIS).set(7, 1)
        os._exit(0)
    os.waitpid(pid, 0)
    assert memory.read() == {7: [False, True]}
