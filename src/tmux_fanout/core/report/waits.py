"""What the calls of an API wait for now, for the live display."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tmux_fanout.core.report.statistics import HeldBy
from tmux_fanout.core.units import show_pace, show_time_left

WaitCause = HeldBy | Literal["retry", "poll"]

_TIMED = (
    "paused",
    "breaker",
    "retry",
)  # end at a time that is known, and nothing is done till then
NOTEWORTHY = 1.0  # seconds from which on it is worth a word when the next call goes


class Wait(msgspec.Struct, frozen=True, array_like=True):
    """What delays the next call of an API.

    Attributes:
        cause: as in the statistics; `retry`: all calls that wait do so before another attempt;
            `poll`: before they ask for their jobs again.
        why: such as `Retry-After`, or the last failure of the endpoint; may be empty.
        seconds: until it ends; None if that is not known.
        pace: attempts per second, where they are paced; else None.
        calls: number of calls that wait before another attempt, or poll.
    """

    cause: WaitCause
    why: str = ""
    seconds: float | None = None
    pace: float | None = None
    calls: int = 0


def describe_wait(wait: Wait) -> list[str]:
    """Return what delays an API, in parts such as `paused by Retry-After` and `43 s left`."""
    why = f" ({wait.why})" if wait.why else ""
    seconds = wait.seconds or 0.0
    left = show_time_left(seconds)
    match wait.cause:
        case "paused":
            ends = "" if wait.seconds is None else f"{left} left"
            parts = [f"paused by {wait.why or 'the server'}", ends]
        case "breaker":
            parts = [f"not available{why}", f"next try in {left}" if seconds else "being tried"]
        case "throttled":
            parts = [f"refuses{why}", f"paced at {show_pace(wait.pace)}" if wait.pace else ""]
        case "retry":
            calls = "1 call waits" if wait.calls == 1 else f"{wait.calls:,} calls wait"
            parts = [f"{calls} to be retried{why}", f"next in {left}"]
        case "poll":
            jobs = "1 job waits" if wait.calls == 1 else f"{wait.calls:,} jobs wait"
            parts = [f"{jobs} for the next poll", f"next in {left}"]
        case "rate":
            parts = ["held to its rate", f"next call in {left}" if seconds >= NOTEWORTHY else ""]
        case "cost":
            parts = ["the calls under way may use up the budget"]
        case "window":
            parts = ["its responses fill the window"]
        case "limit":
            parts = ["all slots are taken"]
    return [part for part in parts if part]


def longest(waits: Sequence[Wait | None]) -> Wait | None:
    """Return which of the waits of several processes at one API lasts longest; None if none."""
    known = [wait for wait in waits if wait]
    return max(known, key=lambda wait: (wait.cause in _TIMED, wait.seconds or 0.0), default=None)


def stands_still(wait: Wait | None) -> bool:
    """Return whether an API makes no calls until a known time."""
    return wait is not None and wait.cause in _TIMED


def time_left(
    done: float, elapsed: float, *, paused: float, waits: Sequence[Wait | None]
) -> float | None:
    """Return an estimate of the seconds until a run ends.

    It takes as long for the rest as it took for what is done, pauses not counted, and then the
    pauses that are known to come.

    Args:
        done: share of the run, from 0 to 1.
        elapsed: seconds since its beginning.
        paused: seconds of these in which an API stood still.
        waits: of the APIs, now.
    """
    if not done:
        return None
    ahead = max((wait.seconds or 0.0 for wait in waits if wait and stands_still(wait)), default=0.0)
    return max(elapsed - paused, 0.0) * (1 - done) / done + ahead
