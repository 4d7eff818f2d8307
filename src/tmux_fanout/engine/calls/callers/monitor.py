"""What a caller has to do at one moment, for reports, the live display and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.engine.calls.attempts import Attempts
from tmux_fanout.engine.calls.callers.parts import Parts
from tmux_fanout.engine.calls.outcomes.retrier import Retrier


class CallerStatistics(NamedTuple):
    """What a `Caller` holds at one moment.

    Attributes:
        waiting: calls and hedges in the queue.
        in_flight: attempts under way.
        slots: slots taken.
        total_slots: slots taken of those that all APIs share.
        endpoints: attempts under way at each endpoint.
        watched: attempts that get a hedge if they take much longer.
        hedges_waiting: hedges that have not begun.
    """

    waiting: int
    in_flight: int
    slots: int
    total_slots: int
    endpoints: Sequence[int]
    watched: int
    hedges_waiting: int


class Monitor:
    """Look at the parts of a caller.

    Args:
        parts: those that hold its calls.
        attempts: makes the attempts.
        retrier: knows which calls back off.
        statistics: know what holds up the first call that waits.
    """

    def __init__(
        self, parts: Parts, attempts: Attempts, retrier: Retrier, statistics: ApiStatistics
    ) -> None:
        self._calls = parts.queue.calls
        self._slots = parts.slots
        self._meter = parts.meter
        self._endpoints = parts.endpoints
        self._hedger = parts.hedger
        self._sequencer = parts.sequencer
        self._attempts = attempts
        self._retrier = retrier
        self._statistics = statistics

    def __repr__(self) -> str:
        return f"<Monitor: {len(self._calls)} calls wait, {self._attempts!r}>"

    def statistics(self) -> CallerStatistics:
        """Return what the caller holds now."""
        return CallerStatistics(
            waiting=len(self._calls),
            in_flight=self._attempts.in_flight,
            slots=self._slots.limiter.borrowed_tokens,
            total_slots=self._slots.total_taken,
            endpoints=self._endpoints.in_flight,
            watched=self._hedger.watched if self._hedger else 0,
            hedges_waiting=self._hedger.waiting if self._hedger else 0,
        )

    def load(self, now: float) -> Load:
        """Return what waits, and the condition of the endpoints, for reports."""
        return Load(len(self._calls), [state.load(now) for state in self._endpoints.states])

    def describe_wait(self, now: float, *, is_paused: bool) -> Wait | None:
        """Return for the live display what the next call waits for, apart from slots; or None.

        Args:
            now: the time.
            is_paused: whether the user has paused the API.
        """
        if is_paused and self._calls:
            return Wait("paused", "the user")
        if not self._calls:
            wait = None if self._attempts.in_flight else self._describe_pauses(now)
            return (
                self._endpoints.describe_wait(now)
                if wait and self._endpoints.are_closed(now)
                else wait
            )
        match self._statistics.held.cause:
            case "paused" | "breaker" | "throttled":
                return self._endpoints.describe_wait(now)
            case "rate":
                seconds = self._meter.wait(self._calls[0], now) if self._meter else math.inf
                return Wait("rate", seconds=seconds if seconds < math.inf else None)
            case "cost" | "window" as cause:
                return Wait(cause)
        return None

    def _describe_pauses(self, now: float) -> Wait | None:
        polls = self._sequencer.describe_wait(now) if self._sequencer else None
        return self._retrier.describe_wait(now) or polls
