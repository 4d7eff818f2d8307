"""One page on how a run stands, for whoever asks while it lasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tmux_fanout.core.display.failure_text import failures_in_short
from tmux_fanout.core.display.layout import flow, table
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.report.load import EndpointLoad, Load
from tmux_fanout.core.report.progress import HeadOfLine, Total
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.report.waits import Wait, describe_wait
from tmux_fanout.core.text import counted
from tmux_fanout.core.units import show_duration, show_pace, show_size, show_time_left

_HEADER = ("API", "in flight", "limit", "queued", "calls", "attempts", "per s", "p50", "p99")


class Status(NamedTuple):
    """A run at one moment.

    Attributes:
        statistics: of the run.
        elapsed: seconds since it began.
        since: the counts of an earlier moment, which rates are taken from.
        total: records of the input; None if unknown.
        window: of the run.
        head: the record at the head of the line, or None.
        waits: what the calls of each API wait for, or None.
        loads: what each API has to do.
        memory: bytes that this process occupies.
        ending: why it would end now.
        stops_in: seconds until its calls are cancelled; None: they are not.
    """

    statistics: RunStatistics
    elapsed: float
    since: Since
    total: Total | None
    window: Window
    head: HeadOfLine | None
    waits: Sequence[Wait | None]
    loads: Sequence[Load]
    memory: int
    ending: Ending
    stops_in: float | None


class Since(NamedTuple):
    """What was counted up to an earlier moment, `at` seconds after the beginning of the run."""

    at: float
    written: int
    attempts: Sequence[int]


def since_now(stats: RunStatistics, elapsed: float) -> Since:
    """Return what rates are taken from at the next page."""
    return Since(elapsed, stats.written, [api.attempts for api in stats.apis])


def status_page(run: Status, width: int) -> str:
    """Return the page.

    Args:
        run: how it stands.
        width: maximum number of cells of a line.
    """
    lines = []
    for parts in (progress_parts(run), room_parts(run), ending_parts(run)):
        lines += flow(parts, width)
    lines += table([_HEADER, *_rows(run)], width)
    for part in wait_parts(run):
        lines += flow(part, width)
    return "\n".join(lines)


def progress_parts(run: Status) -> Iterator[str]:
    """Yield how far the run is."""
    stats = run.statistics
    written = counted(stats.written, "record")
    yield f"tmux-fanout: after {show_time_left(run.elapsed)}: {written} written"
    if run.total and run.total.records:
        total = max(run.total.records, stats.read)
        yield f"{stats.written / total:.0%} of {'' if run.total.is_exact else 'about '}{total:,}"
    yield f"{per_second(stats.written - run.since.written, run)} records/s"
    yield f"{stats.read:,} read"
    yield f"{stats.ok:,} ok"
    failed = failures_in_short(stats, with_samples=False) if stats.failures else ""
    yield f"{stats.not_ok:,} not ok{f': {failed}' if failed else ''}"


def per_second(number: int, run: Status) -> str:
    """Return a number since the earlier moment as a rate."""
    seconds = run.elapsed - run.since.at
    return show_pace(number / seconds).removesuffix("/s") if seconds > 0 else "-"


def room_parts(run: Status) -> Iterator[str]:
    """Yield what the window and the memory hold."""
    window, stats = run.window, run.statistics
    yield f"window: {window.records:,} of {window.max_records:,} records"
    yield f"{show_size(window.bytes)} of {show_size(window.max_bytes)}"
    yield f"memory: {show_size(run.memory)}"
    if stats.workers_memory:
        yield f"and {show_size(stats.workers_memory)} of {stats.processes} workers"


def ending_parts(run: Status) -> Iterator[str]:
    """Yield why the run ends, and when."""
    if run.ending is not Ending.FINISHED:
        yield f"ending: {run.ending.value}"
    if run.stops_in is not None:
        yield f"calls are cancelled in {show_time_left(run.stops_in)}"


def _rows(run: Status) -> Iterator[list[str]]:
    for api, load, before in zip(run.statistics.apis, run.loads, run.since.attempts):
        yield _row(api, load, per_second(api.attempts - before, run))


def _row(api: ApiStatistics, load: Load, rate: str) -> list[str]:
    latency = api.latency
    times = (latency.percentile(share) for share in (0.5, 0.99))
    counts = (api.in_flight, api.limit, load.queued, api.calls, api.attempts)
    shown = (show_duration(float(f"{time:.3g}")) if latency.count else "-" for time in times)
    return [api.name, *(f"{count:,}" for count in counts), rate, *shown]


def wait_parts(run: Status) -> Iterator[list[str]]:
    """Yield what the run waits for, each in parts."""
    stats = run.statistics
    for api, wait, load in zip(stats.apis, run.waits, run.loads):
        if wait:
            first, *more = describe_wait(wait)
            yield [f"{api.name}: {first}", *more]
        elif load.queued and api.in_flight >= api.limit:
            yield [f"{api.name}: all slots are taken"]
        yield from _endpoints(api.name, load, is_told=wait is not None)
    if run.head:
        behind = f"{run.head.held:,}" if run.head.held else "no"
        results = "result" if run.head.held == 1 else "results"
        calls = run.head.calls or "its calls have ended"
        yield [f"next in the output: record {run.head.record:,}, before {behind} {results}", calls]
    if stats.output_held.cause == "reader":
        yield ["waiting for the reader of the output"]
    elif stats.read == stats.written and run.ending is Ending.FINISHED:
        yield ["waiting for input"]


def _endpoints(api: str, load: Load, *, is_told: bool) -> Iterator[list[str]]:
    """Yield a line for each of several endpoints, and for a single one that is not well."""
    for endpoint in load.endpoints:
        if endpoint.name:
            in_flight = f"{endpoint.in_flight:,} in flight"
            yield [f"{api}: {endpoint.name}: {in_flight}", *_condition(endpoint)]
        elif endpoint.condition != "ready" and not is_told:
            first, *more = _condition(endpoint)
            yield [f"{api}: {first}", *more]


def _condition(endpoint: EndpointLoad) -> list[str]:
    why = f" ({endpoint.why})" if endpoint.why else ""
    left = "being tried" if endpoint.seconds is None else show_time_left(endpoint.seconds)
    match endpoint.condition:
        case "down":
            return [f"down{why}", left if endpoint.seconds is None else f"next try in {left}"]
        case "paused":
            return [f"paused by {endpoint.why or 'the server'}", f"{left} left"]
        case "throttled":
            pace = f"paced at {show_pace(endpoint.pace)}" if endpoint.pace else ""
            return [f"refuses{why}", *([pace] if pace else [])]
    return ["well"]
