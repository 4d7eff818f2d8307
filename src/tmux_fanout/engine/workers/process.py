"""A child process as a member of those who are dealt records.

It starts with the signals blocked that it is to ignore: a terminal sends Ctrl-C to all processes of
a job, and a child has to obey its parent only.  What it has to know comes through its pipe, since
others could read a command line, or a file.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.envelope import Emit
from tmux_fanout.core.messages import (
    Counted,
    Deal,
    Dealt,
    Done,
    Frames,
    Report,
    Stop,
    decode_report,
    encode_message,
    frame,
)
from tmux_fanout.core.records import Record
from tmux_fanout.core.settings import Api, RunSettings
from tmux_fanout.engine.workers.marks import Marks
from tmux_fanout.engine.workers.pipes import PipeEnd

PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_MODULE = "tmux_fanout.engine.workers.child"


class WorkerJob(NamedTuple):
    """What a child has to know; the environment it has from its parent.

    Attributes:
        apis, settings: of the whole run.
        number: how many children there are.
        emit: what its lines are.
        verbose: 1 if the outcomes of records that are not ok are asked for, 2 if all are.
        interval: seconds after which what was counted is to be known.
    """

    apis: Sequence[Api]
    settings: RunSettings
    number: int
    emit: Emit
    verbose: int
    interval: float


class Assignment(NamedTuple):
    """A job, and what is different for each of those who have it.

    Attributes:
        place: which of the children it is, from 0.
        marks: descriptor of the memory for marks; None if nothing is to be marked.
        slots: that there are.
    """

    job: WorkerJob
    place: int
    marks: int | None
    slots: int


class Worker:
    """One child process.

    Args:
        job: what it is to do.
        place: which of the children it is.
        slots: records that it has at most.
        marks: whether to know what it may have sent.

    Attributes:
        counted: what it has counted; None before it is ready.
        has_answered: whether anything came of what it was handed.
        is_dismissed: whether nothing more is expected of it.
    """

    def __init__(self, job: WorkerJob, place: int, slots: int, *, marks: bool) -> None:
        self.place = place
        self.counted: Counted | None = None
        self.has_answered = False
        self.is_dismissed = False
        self._slots: dict[int, int] = {}  # by index of the record
        self._free_slots = list(range(slots))
        self._outbox: deque[bytes] = deque()
        self._has_mail = ParkingLot()
        self._marks: Marks | None = None
        fd = Marks.allocate(slots, len(job.apis)) if marks else None
        try:
            self._start(Assignment(job, place, fd, slots))
            if fd is not None:
                self._marks = Marks(fd, slots, len(job.apis))
        finally:
            if fd is not None:
                os.close(fd)

    def __repr__(self) -> str:
        return f"<Worker {self.place}: process {self._process.pid}, {len(self._slots)} records>"

    def _start(self, assignment: Assignment) -> None:
        to_child, from_child = os.pipe(), os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, *_path_options(), "-m", _MODULE],
                stdin=to_child[0],
                stdout=from_child[1],
                pass_fds=() if assignment.marks is None else (assignment.marks,),
            )
        except BaseException:
            os.close(to_child[1])
            os.close(from_child[0])
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(to_child[0])
            os.close(from_child[1])
        self._to, self._from = PipeEnd(to_child[1]), PipeEnd(from_child[0])
        self._outbox.append(frame(pickle.dumps(assignment)))

    def hand(self, records: Sequence[Record]) -> None:
        """Have it call the APIs for records."""
        dealt = []
        for record in records:
            slot = self._slots[record.index] = self._free_slots.pop()
            if self._marks:
                self._marks.clear(slot)
            dealt.append(Dealt(record.index, slot, record.json))
        self._post(encode_message(Deal(dealt)))

    def cancel(self, ending: Ending) -> None:
        """Have it cancel every call, and say what came of them."""
        self._post(encode_message(Stop(ending.name)))

    def dismiss(self) -> None:
        """Have it end; nothing that it was handed is open."""
        self.is_dismissed = True
        self._has_mail.unpark_all()

    def may_have_sent(self, index: int) -> Sequence[bool] | None:
        """For each API, whether a record may have been sent to it; None if that was not marked."""
        return self._marks.noted(self._slots[index]) if self._marks else None

    def finished(self, index: int) -> None:
        """A record that it was handed is done with."""
        self._free_slots.append(self._slots.pop(index))

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
        """End it if it has not ended.  Returns its exit status; what it marked can still be read.

        It has no more to say, or nobody wants to hear it, and SIGKILL takes no time to speak of.
        """
        self._to.close()
        self._from.close()
        self._process.kill()
        return self._process.wait()

    def forget(self) -> None:
        """What it marked is of no interest any more."""
        if self._marks:
            self._marks.close()

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


def _path_options() -> list[str]:
    """Let a child find modules in the current directory only if this process would as well."""
    here = {"", os.getcwd()}
    return [] if here.intersection(sys.path) else ["-P"]
