"""SentFlags of what may have been sent: what one process writes and another reads."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tmux_fanout.engine.workers.sent_flags import SentFlags, allocate_sent_flags, read_sent_flags

SLOTS, APIS = 3, 2


@pytest.fixture
def memory() -> Iterator[int]:
    fd = allocate_sent_flags(SLOTS, APIS)
    yield fd
    os.close(fd)


def test_marks_are_those_of_each_api(memory: int) -> None:
    """Index 0 is one like others, and a slot that nobody took is not of it."""
    marks = SentFlags(memory, SLOTS, APIS)
    assert read_sent_flags(memory, APIS) == {}
    marks.note(1 << 40, 1)
    assert read_sent_flags(memory, APIS) == {1 << 40: [False, True]}
    marks.note(0, 0)
    marks.note(1 << 40, 0)
    assert read_sent_flags(memory, APIS) == {1 << 40: [True, True], 0: [True, False]}


def test_slot_of_what_is_done_with_is_anothers(memory: int) -> None:
    """What it was marked with is not the other's."""
    marks = SentFlags(memory, SLOTS, APIS)
    for index in range(10 * SLOTS):
        marks.note(index, 0)
        marks.forget([index])
        marks.forget([index])  # one that was never sent has no slot
    for index in (100, 101, 102):
        marks.note(index, 1)
    assert read_sent_flags(memory, APIS) == {i: [False, True] for i in (100, 101, 102)}


def test_marks_are_there_after_who_made_them(memory: int) -> None:
    """A process that could do nothing more at its end."""
    pid = os.fork()
    if not pid:
        SentFlags(memory, SLOTS, APIS).note(7, 1)
        os._exit(0)
    os.waitpid(pid, 0)
    assert read_sent_flags(memory, APIS) == {7: [False, True]}
