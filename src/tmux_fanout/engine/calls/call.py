"""A record on its way through the window, its calls, and their attempts.

A `PendingRecord` has one `Call` for each API.  A `Call` makes one `Attempt` after another until it
has an outcome; only a hedged call has two of them under way at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import trio

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.series.steps import Series
from tmux_fanout.core.results.outcome import Outcome, Timings
from tmux_fanout.core.spending.units import Cost, Reservation
from tmux_fanout.transports.base import Handle

Answer = Response | TransportError | None
"""The result of an attempt; None if it was cancelled or ran out of time."""


class Attempt:
    """One request of a call, from the slot that it takes until it gives that back.

    It is the `transports.base.Progress` that a transport fills in.

    Args:
        call: the call that makes the request.
        is_hedge: whether another attempt of the call is under way already, and slow.

    Attributes:
        request: the request as it is sent; None until it is built.
        endpoint: index of the endpoint that it goes to.
        is_probe: whether it tests an endpoint whose breaker is open.
        reserved: what it reserves; only set where units or money are counted.
        slot: its token at the limiter of the API.
        span_id: of its span; only set where it carries or leaves traces.
        handle: cancels it; None before it starts and once it was cancelled.
        began: when it was started.
        deadline: when it is cancelled.
        sent, fresh, connected_at, first_byte_at: see `transports.base.Progress`.
    """

    reserved: Reservation
    span_id: str

    __slots__ = (
        "began",
        "call",
        "connected_at",
        "deadline",
        "endpoint",
        "first_byte_at",
        "fresh",
        "handle",
        "is_hedge",
        "is_probe",
        "request",
        "reserved",
        "sent",
        "slot",
        "span_id",
    )

    def __init__(self, call: Call, is_hedge: bool) -> None:
        self.call = call
        self.is_hedge = is_hedge
        self.request: Request | None = None
        self.endpoint = 0
        self.is_probe = False
        self.slot: object = None
        self.handle: Handle | None = None
        self.began = 0.0
        self.deadline = math.inf
        self.sent = False
        self.fresh = call.needs_fresh
        self.connected_at = 0.0
        self.first_byte_at = 0.0

    def __repr__(self) -> str:
        kind = "hedge" if self.is_hedge else "attempt"
        return f"<Attempt: {kind} of {self.call!r}>"


class Setback(NamedTuple):
    """The first attempt of a call that an API refused or failed, and what it had done before.

    Attributes:
        at: when that was.
        refused, served: number of attempts that it had refused or failed, and served, before.
        served_recently: the last of these, as far as they were served just before.
    """

    at: float
    refused: int
    served: int
    served_recently: int


class Call:
    """One record at one API, from admission to its outcome.

    Args:
        pending: the record, with the calls beside this one.

    Attributes:
        request: the request as built for the first endpoint; None until the call is queued, and
            while a large request is dropped to save memory.
        is_plain: that its body is not compressed again; only set once a compressed one was refused.
        is_queued: whether the call was queued; if not, it waits for other calls of its record, or
            was settled without a request.
        kept: bytes of a response, and of a compressed body, that the call keeps between attempts,
            counted in the window.
        attempts: number of attempts started.
        failures: number of attempts that used up a retry.
        refusals: number of attempts that the API refused.
        setback: the first attempt that the API refused or failed, or None.
        asked_pause: seconds that the last response asked to wait.
        used: seconds of its time that are used up: by attempts, and by back-off after failures.
        started: when the first attempt started; before that, when the call was queued.
        ended: when the last attempt ended, or the call was cut short.
        endpoint: index of the endpoint that the last attempt went to, if there are several.
        needs_fresh: whether the next attempt must use a new connection.
        was_sent: whether the last attempt that ended had sent anything.
        last_answer: the result of the last attempt, while the call waits for its next one.
        pause: the scope in which the call waits for its next attempt.
        attempt: the attempt under way, or None.
        hedge: the second attempt beside it, or None.
        members: the calls that go out together as this one, if it is a batch.
        batch: the batch that the call is a member of, or None.
        key: identifies the record among the others of a batch.
        cost: what its request will spend; only set where the API has `cost`.
        size: bytes that it adds to the body of a batch; only set where batches are measured.
        built: what `now()` returns in its request; only set where an expression asks.
        series: the requests that it makes in a row, while it makes several.
        timings: of the last attempt that ended; only set where the run has `timings`.
        trace_id: of the trace of the last attempt; only set where calls have traces.
        span_id: of its span, or of the batch that it was a part of; only set as above.
        host: the one that its request goes to; only set where the API has `hosts`, as are
        hops: the number of redirects that it has followed, and
        was_answered: whether its first request was processed, and a redirect led on from there.
        group: the calls that it shares a request with, while it waits for another one's answer or
            makes the request for all, and None afterwards; only set where the API has `share`.
        cache_key: of its answer; only set where the API has `cache`, once that was asked for.
    """

    is_plain: bool
    cost: Cost
    size: int
    built: float
    timings: Timings
    trace_id: str
    span_id: str
    host: object
    hops: int
    was_answered: bool
    group: object
    cache_key: bytes

    # CPython 3.11 does not quicken lookups that fall back to the class: class-level defaults in
    # place of these assignments cost 7 % of a call's instructions.
    __slots__ = (
        "asked_pause",
        "attempt",
        "attempts",
        "batch",
        "built",
        "cache_key",
        "cost",
        "ended",
        "endpoint",
        "failures",
        "group",
        "hedge",
        "hops",
        "host",
        "is_plain",
        "is_queued",
        "kept",
        "key",
        "last_answer",
        "members",
        "needs_fresh",
        "outcome",
        "pause",
        "pending",
        "refusals",
        "request",
        "series",
        "setback",
        "size",
        "span_id",
        "started",
        "timings",
        "trace_id",
        "used",
        "was_answered",
        "was_sent",
    )

    def __init__(self, pending: PendingRecord) -> None:
        self.pending = pending
        self.request: Request | None = None
        self.outcome: Outcome | None = None
        self.is_queued = False
        self.kept = 0
        self.attempts = 0
        self.failures = 0
        self.refusals = 0
        self.setback: Setback | None = None
        self.asked_pause = 0.0
        self.used = 0.0
        self.started = 0.0
        self.ended = 0.0
        self.endpoint: int | None = None
        self.needs_fresh = False
        self.was_sent = False
        self.last_answer: Response | TransportError | None = None
        self.pause: trio.CancelScope | None = None
        self.attempt: Attempt | None = None
        self.hedge: Attempt | None = None
        self.members: Sequence[Call] = ()
        self.batch: Call | None = None
        self.key = b""
        self.series: Series | None = None

    def __repr__(self) -> str:
        return (
            f"<Call: record {self.pending.record.index}, {self.attempts} attempts, {self.outcome}>"
        )

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt is under way."""
        return self.attempt is not None or self.hedge is not None

    @property
    def tries(self) -> int:
        """The number of attempts made for its current request."""
        return self.attempts - self.series.before if self.series else self.attempts

    @property
    def goes_on(self) -> bool:
        """Whether it waits to make its next request, as the one before was served."""
        return self.series is not None and self.last_answer is self.series.answer

    @property
    def is_new(self) -> bool:
        """Whether the call was neither queued nor settled, nor waits for an answer elsewhere."""
        if self.is_queued or self.outcome is not None:
            return False
        return getattr(self, "group", None) is None and not hasattr(self, "cache_key")

    def end_pause(self) -> None:
        """Stop waiting for the next attempt: it starts now, or never."""
        if self.pause:
            self.pause.cancel()
            self.pause = None


class PendingRecord:
    """A record that was read, its calls, and how many of them are still open.

    Args:
        record: the record.

    Attributes:
        size: bytes that count in the window: the record and its responses.
        calls: one for each API, until all are settled.
        outcomes: the outcomes of the calls, from then on.
        open_calls: number of calls without an outcome.
        grace: the time that the remaining calls have once enough of them are ok.
        trace_id: of its trace; only set where calls have traces.
        span_id: of its span; only set as above.
        began: when its first request was begun; only set as above.
    """

    trace_id: str
    span_id: str
    began: float

    __slots__ = (
        "began",
        "calls",
        "grace",
        "open_calls",
        "outcomes",
        "record",
        "size",
        "span_id",
        "trace_id",
    )

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
        """Whether all calls are settled."""
        return not self.open_calls

    def close(self) -> None:
        """Replace the calls, all of which are settled, with their outcomes.

        Calls are many times as large, and refer back to the record: without that cycle there is
        nothing left for the garbage collector.
        """
        self.outcomes = [call.outcome for call in self.calls if call.outcome]
        self.calls = ()
        if self.grace:
            self.grace.cancel()
