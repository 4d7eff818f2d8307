"""Flags for requests that may have been sent, which outlive the process that sets them.

Before the first byte of a request can leave, the worker writes one byte into memory that it shares
with the process that deals.  So even after SIGKILL it is known which records were certainly not
sent, and that costs no message.

The memory is divided into slots: the index of a record, and a byte for each API.  A slot is taken
with the first request of a record, and is free once the record's line was sent to the parent.  What
is left in a free slot does no harm, since its record is finished.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

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


class FlagsReader(Protocol):
    """Where the flags of a worker can be read after its death."""

    def read(self) -> Mapping[int, Sequence[bool]] | None:
        """Return, by index of the record, the flags of all records that have any.

        None: they were lost with the worker.
        """

    def close(self) -> None:
        """Free the memory."""


class FlagsMemory:
    """The memory of the flags, which a child inherits.

    Args:
        slots: number of records.
        apis: number of APIs.

    Attributes:
        fd: its descriptor.
    """

    def __init__(self, slots: int, apis: int) -> None:
        self._apis = apis
        if hasattr(os, "memfd_create"):
            self.fd = os.memfd_create("tmux-fanout")
        else:
            import tempfile  # not needed on Linux

            with tempfile.TemporaryFile() as file:  # which has no name any more
                self.fd = os.dup(file.fileno())
        os.ftruncate(self.fd, slots * _slot_size(apis))

    def __repr__(self) -> str:
        return f"<FlagsMemory: fd {self.fd}, {self._apis} APIs>"

    def content(self) -> bytes:
        """Return the memory as it is; see `parse_flags`."""
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0)

    def read(self) -> Mapping[int, Sequence[bool]]:
        return parse_flags(self.content(), self._apis)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def parse_flags(memory: bytes, apis: int) -> dict[int, Sequence[bool]]:
    """Return, by index of the record, the flags of all records that have any.

    Args:
        memory: its content.
        apis: number of APIs.
    """
    size = _slot_size(apis)
    found: dict[int, Sequence[bool]] = {}
    for start in range(0, len(memory), size):
        flags = memory[start + _INDEX.size : start + size]
        if any(flags):
            found[_INDEX.unpack_from(memory, start)[0]] = [flag != 0 for flag in flags]
    return found


def _slot_size(apis: int) -> int:
    return _INDEX.size + apis


class SentFlags:
    """The flags of the records that one worker has.

    Args:
        fd: of the memory; it may be closed afterwards.
        slots: maximum number of records at the same time.
        apis: number of APIs.
    """

    def __init__(self, fd: int, slots: int, apis: int) -> None:
        size = _slot_size(apis)
        self._memory = mmap.mmap(fd, slots * size)
        self._no_flags = bytes(apis)
        self._slots: dict[int, int] = {}  # their offsets, by index of the record
        self._free = list(range(0, slots * size, size))

    def __repr__(self) -> str:
        return f"<SentFlags: {len(self._slots)} slots taken, {len(self._free)} free>"

    def set(self, index: int, api: int) -> None:
        """Note that a record may be sent to an API from now on.

        Args:
            index: of the record.
            api: index of the API.
        """
        start = self._slots.get(index)
        if start is None:
            start = self._take_slot(index)
        self._memory[start + _INDEX.size + api] = 1

    def _take_slot(self, index: int) -> int:
        start = self._slots[index] = self._free.pop()
        flags = start + _INDEX.size
        # Cleared first: the new record must never be seen with the flags of the one before.
        self._memory[flags : flags + len(self._no_flags)] = self._no_flags
        _INDEX.pack_into(self._memory, start, index)
        return start

    def forget(self, indexes: Iterable[int]) -> None:
        """Free the slots of finished records."""
        for index in indexes:
            start = self._slots.pop(index, None)
            if start is not None:
                self._free.append(start)


class FlaggingTransport:
    """A transport that sets the flags of a request before it passes it on.

    Args:
        transport: sends the requests.
        flags: of the records.
        api: index of the API.
    """

    def __init__(self, transport: Transport, flags: SentFlags, api: int) -> None:
        self._transport = transport
        self._flags = flags
        self._api = api

    def send(self, request: Request, progress: Progress) -> Coroutine[Any, Any, Response]:
        """Send a request, as `Transport.send` does.

        This is no coroutine function itself: another coroutine would cost time at each step.
        """
        self._set_flags(progress)
        return self._transport.send(request, progress)

    def _set_flags(self, progress: Progress) -> None:
        assert isinstance(progress, Attempt)
        for call in progress.call.members or (progress.call,):
            self._flags.set(call.pending.record.index, self._api)

    async def aclose(self) -> None:
        await self._transport.aclose()


class TasklessFlaggingTransport(FlaggingTransport):
    """The same for a transport that can make attempts without a task."""

    def __init__(self, transport: TasklessTransport, flags: SentFlags, api: int) -> None:
        super().__init__(transport, flags, api)
        self._taskless = transport
        self.attend = transport.attend

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Handle | None:
        self._set_flags(progress)
        return self._taskless.begin(request, progress, answered, now)


def flagging(transport: Transport, flags: SentFlags, api: int) -> FlaggingTransport:
    """Return a transport that sets flags before it sends; arguments as for `FlaggingTransport`."""
    if isinstance(transport, TasklessTransport):
        return TasklessFlaggingTransport(transport, flags, api)
    return FlaggingTransport(transport, flags, api)
