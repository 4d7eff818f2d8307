"""Pipes between processes of ours: unlike those of others, they need not stay blocking."""

from __future__ import annotations

import os

import trio

_READ_SIZE = 256 << 10


class PipeEnd:
    """One end of a pipe, which is ours alone.

    Args:
        fd: of it; closed by `close`.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<PipeEnd: fd {self.fd}>"

    async def receive(self) -> bytes:
        """Some bytes, at least one, or none at the end."""
        while True:
            await trio.lowlevel.wait_readable(self.fd)
            try:
                return os.read(self.fd, _READ_SIZE)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    async def send(self, data: bytes) -> None:
        """Write all of it; what several tasks write does not mix.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        async with self._turn:
            view = memoryview(data)
            while view:
                try:
                    view = view[os.write(self.fd, view) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self.fd)

    def close(self) -> None:
        """Close it, once; nobody may be waiting for it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
