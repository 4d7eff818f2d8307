"""A worker process as its parent sees it.

The worker learns what to do through its pipe: other users could read a command line, or a file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio
from msgspec.structs import replace
from trio.lowlevel import ParkingLot

from tmux_fanout.core.dealing.lost_records import Sent
from tmux_fanout.core.dealing.messages import (
    Count,
    Counted,
    Deal,
    Done,
    Elsewhere,
    Frames,
    Granted,
    Heard,
    Report,
    Stop,
    TallyUp,
    Tune,
    decode_report,
    encode_message,
    frame,
)
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.mend import MendRecord
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.lease import Grant
from tmux_fanout.core.sharing.tallies import Key, Tally
from tmux_fanout.core.tuning.tuning import Tuning
from tmux_fanout.engine.workers.assignment import Assignment, WorkerJob, encode_assignment
from tmux_fanout.engine.workers.member.sent_flags import FlagsReader
from tmux_fanout.engine.workers.spawn import Child


class Worker:
    """One worker process.

    Args:
        job: what to do.
        index: of the worker, from 0; unique among those that are alive.
        name: for messages.
        child: the process.
        flags: the requests that it may have sent; None if they are not tracked.

    Attributes:
        index, name: as above.
        counted: its last report of what it counted; None until it is ready.
        has_answered: whether it has finished any record.
        heard_at: when its last report came.
        is_dismissed: whether it was told to end, or killed.
    """

    def __init__(
        self,
        job: WorkerJob,
        index: int,
        name: str,
        child: Child,
        *,
        flags: FlagsReader | None,
    ) -> None:
        self.index = index
        self.name = name
        self.counted: Counted | None = None
        self.has_answered = False
        self.heard_at = 0.0
        self.is_dismissed = False
        self._process, self._to, self._from = child
        self._flags = flags
        self._outbox: deque[bytes] = deque()
        self._outbox_changed = ParkingLot()
        self._apis = len(job.apis)
        self._mends = job.mends
        self._job = job

    def __repr__(self) -> str:
        return f"<Worker {self.name}: process {self._process.pid}>"

    def assign(self, grant: Grant, conditions: Sequence[Condition] = ()) -> None:
        """Tell it what to do; this comes before all other orders.

        Args:
            grant: its first share of the limits.
            conditions: what is known of endpoints.
        """
        assignment = Assignment(self._job, grant, conditions)
        self._post(frame(encode_assignment(assignment)))

    def grant(self, grant: Grant) -> None:
        """Have it keep to a share of the limits."""
        self._post(encode_message(Granted(grant)))

    def tell(self, conditions: Sequence[Condition]) -> None:
        """Tell it what other workers have found out about endpoints."""
        self._post(encode_message(Heard(conditions)))

    def ask_for_tallies(self, endpoints: Sequence[Key]) -> None:
        """Have it report what it counts at endpoints."""
        self._post(encode_message(TallyUp(endpoints)))

    def tell_of_others(self, tallies: Sequence[Tally], records: int | None) -> None:
        """Tell it what other workers have counted, and how many records the run has elsewhere."""
        self._post(encode_message(Elsewhere(tallies, records)))

    def hand(self, records: Sequence[Record]) -> None:
        """Have it call the APIs for records."""
        deal = Deal([record.index for record in records], [record.json for record in records])
        if self._mends:
            lines = {each.index: each.line for each in records if isinstance(each, MendRecord)}
            deal = replace(deal, lines=lines)
        self._post(encode_message(deal))

    def ask_for_counts(self) -> None:
        """Have it report what it has counted."""
        self._post(encode_message(Count()))

    def tune(self, tuning: Tuning, connections: int, *, is_less: bool) -> None:
        """Have it change rates, pause or resume APIs, and ask for its share; see `Tune`."""
        self._post(encode_message(Tune(tuning, connections, is_less)))

    def cancel(self, ending: Ending) -> None:
        """Have it cancel every call, and report the outcomes."""
        self._post(encode_message(Stop(ending.name)))

    def dismiss(self) -> None:
        """Have it end; it must have no open records."""
        self.is_dismissed = True
        self._outbox_changed.unpark_all()

    def kill(self) -> None:
        """End it at once, even if it is stopped; `run` returns once its reports have ended."""
        self.is_dismissed = True
        self._process.kill()

    def may_have_sent(self, indexes: Sequence[int]) -> dict[int, Sent]:
        """Return, by index, which APIs each of these records may have been sent to.

        The flags are None where nothing is tracked.
        """
        if self._flags is None:
            return dict.fromkeys(indexes)
        flags = self._flags.read()
        if flags is None:
            return dict.fromkeys(indexes, [True] * self._apis)
        no_flags = [False] * self._apis
        return {index: flags.get(index, no_flags) for index in indexes}

    async def run(
        self, receive: Callable[[Report], None], wait_for_room: Callable[[], Awaitable[object]]
    ) -> None:
        """Exchange messages with the process until it has gone.

        Args:
            receive: called with each of its reports.
            wait_for_room: awaited before more reports are read.
        """
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(self._deliver)
            frames = Frames()
            while data := await self._from.receive():
                for content in frames.feed(data):
                    report = decode_report(content)
                    self.has_answered |= isinstance(report, Done)
                    receive(report)
                await wait_for_room()
            nursery.cancel_scope.cancel()

    def reap(self) -> int | None:
        """End the process if it has not ended, and return its exit status; None: not known.

        Its reports have ended, or are not wanted any more; waiting for SIGKILL takes next to no
        time.  Its sent flags can still be read.
        """
        self._to.close()
        self._from.close()
        self._process.kill()
        return self._process.wait()

    def forget_flags(self) -> None:
        """Free the memory of the sent flags."""
        if self._flags:
            self._flags.close()

    def _post(self, message: bytes) -> None:
        self._outbox.append(message)
        self._outbox_changed.unpark_all()

    async def _deliver(self) -> None:
        try:
            while self._outbox or not self.is_dismissed:
                if self._outbox:
                    data = b"".join(self._outbox)
                    self._outbox.clear()
                    await self._to.send(data)
                else:
                    await self._outbox_changed.park()
        except OSError:
            return  # the process has died: its reports end, too
        self._to.close()
