"""The calls of an API that takes many records in one request.

A batch is made of what waits when a slot comes free, so that batches are as large as can be
without any record waiting for others (unless `chunk_linger` makes the reader wait).  It is a call
like any other, with one slot and one request, and the same rules about time and retries; what it
comes to is dealt out to its records.

A batch that is refused as too much or as bad is halved until what spoils it stands alone
(`core.requests.batch.TOO_MUCH_OR_BAD`), each half a batch of its own, with the time that is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.requests.batch import TOO_MUCH_OR_BAD, BatchPlan
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.caller import Caller


class Batch(Call):
    """Calls that go out as one."""

    def __init__(self, members: Sequence[Call]) -> None:
        super().__init__(members[0].row)
        self.members = members
        self.started = members[0].started
        self.is_queued = True
        for member in members:
            member.batch = self

    def __repr__(self) -> str:
        return f"<Batch: {len(self.members)} records, {self.attempts} attempts>"

    def halves(self, refusal: Response) -> list[Batch]:
        """Two batches that stand where this one stood; the request that was refused was free.

        What was lost to others in the meantime is in neither, so there may be only one.
        """
        members = [member for member in self.members if member.outcome is None]
        middle = len(members) // 2
        halves = [Batch(part) for part in (members[:middle], members[middle:]) if part]
        for half in halves:
            half.attempts, half.free = self.attempts, self.free + 1
            half.started, half.trouble = self.started, refusal
        return halves


class BatchCaller(Caller):
    """Makes the calls of an API with `batch`."""

    @property
    def _batch_plan(self) -> BatchPlan:
        assert self.plan.batch
        return self.plan.batch

    def _prepare(self, call: Call) -> Request | Outcome:
        prepared = super()._prepare(call)
        if isinstance(prepared, Request):
            key = self._batch_plan.key_of(prepared)
            if isinstance(key, ErrorInfo):
                return Outcome(False, error=key)
            call.key = key
        return prepared

    def _next(self) -> Call:
        call = super()._next()
        if isinstance(call, Batch):
            return call
        members = [call]
        keys = {call.key}
        while len(members) < self._batch_plan.size and self._queue.has_next():
            other = self._queue.calls[0]
            if isinstance(other, Batch):
                break  # it goes out again as it is
            if other.key and other.key in keys:
                break  # two answers with one key could not be told apart
            keys.add(other.key)
            self._queue.remove(other)
            members.append(other)
        return Batch(members)

    def _built(self, call: Call) -> Request:
        if call.request is None and isinstance(call, Batch):
            return self._batch_plan.request([self._built(member) for member in call.members])
        return super()._built(call)

    def _conclude(self, call: Call, answer: Response | TransportError) -> None:
        if (
            isinstance(call, Batch)
            and isinstance(answer, Response)
            and answer.status in TOO_MUCH_OR_BAD
            and not self.plan.responses.is_ok(answer)
            and len(call.members) > 1
            and trio.current_time() < self._deadline(call)
        ):
            for half in call.halves(answer):
                self._nursery.start_soon(self._call_again, half, 0.0)
            return
        super()._conclude(call, answer)

    def _settle_with(
        self, call: Call, answer: Response | TransportError | None, error: ErrorInfo | None
    ) -> None:
        if not isinstance(call, Batch):
            super()._settle_with(call, answer, error)
            return
        self._keep(call, 0)
        answers: Sequence[Response | TransportError | None] = [answer] * len(call.members)
        if isinstance(answer, Response) and error is None:
            keys = [member.key for member in call.members]
            items: Sequence[bytes] | ErrorInfo
            try:
                items = self._batch_plan.answers(answer, keys)
            except Exception as exc:
                items = internal_error(exc)
            if isinstance(items, ErrorInfo):
                error = items
            else:
                answers = [Response(answer.status, answer.headers, item, 0) for item in items]
        for member, own in zip(call.members, answers):
            if member.outcome is not None:
                continue  # lost to others in the meantime
            _catch_up(member, call)
            member.batch = None  # which refers to the member: no garbage collection without this
            super()._settle_with(member, own, error)

    def lose(self, call: Call, why: str) -> None:
        batch = call.batch
        if batch is None:
            super().lose(call, why)
            return
        assert isinstance(batch, Batch)
        self.cut_short(call, "lost", why)
        left = [member.row for member in batch.members if member.outcome is None]
        if left:
            batch.row = left[0]  # by which it is told whether it may start
        else:
            batch.outcome = call.outcome
            self._keep(batch, 0)
            self._stop(batch)

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        if call.batch:
            _catch_up(call, call.batch)
        super().cut_short(call, kind, why)


def _catch_up(member: Call, batch: Call) -> None:
    """What happened to a batch has happened to each of its members."""
    member.attempts = batch.attempts
    member.started, member.ended = batch.started, batch.ended
    member.sent, member.trouble = batch.sent, batch.trouble
