"""Keep the timings of each call's last attempt for its outcome, where `--timings` asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio
from msgspec.structs import replace

from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.results.outcome import Timings
from tmux_fanout.core.results.timings import Starts
from tmux_fanout.engine.calls.call import Answer, Attempt, Call

Ended = Callable[[Attempt, Answer], None]
Settled = Callable[[Call, int], None]


def keeping_timings(ended: Ended) -> Ended:
    """Return a function that keeps the timings of an attempt that has ended, and calls `ended`."""

    def keep(attempt: Attempt, answer: Answer) -> None:
        call = attempt.call
        timings = timings_of(attempt, answer)
        for each in (call, *call.members):
            each.timings = timings
        ended(attempt, answer)

    return keep


def attaching_timings(settled: Settled, starts: Starts | None) -> Settled:
    """Return a function that adds a call's timings to its outcome, and calls `settled`.

    Args:
        settled: called with each call that has its outcome.
        starts: where to note when the call's first attempt was begun, or None.
    """

    def attach(call: Call, size: int) -> None:
        if starts is not None and call.attempts:
            ago = trio.current_time() - call.started
            starts.note(call.pending.record.index, time.time() - ago)
        timings = getattr(call, "timings", None)  # set once an attempt has ended
        if timings is not None and call.outcome is not None:
            call.outcome = replace(call.outcome, timings=timings)
        settled(call, size)

    return attach


def timings_of(attempt: Attempt, answer: Answer) -> Timings:
    """Return the timings of an attempt that has just ended."""
    began, ended = attempt.began, attempt.call.ended
    has_response = isinstance(answer, Response)
    first_byte_at = attempt.first_byte_at or (ended if has_response else 0.0)
    return Timings(
        attempt.connected_at - began if attempt.connected_at else None,
        first_byte_at - began if first_byte_at else None,
        ended - began,
        answer.wire_size if isinstance(answer, Response) else 0,
    )
