"""Pipes between our own processes; unlike inherited ones, they may be made non-blocking."""

from __future__ import annotations

import os
from typing import Protocol

import trio

_READ_SIZE = 256 << 10


class Sender(Protocol):
    """Where the orders to a worker go."""

    async def send(self, data: bytes) -> None:
        """Send all bytes.

        Raises:
            OSError: nobody receives them any more.
        """

    def close(self) -> None:
        """Send no more; the worker then ends."""


class Receiver(Protocol):
    """Where the reports of a worker come from."""

    async def receive(self) -> bytes:
        """Return the next bytes, at least one; none at the end of the stream."""

    def close(self) -> None:
        """Receive no more."""


class PipeEnd:
    """One end of a pipe that no other process holds; it sends or receives.

    Args:
        fd: its descriptor, which `close` closes.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        self._sending = trio.Lock()

    def __repr__(self) -> str:
        return f"<PipeEnd: fd {self.fd}>"

    async def receive(self) -> bytes:
        """Return the next bytes, at least one; none at the end of the stream."""
        while True:
            await trio.lowlevel.wait_readable(self.fd)
            try:
                return os.read(self.fd, _READ_SIZE)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    async def send(self, data: bytes) -> None:
        """Write all bytes; those of concurrent senders do not mix.

        Raises:
            BrokenPipeError: the other end is closed.
        """
        async with self._sending:
            view = memoryview(data)
            while view:
                try:
                    view = view[os.write(self.fd, view) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self.fd)

    def close(self) -> None:
        """Close the descriptor, if it is open; no task may be waiting for it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
