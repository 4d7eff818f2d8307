"""A relay between a child and the process that deals the records, on the machine of the child."""

from __future__ import annotations

import asyncio
import time
import weakref
from contextlib import suppress
from typing import Any

from tmux_fanout.core.dealing.messages import Frames, Refused, decode_report, frame
from tmux_fanout.engine.workers.member.sent_flags import FlagsMemory
from tmux_fanout.engine.workers.spawn import child_command

_READ_SIZE = 1 << 20
_SILENCE = 60.0  # seconds without a word from the driver, after which a relay ends its child


class ChildRelay:
    """A child process, and the relay between its pipes and the driver."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._flags: FlagsMemory | None = None
        self._early: list[bytes] = []
        self._replied_at = 0.0
        self.heard_at = time.monotonic()

    def __repr__(self) -> str:
        return f"<ChildRelay: {self._process}>"

    async def start(self, assignment: bytes, flags: tuple[int, int] | None) -> str:
        """Start the child; return why it cannot do its job, or "" once it is ready.

        Args:
            assignment, flags: see `Cluster.start`.
        """
        self._flags = FlagsMemory(*flags) if flags else None
        kept = self._flags.fd if self._flags else None
        self._process = await asyncio.create_subprocess_exec(
            *child_command(kept),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=() if kept is None else (kept,),
            limit=_READ_SIZE,
        )
        self._watch = asyncio.ensure_future(_end_with_driver(weakref.ref(self)))
        self._input.write(frame(assignment))
        frames, reports = Frames(), list[bytes]()
        while not reports:
            data = await self._output.read(_READ_SIZE)
            if not data:
                status = await self._process.wait()
                return f"its process ended at once, with exit status {status}"
            self._early.append(data)
            reports = frames.feed(data)
        report = decode_report(reports[0])
        return report.text if isinstance(report, Refused) else ""

    def obey(self, orders: bytes, *, are_last: bool) -> None:
        """Pass orders on to the child, which reads them whatever else it does."""
        self.heard_at = time.monotonic()
        if orders:
            self._input.write(orders)
        if are_last:
            self._input.close()

    async def report(self, comm: Any, linger: float) -> None:
        """Send bytes from the child to the driver, or how it ended if it has."""
        await asyncio.sleep(self._replied_at + linger - time.monotonic())
        data = b"".join(self._early) or await self._output.read(_READ_SIZE)
        self._early.clear()
        self._replied_at = time.monotonic()
        end = None
        if not data:
            assert self._process
            status = await self._process.wait()
            end = (status, self._flags.content() if self._flags else b"")
        try:
            await comm.write([data, end])
        except OSError:
            pass  # its end is seen where it is read from
        except BaseException:
            comm.abort()  # or the driver would wait for ever
            raise

    def kill(self) -> None:
        """Kill the child, if it has not ended."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def __del__(self) -> None:
        self.kill()  # Dask has released the actor: the driver has gone
        if self._flags:
            self._flags.close()

    @property
    def _input(self) -> asyncio.StreamWriter:
        assert self._process
        assert self._process.stdin
        return self._process.stdin

    @property
    def _output(self) -> asyncio.StreamReader:
        assert self._process
        assert self._process.stdout
        return self._process.stdout


async def serve(reference: weakref.ref[ChildRelay], comm: Any) -> None:
    """Do what the driver says over a connection; the child ends with it.

    Args:
        reference: to the relay, which ends with whoever holds it.
        comm: the connection.
    """
    reports: asyncio.Task[None] | None = None
    try:
        while True:
            orders, linger, are_last = await comm.read()
            if not (relay := reference()):
                return
            relay.obey(orders, are_last=are_last)
            if linger is not None:
                reports = asyncio.create_task(relay.report(comm, linger))
            del relay
    except OSError:
        pass  # the driver has gone, or ends the run
    finally:
        if reports:
            reports.cancel()
        if relay := reference():
            relay.kill()


async def _end_with_driver(reference: weakref.ref[ChildRelay]) -> None:
    """End a child whose driver has not said a word for too long."""
    while relay := reference():
        if time.monotonic() > relay.heard_at + _SILENCE:
            relay.kill()
            return
        del relay  # or it would never be released
        await asyncio.sleep(1)
