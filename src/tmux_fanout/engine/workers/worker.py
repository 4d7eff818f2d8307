"""A child process as a member of those who are dealt records.

What it has to know comes through its pipe, since others could read a command line, or a file.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.dealing.lost_records import Sent
from tmux_fanout.core.dealing.messages import (
    Counted,
    Deal,
    Done,
    Frames,
    Report,
    Stop,
    decode_report,
    encode_message,
    frame,
)
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.parser import Record
from tmux_fanout.engine.workers.assignment import Assignment, WorkerJob
from tmux_fanout.engine.workers.sent_flags import allocate_sent_flags, read_sent_flags
from tmux_fanout.engine.workers.spawn import Start, quickest_start


class Worker:
    """One child process.

    Args:
        job: what it is to do.
        place: which of the children it is.
        start: how to start it.

    Attributes:
        counted: what it has counted; None before it is ready.
        has_answered: whether anything came of what it was handed.
        heard_at: when its last report came.
        is_dismissed: whether nothing more is expected of it.
    """

    def __init__(self, job: WorkerJob, place: int, start: Start) -> None:
        self.place = place
        self.counted: Counted | None = None
        self.has_answered = False
        self.heard_at = 0.0
        self.is_dismissed = False
        self._outbox: deque[bytes] = deque()
        self._has_mail = ParkingLot()
        self._apis = len(job.apis)
        self._marks = allocate_sent_flags(job.slots, self._apis) if job.is_marked else None
        try:
            self._process, self._to, self._from = start(self._marks)
        except BaseException:
            self.forget()
            raise
        self._outbox.append(frame(pickle.dumps(Assignment(job, place, self._marks))))

    def __repr__(self) -> str:
        return f"<Worker {self.place}: process {self._process.pid}>"

    def hand(self, records: Sequence[Record]) -> None:
        """Have it call the APIs for records."""
        deal = Deal([record.index for record in records], [record.json for record in records])
        self._post(encode_message(deal))

    def cancel(self, ending: Ending) -> None:
        """Have it cancel every call, and say what came of them."""
        self._post(encode_message(Stop(ending.name)))

    def dismiss(self) -> None:
        """Have it end; nothing that it was handed is open."""
        self.is_dismissed = True
        self._has_mail.unpark_all()

    def kill(self) -> None:
        """End it at once, even if it is stopped; its reports end with it."""
        self.is_dismissed = True
        self._process.kill()

    def may_have_sent(self, indexes: Sequence[int]) -> dict[int, Sent]:
        """For each API, whether each of these records may have been sent to it.

        None instead, where that was not marked.
        """
        if self._marks is None:
            return dict.fromkeys(indexes)
        noted, nowhere = read_sent_flags(self._marks, self._apis), [False] * self._apis
        return {index: noted.get(index, nowhere) for index in indexes}

    async def run(
        self, hear: Callable[[Report], None], until_heard: Callable[[], Awaitable[object]]
    ) -> None:
        """Pass messages on until the process has gone.

        Args:
            hear: called with each of its reports.
            until_heard: its result is awaited before more of them are read.
        """
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(self._deliver)
            frames = Frames()
            while data := await self._from.receive():
                for each in frames.feed(data):
                    report = decode_report(each)
                    self.has_answered |= isinstance(report, Done)
                    hear(report)
                await until_heard()
            nursery.cancel_scope.cancel()

    def bury(self) -> int:
        """End it if it has not ended, and return its exit status; what it marked can still be read.

        It has no more to say, or nobody wants to hear it, and SIGKILL takes no time to speak of.
        """
        self._to.close()
        self._from.close()
        self._process.kill()
        return self._process.wait()

    def forget(self) -> None:
        """What it marked is of no interest any more."""
        if self._marks is not None:
            os.close(self._marks)
            self._marks = None

    def _post(self, message: bytes) -> None:
        self._outbox.append(message)
        self._has_mail.unpark_all()

    async def _deliver(self) -> None:
        try:
            while self._outbox or not self.is_dismissed:
                if self._outbox:
                    await self._to.send(self._outbox.popleft())
                else:
                    await self._has_mail.park()
        except OSError:
            return  # it has died, which is seen where its reports end
        self._to.close()


class Crew(NamedTuple):
    """Who begins to do a job, one in each place."""

    job: WorkerJob
    workers: Sequence[Worker]


@contextmanager
def first_workers(job: WorkerJob) -> Iterator[Crew]:
    """Start a crew, before there is an event loop; none of it outlives the block.

    Raises:
        ConfigError: the system has no process, or no file, for one of them.
    """
    from tmux_fanout.engine.workers.child import main  # loaded once, for all children

    start = quickest_start(main)
    with ExitStack() as stack:
        workers = []
        for place in range(job.number):
            try:
                worker = Worker(job, place, start)
            except OSError as exc:
                why = f"--workers: process {place + 1} of {job.number} cannot be started"
                raise ConfigError(f"{why}: {exc.strerror}; ask for fewer") from exc
            stack.callback(worker.forget)
            stack.callback(worker.bury)
            workers.append(worker)
        yield Crew(job, workers)
