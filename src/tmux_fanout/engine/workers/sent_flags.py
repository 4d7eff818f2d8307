"""SentFlags of what may have been sent, which outlive the process that made them.

Before the first byte of a request may leave, its process writes one byte into memory that it has in
common with the process that deals; so even after SIGKILL it is known which records were certainly
not sent, and that costs no message.

The memory is divided into slots: the index of a record, and a byte for each API.  A slot is taken
for a record with its first request, and is free once its line has been handed on; what is left in
it then is of no interest, since the record is done with.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.engine.calls.call import Attempt
from tmux_fanout.transports.base import (
    Handle,
    P,
    Progress,
    TasklessTransport,
    Transport,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

_INDEX = struct.Struct("=q")


def allocate_sent_flags(slots: int, apis: int) -> int:
    """A descriptor of memory for `SentFlags`."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("tmux-fanout")
    else:
        import tempfile  # not needed on Linux

        with tempfile.TemporaryFile() as file:  # which has no name any more
            fd = os.dup(file.fileno())
    os.ftruncate(fd, slots * _slot_size(apis))
    return fd


def read_sent_flags(fd: int, apis: int) -> dict[int, Sequence[bool]]:
    """For each API, whether a record may have been sent to it, by index; without those of none.

    Args:
        fd: of the memory.
        apis: how many there are.
    """
    memory, size = os.pread(fd, os.fstat(fd).st_size, 0), _slot_size(apis)
    noted: dict[int, Sequence[bool]] = {}
    for start in range(0, len(memory), size):
        flags = memory[start + _INDEX.size : start + size]
        if any(flags):
            noted[_INDEX.unpack_from(memory, start)[0]] = [flag != 0 for flag in flags]
    return noted


def _slot_size(apis: int) -> int:
    return _INDEX.size + apis


class SentFlags:
    """Where a process writes what it may have sent.

    Args:
        fd: of the memory, which may be closed then.
        slots: how many records there can be at the same time.
        apis: how many APIs.
    """

    def __init__(self, fd: int, slots: int, apis: int) -> None:
        size = _slot_size(apis)
        self._memory = mmap.mmap(fd, slots * size)
        self._none = bytes(apis)
        self._slots: dict[int, int] = {}  # where they begin, by index of the record
        self._free = list(range(0, slots * size, size))

    def __repr__(self) -> str:
        return f"<SentFlags: {len(self._slots)} slots taken, {len(self._free)} free>"

    def note(self, index: int, place: int) -> None:
        """A record may be sent to the API at this place from now on."""
        start = self._slots.get(index)
        if start is None:
            start = self._take_slot(index)
        self._memory[start + _INDEX.size + place] = 1

    def _take_slot(self, index: int) -> int:
        start = self._slots[index] = self._free.pop()
        flags = start + _INDEX.size
        self._memory[flags : flags + len(self._none)] = self._none  # before it has its new index
        _INDEX.pack_into(self._memory, start, index)
        return start

    def forget(self, indexes: Iterable[int]) -> None:
        """These records are done with."""
        for index in indexes:
            start = self._slots.pop(index, None)
            if start is not None:
                self._free.append(start)


class Marking:
    """A transport that marks what it is about to send.

    Args:
        transport: what sends.
        marks: where to.
        place: of the API.
    """

    def __init__(self, transport: Transport, marks: SentFlags, place: int) -> None:
        self._transport = transport
        self._marks = marks
        self._place = place

    def send(self, request: Request, progress: Progress) -> Coroutine[Any, Any, Response]:
        """As for `Transport`; it is no coroutine itself, since one more would cost at each step."""
        self._mark(progress)
        return self._transport.send(request, progress)

    def _mark(self, progress: Progress) -> None:
        assert isinstance(progress, Attempt)
        for call in progress.call.members or (progress.call,):
            self._marks.note(call.row.record.index, self._place)

    async def aclose(self) -> None:
        await self._transport.aclose()


class PromptMarking(Marking):
    """The same for a transport that can make attempts without a task."""

    def __init__(self, transport: TasklessTransport, marks: SentFlags, place: int) -> None:
        super().__init__(transport, marks, place)
        self._prompt = transport
        self.attend = transport.attend

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Handle | None:
        self._mark(progress)
        return self._prompt.begin(request, progress, answered, now)


def marking(transport: Transport, marks: SentFlags, place: int) -> Marking:
    """The transport, so that it marks what it is about to send; arguments as for `Marking`."""
    if isinstance(transport, TasklessTransport):
        return PromptMarking(transport, marks, place)
    return Marking(transport, marks, place)
