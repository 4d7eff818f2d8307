"""The tables of a report: what they say, whatever they are shown as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tmux_fanout.core.display.summary_json import Phase
from tmux_fanout.core.review.figures import ApiFigures, Figures, Latency, OutputFigures
from tmux_fanout.core.text import printable
from tmux_fanout.core.units import show_duration, show_time_left

NOTHING = "–"
_PERCENTILES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9"}
_ESCAPED = 10  # characters that one may be shown as, at most
_NAME = 80  # characters of a name that is shown
_LONG = 120.0  # seconds from which on minutes and hours count
_COURSE_ROWS = 200
_HELD_BY = {
    "limit": "its limit",
    "rate": "its rate",
    "throttled": "its refusals (429)",
    "paused": "its pauses (Retry-After)",
    "breaker": "its outages (breaker)",
    "window": "the window, full",
}
_WAITED_FOR = {
    "input": "input",
    "head_of_line": "slow records, to keep the order",
    "reader": "the consumer of the output",
}
_PHASES: Mapping[Phase, str] = {
    "queueing": "queueing",
    "connecting": "connecting",
    "waiting": "waiting",
    "reading": "reading",
    "backing_off": "backing off",
}


class Table(NamedTuple):
    """A table.

    Attributes:
        title: what it is about.
        header: the names of its columns.
        rows: each a name and its cells, as many as the header has.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def shown(name: str) -> str:
    """Return the name of an API as it is shown."""
    return printable(name, _NAME)


def shown_path(path: str) -> str:
    """Return the path of an output as it is shown: its end, if it is long."""
    text = printable(path, _ESCAPED * len(path))
    return text if len(text) <= _NAME else f"…{text[1 - _NAME :]}"


def output_names(figures: Figures) -> Sequence[str]:
    """Return the names of the outputs; where they are several, each begins with its letter."""
    names = [shown_path(each.output) for each in figures.outputs]
    if len(names) == 1:
        return names
    return [f"{letter(at)}: {name}" for at, name in enumerate(names)]


def letter(at: int) -> str:
    """Return what the output at an index is called in charts: A, B and so on."""
    return chr(ord("A") + at) if at < 26 else str(at + 1)


def overview(figures: Figures) -> Table:
    """Return what became of the records, a row for each output."""
    header = ["output", "records", "ok", "not ok", "share", "calls", "requests", "retried"]
    rows = []
    for name, each in zip(output_names(figures), figures.outputs):
        apis = each.apis.values()
        counts = (
            sum(getattr(api, key) for api in apis) for key in ("calls", "attempts", "retried")
        )
        share = percentage(each.not_ok, each.records)
        rows.append(
            [name, *map(number, (each.records, each.ok, each.not_ok)), share, *map(number, counts)]
        )
    if any(each.started is not None for each in figures.outputs):
        header.append("began records for")
        for row, each in zip(rows, figures.outputs):
            span = (each.last_started or 0) - (each.started or 0)
            row.append(NOTHING if each.started is None else show_duration(round(span, 3)))
    return Table("What became of the records", header, rows)


def records_failed(output: OutputFigures) -> Table:
    """Return why records are not ok."""
    rows = [
        [
            shown(each.api) if each.api is not None else "the record itself",
            each.label,
            number(each.records),
            percentage(each.records, output.records),
        ]
        for each in output.failures
    ]
    return Table("Why records are not ok", ["failed at", "how", "records", "share"], rows)


def calls(figures: Figures, api: str) -> Table:
    """Return how an API answered, a row for each output that has it."""
    header = ["output", "calls", "requests", "retried", "not ok", *_PERCENTILES.values(), "max"]
    rows = [
        [
            name,
            *map(number, (found.calls, found.attempts, found.retried, found.not_ok)),
            *_latency(found.latency),
        ]
        for name, found in _having(figures, api)
    ]
    for key, what in (("shared", "share an answer"), ("cached", "from a cache")):
        counts = [getattr(found, key) for _, found in _having(figures, api)]
        if any(counts):
            header.append(what)
            for row, count in zip(rows, counts):
                row.append(number(count))
    return Table("Calls and how long they took", header, rows)


def phases(figures: Figures, api: str) -> Table:
    """Return where the time of last attempts went, from `--timings`."""
    rows = [
        [
            f"{name}: {what}" if len(figures.outputs) > 1 else what,
            number(times.count),
            *_latency(times),
        ]
        for name, found in _having(figures, api)
        if found.phases
        for what, times in (
            ("to connect", found.phases.connect),
            ("to the first byte", found.phases.first_byte),
            ("in all", found.phases.total),
        )
        if times
    ]
    header = ["last attempt", "attempts", *_PERCENTILES.values(), "max"]
    return Table("Where the time of last attempts went", header, rows)


