"""What the live display shows, as lines that fit the terminal.

The important things come first: how far the run is, what it waits for, and then each API.  Where
the terminal is narrow, lines are broken and nothing is cut off; where it is low, the last APIs are
only counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tmux_fanout.core.display.layout import flow, table
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.report.progress import HeadOfLine, Total
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.report.waits import Wait, describe_wait, time_left
from tmux_fanout.core.text import counted
from tmux_fanout.core.units import show_duration, show_time_left

_WIDE = 70  # cells from which on APIs are shown as a table
_PATIENCE = 1.0  # seconds from which on it is worth a word that the output is waited for


class Situation(NamedTuple):
    """A run at one moment.

    Attributes:
        statistics: of the run.
        now: the time, by the clock of the statistics.
        elapsed: seconds since it began.
        paused: seconds of these in which an API stood still.
        rate: records completed per second of late.
        total: records of the input; None if unknown.
        head: the record that results wait for, or None.
        head_since: when they began to.
        waits: what the calls of each API wait for, or None.
        ending: why it would end now.
        stops_in: seconds until its calls are cancelled; None: they are not.
    """

    statistics: RunStatistics
    now: float
    elapsed: float
    paused: float
    rate: float
    total: Total | None
    head: HeadOfLine | None
    head_since: float
    waits: Sequence[Wait | None]
    ending: Ending
    stops_in: float | None

    @property
    def completed(self) -> int:
        """The number of records that have their results, written or not."""
        return self.statistics.written + (self.head.held if self.head else 0)


def frame(run: Situation, width: int, height: int) -> list[str]:
    """Return the lines to show.

    Args:
        run: what to show.
        width: maximum number of cells of a line.
        height: maximum number of lines.
    """
    lines = flow(_headline(run), width)
    for part in _waits(run):
        lines += flow(part, width)
    blocks = list(_blocks(run.statistics.apis, width))
    hidden = 0
    while blocks and len(lines) + sum(map(len, blocks)) + bool(hidden) > height:
        blocks.pop()
        hidden += 1
    lines += [line for block in blocks for line in block]
    if hidden and blocks:
        lines.append(f"and {hidden:,} more {'API' if hidden == 1 else 'APIs'}")
    return lines[:height]


def _headline(run: Situation) -> Iterator[str]:
    stats = run.statistics
    yield f"{counted(stats.written, 'record')} written"
    if run.total and run.total.records:
        total = max(run.total.records, stats.read)
        about = "" if run.total.is_exact else "about "
        yield f"{stats.written / total:.0%} of {about}{total:,}"
        yield from _time_left(run, total)
    else:
        yield from _deadline(run)
    if stats.not_ok:
        yield f"{stats.not_ok:,} not ok"
    yield f"{run.rate:,.0f}/s"
    yield f"{counted(stats.read, 'record')} read"


def _time_left(run: Situation, total: int) -> Iterator[str]:
    stats = run.statistics
    own = total - stats.resumed
    done = (run.completed - stats.resumed) / own if own > 0 else 0.0
    left = time_left(done, run.elapsed, paused=run.paused, waits=run.waits)
    if left is not None and (run.stops_in is None or left <= run.stops_in):
        yield f"{show_time_left(left)} left"
    else:
        yield from _deadline(run)


def _deadline(run: Situation) -> Iterator[str]:
    if run.stops_in is not None and run.ending is Ending.FINISHED:
        yield f"deadline in {show_time_left(run.stops_in)}"


def _waits(run: Situation) -> Iterator[list[str]]:
    """Yield what the run waits for, each in parts."""
    stats = run.statistics
    if run.ending is not Ending.FINISHED:
        yield list(_ending(run))
    for api, wait in zip(stats.apis, run.waits):
        if wait and wait.cause != "limit":
            first, *more = describe_wait(wait)
            yield [f"{api.name}: {first}", *more]
    if run.head and run.now - run.head_since >= _PATIENCE:
        behind = counted(run.head.held, "result")
        yield [f"record {run.head.record:,} holds up {behind}", run.head.calls]
    held = stats.output_held
    if held.cause == "reader" and run.now - held.since >= _PATIENCE:
        yield ["waiting for the reader of the output"]
    elif stats.read == stats.written and run.ending is Ending.FINISHED:
        yield ["waiting for input"]


def _ending(run: Situation) -> Iterator[str]:
    """Yield what is still to be done by a run that ends early."""
    stats = run.statistics
    in_flight = sum(api.in_flight for api in stats.apis)
    yield f"{run.ending.value}: {counted(stats.read - stats.written, 'record')} still open"
    yield f"{counted(in_flight, 'request')} in flight"
    if run.stops_in:
        yield f"{show_time_left(run.stops_in)} until they are cancelled"


def _blocks(apis: Sequence[ApiStatistics], width: int) -> Iterator[list[str]]:
    """Yield the lines of each API; those of the first have the header, too, if there is one."""
    rows = [["API", "in flight", "calls", "p50", "p99", "not ok"], *map(_row, apis)]
    lines = table(rows, width)
    if width >= _WIDE and len(lines) == len(rows):  # names and numbers fit side by side
        yield lines[:2]
        yield from ([line] for line in lines[2:])
        return
    for name, *numbers in rows[1:]:
        in_flight, calls, p50, p99, not_ok = numbers
        parts = [f"{calls} calls", f"{not_ok} not ok", f"{in_flight} in flight"]
        parts += [f"p50 {p50}", f"p99 {p99}"]
        yield flow([f"{name}: {parts[0]}", *parts[1:]], width)


def _row(api: ApiStatistics) -> list[str]:
    latency = api.latency
    times = (latency.percentile(share) for share in (0.5, 0.99))
    p50, p99 = (show_duration(time) if latency.count else "-" for time in times)
    return [
        api.name,
        f"{api.in_flight:,}",
        f"{api.calls:,}",
        p50,
        p99,
        f"{api.errors.total():,}",
    ]
