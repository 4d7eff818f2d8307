"""What callers are given: by a run, by their API, and by one that calls many hosts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

import trio

from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.results.timings import Starts
from tmux_fanout.core.spending.meter import Meter
from tmux_fanout.engine.calls.alarm import AlarmLike
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.outcomes.settler import OutcomeOf
from tmux_fanout.engine.calls.outcomes.timings import Ended
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.reuse.store import Store
from tmux_fanout.engine.calls.sharing.fence import Fence
from tmux_fanout.engine.calls.sharing.others import Others
from tmux_fanout.engine.calls.slots import TotalLimit
from tmux_fanout.engine.calls.tracing.spans import Spans
from tmux_fanout.transports.base import Transport


class RunContext(NamedTuple):
    """What the callers of a run have in common.

    Attributes:
        nursery: runs the tasks.
        scope: a scope around the nursery; once it is cancelled, no attempt begins any more.
        total: the slots that all APIs share, or None.
        fence: knows until when this process has a share of the limits; None: they are its own.
        random: for jitter.
        may_start: returns whether the window has room for the response to a call; `Caller.start`
            asks again later.
        has_room: returns whether the window has room for another record.
        is_head: returns whether the output waits for a call.
        kept: called with the change in the bytes that calls keep between attempts.
        held_back: called when the endpoints of an API begin to hold calls back.
        idle: called after `Caller.close` when no attempt of an API is under way.
        give_up: ends the run, as nothing more can be paid for.
        notify: called with one line that the user should see at once.
        timings: whether outcomes have the timings of the last attempts.
        starts: where to note when records are begun, too; or None.
        spans: passes on the spans of calls, or None.
    """

    nursery: trio.Nursery
    scope: trio.CancelScope
    total: TotalLimit | None
    fence: Fence | None
    random: Random
    may_start: Callable[[Call], bool]
    has_room: Callable[[], bool]
    is_head: Callable[[Call], bool]
    kept: Callable[[int], None]
    held_back: Callable[[], None]
    idle: Callable[[], None]
    give_up: Callable[[], object]
    notify: Callable[[str], None]
    timings: bool
    starts: Starts | None
    spans: Spans | None


class ApiContext(NamedTuple):
    """What the caller of one API is given.

    Attributes:
        run: what all callers have in common.
        transport: sends the requests.
        statistics: counts what is reported; no decision reads it.
        meter: allows attempts by the rate and the budget, or None.
        start_peers: starts the calls of this API and of those that it shares its meter's rate or
            budget with; None if it shares nothing.
        others: know of the calls of this API that other processes have.
        store: the cache of the API's answers, or None.
        shared: what the callers of an API's hosts share; None: it has a caller of its own.
    """

    run: RunContext
    transport: Transport
    statistics: ApiStatistics
    meter: Meter | None
    start_peers: Callable[[], object] | None
    others: Others
    store: Store | None
    shared: Shared | None = None


class Shared(Protocol):
    """What the caller of one of an API's hosts shares with the others.

    Attributes:
        payloads: builds the requests.
        outcome_of: turns answers into outcomes.
        resume: begins attempts at all hosts that may; called when some have ended.
    """

    @property
    def payloads(self) -> Payloads: ...
    @property
    def outcome_of(self) -> OutcomeOf: ...
    @property
    def resume(self) -> Callable[[], None]: ...

    def alarm(self, ring: Callable[[], None]) -> AlarmLike:
        """Return an alarm that calls a function."""
        ...

    def ended(self, conclude: Ended) -> Ended:
        """Return what is called with each attempt that has ended, in place of `conclude`."""
        ...


class CallerLike(Protocol):
    """A caller, as its parts see it."""

    def submit(self, call: Call, now: float) -> None:
        """Queue a call, for `start` to begin."""
        ...

    def settle(self, call: Call, outcome: Outcome) -> None:
        """Give a call that makes no request its outcome."""
        ...

    def withdraw(self, call: Call) -> bool:
        """Take a call out of the queue unless it has begun; return whether that was done."""
        ...

    def start(self) -> None:
        """Begin as many attempts as there are free slots and calls that may go."""
        ...

    def resume(self) -> None:
        """Begin attempts on slots that became free; other APIs that share them come first."""
        ...
