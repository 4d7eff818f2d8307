"""A record on its way through the window, and its calls on their way to their outcomes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import trio

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.transports.base import Exchange


class Call:
    """One record to one API, from admission to its outcome.

    Attributes:
        request: what is sent; None until it is queued, and while it is too large to wait.
        is_queued: whether it was queued; if not, it waits for others or came to no request.
        kept: bytes of a response that it keeps between attempts, counted in the window.
        attempts: begun so far; `free` of them made up for stale connections or halved a batch.
        ended: when its last attempt was over, or it was given up.
        started: when its first attempt began; before that, since when it waits.
        endpoint: where the last attempt went, by its place among the endpoints.
        is_probe: whether that attempt was to tell whether the endpoint is well again.
        trouble: what the last attempt came to, while the call waits for the next.
        pause: the scope in which it waits for its next attempt.
        scope, exchange: of the attempt under way: one of them, by whether it has a task.
        slot: of its limiter, that this attempt holds; None before it and after.
        began: when that began.
        deadline: when it has to be over.
        batch: the call that it is a part of, or None.
        hedge: the second attempt that was made because the one under way is slow, or None.
        key: what tells its item from the others of a batch.
        sent, fresh, connected_at, first_byte_at: what a transport sees; see
            `transports.base.Progress`.
    """

    # What only the class has is looked up anew each time, as CPython 3.11 quickens no such lookup:
    # defaults there cost 7 % of a call's instructions.
    __slots__ = (
        "attempts",
        "batch",
        "began",
        "connected_at",
        "deadline",
        "ended",
        "endpoint",
        "exchange",
        "first_byte_at",
        "free",
        "fresh",
        "hedge",
        "is_probe",
        "is_queued",
        "kept",
        "key",
        "outcome",
        "pause",
        "request",
        "row",
        "scope",
        "sent",
        "slot",
        "started",
        "trouble",
    )

    def __init__(self, row: PendingRecord) -> None:
        self.row = row
        self.request: Request | None = None
        self.outcome: Outcome | None = None
        self.attempts = 0
        self.free = 0
        self.started = 0.0
        self.began = 0.0
        self.ended = 0.0
        self.deadline = math.inf
        self.endpoint: int | None = None
        self.is_probe = False
        self.trouble: Response | TransportError | None = None
        self.pause: trio.CancelScope | None = None
        self.scope: trio.CancelScope | None = None
        self.exchange: Exchange | None = None
        self.slot: object = None
        self.batch: Call | None = None
        self.hedge: Call | None = None
        self.key = b""
        self.is_queued = False
        self.kept = 0
        self.sent = False
        self.fresh = False
        self.connected_at = 0.0
        self.first_byte_at = 0.0

    def __repr__(self) -> str:
        return f"<Call: record {self.row.record.index}, {self.attempts} attempts, {self.outcome}>"

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt is."""
        return self.scope is not None or self.exchange is not None

    @property
    def is_new(self) -> bool:
        """Whether it was neither queued nor settled."""
        return not self.is_queued and self.outcome is None


class PendingRecord:
    """A record that was read, its calls, and how many of them are still open.

    Attributes:
        calls: one for each API, until all are settled.
        outcomes: of the calls, from then on.
        grace: of those that are left once enough of them are ok.
    """

    __slots__ = ("calls", "grace", "open_calls", "outcomes", "record", "size")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.size = record.size
        self.calls: Sequence[Call] = ()
        self.outcomes: Sequence[Outcome] = ()
        self.open_calls = 0
        self.grace: trio.CancelScope | None = None

    def __repr__(self) -> str:
        open_calls = f"{self.open_calls} of {len(self.calls)} calls open"
        return f"<PendingRecord {self.record.index}: {open_calls}>"

    @property
    def complete(self) -> bool:
        return not self.open_calls

    def close(self) -> None:
        """All calls are settled: keep their outcomes only.

        Calls are many times as large, and refer to their row: without this cycle there is nothing
        for the garbage collector to do.
        """
        self.outcomes = [call.outcome for call in self.calls if call.outcome]
        self.calls = ()
        if self.grace:
            self.grace.cancel()
