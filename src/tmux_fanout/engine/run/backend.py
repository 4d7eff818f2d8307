"""The seam between the pipeline and whatever makes the calls of its records.

                     admit, start, wanted_records
    Pipeline  ---------------------------------------->  Backend   (this process, workers, ...)
       ^      <----------------------------------------     |
       |             ready, head_index, take_ready          |
       +---------- hooks: wake_reader, wake_writer, stop ----+

A pipeline owns the window, the two tasks that read and write, and the ending of the run.  A backend
owns the admitted records, from `admit` until `take_ready` hands out their results: their calls,
their order, and the count of what is still open.  Each side changes only its own state and learns
about the other's through the names above, so a backend needs no knowledge of sources, sinks or
signals, and the pipeline none of calls.

All methods but the opening and `refresh` are synchronous and return at once: they decide, and tasks
in the backend's own nursery act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeVar

import trio

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.tuning.tuning import Tuning
from tmux_fanout.engine.io.streams import MAX_BYTES_AT_ONCE

T = TypeVar("T")


class WriteBatch(NamedTuple):
    """Results to write at once, and the bytes they occupy in the window."""

    results: Sequence[Result]
    size: int


class Hooks(NamedTuple):
    """What a pipeline offers its backend.

    Attributes:
        scope: cancelled when the run must stop.  The backend enters it around the body of its
            context manager, and lets no call begin once it is cancelled.
        window: the backend calls `grow` for bytes that an admitted record gains, and holds calls
            back while the window `is_overfull`, except those of the record at the head of the line.
        statistics: the backend keeps `apis`, `processes` and `processor_seconds` up to date.
        wake_reader: to be called when no call is open any more, and when a `wanted_records` that
            was 0 may have become more.
        wake_writer: to be called when results have become ready, and when another record has come
            to the head of the line.
        stop: stops the run at once, with the given ending.
        give_up: stops the run for a reason; the backend has no attempts under way, and begins none.
        reason: returns that reason.
        ending: returns why the run ends; valid once `scope` has been left.
        notify: passes a one-line notice to the user.
    """

    scope: trio.CancelScope
    window: Window
    statistics: RunStatistics
    wake_reader: Callable[[], None]
    wake_writer: Callable[[], None]
    stop: Callable[[Ending], None]
    give_up: Callable[[str], None]
    reason: Callable[[], str]
    ending: Callable[[], Ending]
    notify: Callable[[str], None]


class Backend(Protocol):
    """Makes the calls of admitted records, and hands out their results in output order.

    Attributes:
        hedges_head: whether `head_holds_up` does anything.
    """

    hedges_head: bool

    # Input, called by the reader while the backend's context manager is open.

    def admit(self, records: Sequence[Record]) -> None:
        """Take over records that have entered the window; start none of their calls yet."""
        ...

    def start(self) -> None:
        """Start the admitted calls that may start.

        Called after records were admitted, and when the window is no longer overfull.
        """
        ...

    def wanted_records(self) -> int:
        """Return how many records idle capacity could use although the window is full.

        After returning 0, the backend calls `Hooks.wake_reader` once the answer may differ.
        """
        ...

    @property
    def is_settled(self) -> bool:
        """Whether every call of every admitted record has its outcome."""
        ...

    # Output, called by the writer from the opening until the last record is taken, and so also
    # after the context manager was left.

    def __len__(self) -> int:
        """Return how many entries of the output are not taken yet; 0 once all are."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `take_ready` would hand out anything."""
        ...

    def take_ready(self) -> Iterator[WriteBatch]:
        """Remove some of the ready results and hand them out in output order, as batches."""
        ...

    def waits(self) -> Sequence[Wait | None]:
        """Return for the live display what the calls of each API wait for now, or None."""
        ...

    def loads(self) -> Sequence[Load]:
        """Return for reports what each API has to do now, and how its endpoints are."""
        ...

    def tune(self, tuning: Tuning) -> None:
        """Change limits and rates, and pause and resume APIs."""
        ...

    async def refresh(self) -> None:
        """Bring the statistics up to date, as far as that is possible within half a second."""
        ...

    # The head of the line: the record that the output waits for.

    @property
    def head_index(self) -> int | None:
        """The index of the record at the head of the line; None if no call is open."""
        ...

    def head_holds_up(self) -> None:
        """Speed up the head of the line, if possible: the output has begun to wait for it."""
        ...

    def held_results(self) -> int:
        """Return how many results are complete and not taken; for the live display."""
        ...

    def describe_head(self) -> str:
        """Describe the open calls of the head of the line, for a notice; empty if none is open."""
        ...

    # The end.

    def cut_short(self, records: Sequence[Record], kind: ErrorKind, why: str) -> None:
        """Settle all open calls as cut short, and those of records that were never admitted.

        Called once, after the context manager was left; every record is ready then.

        Args:
            records: what was read and not admitted, already counted in the window.
            kind, why: of the error that each open call gets.
        """
        ...


OpenBackend = Callable[[Hooks], AbstractAsyncContextManager[Backend]]
"""Opens a backend without waiting: members that take time to start join it later.

The backend's tasks end with the context manager.  A backend decides for itself what of it survives
`Hooks.scope`: local attempts end with it, while workers get time to report.
"""


def split_by_bytes(
    items: Sequence[T], size_of: Callable[[T], int]
) -> Iterator[tuple[list[T], int]]:
    """Split items into parts small enough to be written at once, each with its size in bytes.

    A part exceeds `MAX_BYTES_AT_ONCE` only if it is a single item.
    """
    part: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if part and total + size > MAX_BYTES_AT_ONCE:
            yield part, total
            part, total = [], 0
        part.append(item)
        total += size
    yield part, total
