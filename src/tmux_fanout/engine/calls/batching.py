"""The batches of an API that takes many records in one request.

A batch is made of the calls that wait when a slot becomes free, so that batches are as large as
they can be without any record waiting for others (unless `chunk_linger` makes the input wait).  It
is a call like any other, with one slot, one request, and the same rules about time and retries; its
result is divided among its records.

A batch that is refused as too large or as bad is halved until the record at fault is alone
(`core.requests.batch.REFUSED_BATCH`); each half is a batch of its own, with the time left.

Where an API has rules on what answers mean, they hold for each item of a response
(`core.requests.answer_rules`).  The calls whose items are worth another attempt return to the
queue, and go out again with whatever else waits there.  Each keeps its own count of attempts and
its own time; so if a batch with such calls fails as a whole, they part again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import trio
from msgspec import structs

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.requests.batch import REFUSED_BATCH
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.queue import Queue

_Share = tuple[Response | TransportError | None, ErrorInfo | None]


class Batch(Call):
    """Calls that go out as one.

    The batch counts its own attempts; they are added to those of its members at the end.  Its time
    is that of the member with the least time left.

    Args:
        members: the calls, at least one.
    """

    def __init__(self, members: Sequence[Call]) -> None:
        super().__init__(members[0].pending)
        self.members = members
        self.started = members[0].started
        self.used = max(member.used for member in members)
        begun = [member for member in members if member.attempts]
        if begun:
            self.started = min(member.started for member in begun)
            self.last_answer = begun[0].last_answer
        self.is_queued = True
        for member in members:
            member.batch = self

    def __repr__(self) -> str:
        return f"<Batch: {len(self.members)} records, {self.attempts} attempts>"


class Batcher:
    """Put calls together into batches, and take those apart.

    Args:
        plan: the API, which has `batch`.
        queue: the calls that wait, whose meter decides whether more of them fit into the budget.
    """

    def __init__(self, plan: ApiPlan, queue: Queue) -> None:
        assert plan.batch is not None  # only made where batching is wanted
        self._plan = plan.batch
        self._is_sized = plan.batch.max_bytes is not None
        self._is_ok = plan.responses.is_ok
        self._is_idempotent = plan.retry.idempotent
        self._attempt_timeout = plan.attempt_timeout
        self._timeout = plan.retry.timeout
        self._queue = queue

    def __repr__(self) -> str:
        return f"<Batcher: {self._plan.size} records per request>"

    def gather(self, call: Call) -> Call:
        """Return a call as a batch, together with the calls from the queue that may go with it."""
        if call.members:
            return call
        members = [call]
        keys = {call.key}
        room = self._room_after(call)
        meter = self._queue.meter
        while len(members) < self._plan.size and self._queue.has_next():
            other = self._queue.calls[0]
            if other.members:
                break  # a batch that is retried goes out again as it is
            if other.key and other.key in keys:
                break  # two items with the same key could not be told apart
            if self._is_sized and other.size > room:
                break
            if not self._may_join(members[-1], other):
                break
            if meter and not meter.has_room_for([*members, other]):
                break
            keys.add(other.key)
            if self._is_sized:
                room -= other.size
            self._queue.remove(other)
            other.end_pause()
            members.append(other)
        batch = Batch(members)
        now = trio.current_time()
        for member in members:
            if not member.attempts:
                member.started = now
        return batch

    def _room_after(self, call: Call) -> float:
        """Return the bytes that a batch can hold beside a call."""
        if not self._is_sized or self._plan.max_bytes is None:
            return math.inf
        return self._plan.max_bytes - self._plan.envelope - (call.size - 1)

    def _may_join(self, call: Call, other: Call) -> bool:
        """Whether the time left to one of two calls is no less than what the other may need."""
        if call.used == other.used:
            return True
        return self._timeout - max(call.used, other.used) >= self._attempt_timeout

    def is_mixed(self, batch: Call) -> bool:
        """Return whether some open members of a batch were in others before."""
        return any(member.attempts for member in batch.members if member.outcome is None)

    def halves(self, batch: Call, answer: Response | TransportError) -> Sequence[Call]:
        """Return the two batches that replace a refused one; none if it is not to be halved.

        The refused request does not count as an attempt of theirs.  Members that were lost to other
        APIs meanwhile are in neither, so there may be only one.
        """
        if not isinstance(answer, Response) or answer.status not in REFUSED_BATCH:
            return ()
        if len(batch.members) < 2 or self._is_ok(answer):
            return ()
        members = [member for member in batch.members if member.outcome is None]
        middle = len(members) // 2
        halves = [Batch(part) for part in (members[:middle], members[middle:]) if part]
        for half in halves:
            half.attempts, half.failures = batch.attempts, batch.failures
            half.refusals, half.setback, half.used = batch.refusals, batch.setback, batch.used
            half.started, half.last_answer = batch.started, answer
        return halves

    def divide(
        self, batch: Call, answer: Response | TransportError | None, error: ErrorInfo | None
    ) -> Iterator[tuple[Call, Response | TransportError | None, ErrorInfo | None]]:
        """Yield each open member of a batch with its share of the result, to be settled with it.

        Args:
            batch: the batch.
            answer: the result of its last attempt.
            error: why that is not ok, or None.
        """
        shares: Sequence[_Share] = [(answer, error)] * len(batch.members)
        if isinstance(answer, Response) and error is None:
            items = self._items(batch, answer)
            if isinstance(items, ErrorInfo):
                shares = [(answer, items)] * len(batch.members)
            else:
                shares = [self._share(answer, item) for item in items]
        for member, (own, why) in zip(batch.members, shares):
            if member.outcome is None:  # else it was lost to others meanwhile
                self.catch_up(member, batch)
                member.batch = None  # breaks the cycle, so that no garbage collection is needed
                yield member, own, why

    def _share(self, answer: Response, item: bytes | ErrorInfo) -> _Share:
        """Return what a record has of an answer: its item, or why there is none for it."""
        if not isinstance(item, ErrorInfo):
            return Response(answer.status, answer.headers, item, 0), None
        why = structs.replace(item, ambiguous=not self._is_idempotent)
        return Response(answer.status, answer.headers, b"", 0), why

    def _items(self, batch: Call, answer: Response) -> Sequence[bytes | ErrorInfo] | ErrorInfo:
        try:
            return self._plan.answers(answer, [member.key for member in batch.members])
        except Exception as exc:
            return internal_error(exc)

    def catch_up(self, member: Call, batch: Call) -> None:
        """Add to a member what has happened to its batch."""
        member.attempts += batch.attempts
        member.failures += batch.failures
        member.refusals += batch.refusals
        if member.setback is None:
            member.setback = batch.setback
        member.used, member.asked_pause = batch.used, batch.asked_pause
        member.ended, member.needs_fresh = batch.ended, batch.needs_fresh
        member.was_sent, member.last_answer = batch.was_sent, batch.last_answer
