"""Marks of what may have been sent, which outlive the process that made them.

Before the first byte of a request may leave, its process writes one byte into memory that it has in
common with the process that deals; so even after SIGKILL it is known which records were certainly
not sent, and that costs no message.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tmux_fanout.core.http import Request, Response
from tmux_fanout.engine.batches import Batch
from tmux_fanout.engine.call import Call
from tmux_fanout.transports.base import Progress, Transport

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


class Marks:
    """A byte for each slot and API.

    Args:
        fd: of the memory, which stays open.
        slots: how many records there can be at the same time.
        apis: how many APIs.
    """

    def __init__(self, fd: int, slots: int, apis: int) -> None:
        self._apis = apis
        self._memory = mmap.mmap(fd, slots * apis)

    @staticmethod
    def allocate(slots: int, apis: int) -> int:
        """A descriptor of memory for `Marks`."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("tmux-fanout")
        else:
            import tempfile  # not needed on Linux

            with tempfile.TemporaryFile() as file:  # which has no name any more
                fd = os.dup(file.fileno())
        os.ftruncate(fd, slots * apis)
        return fd

    def clear(self, slot: int) -> None:
        """The slot is another record's from now on."""
        start = slot * self._apis
        self._memory[start : start + self._apis] = bytes(self._apis)

    def note(self, slot: int, place: int) -> None:
        """The slot's record may be sent to the API at this place from now on."""
        self._memory[slot * self._apis + place] = 1

    def noted(self, slot: int) -> Sequence[bool]:
        """For each API, whether the slot's record may have been sent to it."""
        start = slot * self._apis
        return [byte != 0 for byte in self._memory[start : start + self._apis]]

    def close(self) -> None:
        self._memory.close()


class Marking:
    """A transport that marks what it is about to send.

    Args:
        transport: what sends.
        marks: where to.
        slots: of the records, by their index.
        place: of the API.
    """

    def __init__(
        self, transport: Transport, marks: Marks, slots: dict[int, int], place: int
    ) -> None:
        self._transport = transport
        self._marks = marks
        self._slots = slots
        self._place = place

    def send(self, request: Request, progress: Progress) -> Coroutine[Any, Any, Response]:
        """As for `Transport`; it is no coroutine itself, since one more would cost at each step."""
        assert isinstance(progress, Call)
        for call in progress.members if isinstance(progress, Batch) else (progress,):
            self._marks.note(self._slots[call.row.record.index], self._place)
        return self._transport.send(request, progress)

    async def aclose(self) -> None:
        await self._transport.aclose()