def attempts(figures: Figures, api: str) -> Table:
    """Return how many calls took one request, two, and so on."""
    rows = [
        [
            f"{name}: {count}" if len(figures.outputs) > 1 else number(count),
            number(found.attempts_of_calls[count]),
            percentage(found.attempts_of_calls[count], found.calls),
        ]
        for name, found in _having(figures, api)
        for count in found.attempts_of_calls
    ]
    return Table("Requests of a call", ["requests", "calls", "share"], rows)


def via(found: ApiFigures) -> Table:
    """Return how many calls went to each fallback."""
    rows = [[shown(name), number(count)] for name, count in found.via.items()]
    return Table("Calls that went to a fallback", ["fallback", "calls"], rows)


def course(output: OutputFigures, api: str) -> Table:
    """Return what the charts of an API along the run show."""
    header = ["records", "calls", "not ok", "ok after retries", "p50", "p90", "p99", "max"]
    rows = []
    for each in output.by_index[:_COURSE_ROWS]:
        found = each.apis.get(api)
        if found is None:
            continue
        times = (found.p50, found.p90, found.p99, found.max)
        rows.append(
            [
                f"{each.start:,.0f} to {each.end - 1:,.0f}",
                *map(number, (found.calls, found.not_ok, found.recovered)),
                *(NOTHING if seconds is None else duration(seconds) for seconds in times),
            ]
        )
    return Table("Along the run", header, rows)


def histogram(figures: Figures, api: str) -> Table:
    """Return the bars of the histogram, a column for each output."""
    columns = [
        {(bar.start, bar.end): bar.calls for bar in found.histogram}
        for _, found in _having(figures, api)
    ]
    names = [name for name, _ in _having(figures, api)]
    bars = sorted({bar for column in columns for bar in column})
    rows = [
        [
            f"{duration(start)} to {duration(end)}",
            *(number(column.get((start, end), 0)) for column in columns),
        ]
        for start, end in bars
    ]
    header = ["took", *(names if len(names) > 1 else ["calls"])]
    return Table("How many calls took how long", header, rows)


def waits(output: OutputFigures) -> Iterator[Table]:
    """Yield what held a run back, by its summary."""
    run = output.summary
    if run is None:
        return
    rows = [
        [_WAITED_FOR.get(cause, cause), *_share_of(seconds, run.seconds)]
        for cause, seconds in run.waited_for.items()
    ]
    yield Table("What the run waited for", ["waited for", "time", "share"], rows)
    rows = [
        [f"{shown(name)}: {_HELD_BY.get(cause, cause)}", *_share_of(seconds, run.seconds)]
        for name, api in run.apis.items()
        for cause, seconds in api.held_by.items()
        if seconds
    ]
    yield Table("What held back the next call of an API", ["held back by", "time", "share"], rows)
    rows = [
        [shown(name), *(duration(api.spent.get(phase, 0)) for phase in _PHASES)]
        for name, api in run.apis.items()
    ]
    header = ["API", *_PHASES.values()]
    yield Table("Where the time of all calls went, added up", header, rows)


def _having(figures: Figures, api: str) -> Iterator[tuple[str, ApiFigures]]:
    for name, output in zip(output_names(figures), figures.outputs):
        if api in output.apis:
            yield name, output.apis[api]


def _latency(latency: Latency | None) -> list[str]:
    keys = [*_PERCENTILES, "max"]
    if latency is None:
        return [NOTHING] * len(keys)
    return [duration(getattr(latency, key)) for key in keys]


def _share_of(seconds: float, total: float) -> tuple[str, str]:
    return duration(seconds), f"{min(1.0, seconds / total):.0%}" if total else NOTHING


def number(count: float) -> str:
    """Return a count as it is shown."""
    return f"{count:,.0f}"


def percentage(part: float, whole: float) -> str:
    """Return a share as it is shown, with as many digits as are needed to see that it is not 0."""
    if not part or not whole:
        return "0%" if whole else NOTHING
    share = 100 * part / whole
    digits = 0 if share >= 10 else 1 if share >= 0.1 else 3
    return f"{share:.{digits}f}".removesuffix(".0") + "%"


def duration(seconds: float) -> str:
    """Return a duration as it is shown: with three digits and the unit, or in two units."""
    if seconds >= _LONG:
        return show_time_left(seconds)
    return "0" if not seconds else show_duration(float(f"{seconds:.3g}"))
