"""Write a report as text: the tables of the page, and sparklines in place of its charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import log

from tmux_fanout.core.display.layout import cells, table, wrap
from tmux_fanout.core.display.sparkline import sparkline
from tmux_fanout.core.review import tables
from tmux_fanout.core.review.figures import ApiFigures, ApiStretch, Figures, OutputFigures
from tmux_fanout.core.review.notes import findings
from tmux_fanout.core.review.tables import Table, duration, percentage
from tmux_fanout.core.text import printable

_SPARKS = 60  # characters of a sparkline
_LABEL = 20  # characters before one
_BEFORE_BAR = 35  # characters
_BAR = 40  # characters of the longest bar of a histogram
_SHORTEST = 1e-4  # seconds that have a height of their own
_MESSAGE = 140  # characters


def report_text(figures: Figures, width: int = 100) -> str:
    """Return a report.

    Args:
        figures: what it says.
        width: maximum number of cells of a line.
    """
    return "\n".join(_lines(figures, width)) + "\n"


def _lines(figures: Figures, width: int) -> Iterator[str]:
    yield from _shown(tables.overview(figures), width)
    for name, output in zip(tables.output_names(figures), figures.outputs):
        found = [line for each in findings(output) for line in wrap(each, width)]
        parts = [tables.records_failed(output), *tables.waits(output)]
        shown = [line for each in parts if each.rows for line in ["", *_shown(each, width)]]
        if found or shown:
            yield from _heading(name, "=", width) if len(figures.outputs) > 1 else ()
            yield from ["", *found] if found else []
            yield from shown
    for api in figures.apis:
        yield from _heading(tables.shown(api), "=", width)
        yield from _api(figures, api, width)


def _heading(text: str, rule: str, width: int) -> list[str]:
    return ["", text, rule * min(cells(text), width)]


def _shown(content: Table, width: int) -> list[str]:
    return [content.title, *table([content.header, *content.rows], width)]


def _api(figures: Figures, api: str, width: int) -> Iterator[str]:
    yield from _shown(tables.calls(figures, api), width)
    for name, output in zip(tables.output_names(figures), figures.outputs):
        found = output.apis.get(api)
        if found is None:
            continue
        of = f", {name}" if len(figures.outputs) > 1 else ""
        yield from ["", *wrap(f"Along the run, by {_unit(output)}{of}", width)]
        yield from _course(output, api, width)
        yield from ["", *wrap(f"How many calls took how long{of}", width)]
        yield from _histogram(found, width)
        yield from _notable(found, of, width)
    if (content := tables.phases(figures, api)).rows:
        yield from ["", *_shown(content, width)]


def _unit(output: OutputFigures) -> str:
    return "time" if output.by_time else "index"


def _course(output: OutputFigures, api: str, width: int) -> Iterator[str]:
    stretches = output.by_time or output.by_index
    cells_of = [each.apis.get(api) for each in stretches]
    size = max(1, min(_SPARKS, width - _LABEL - 30))
    for label, value, show, scale, floor in _SPARKLINES:
        values = _thinned([value(cell) if cell else None for cell in cells_of], size)
        known = [each for each in values if each is not None]
        if not known or not max(known):
            continue
        least, most = show(min(known)), show(max(known))
        extent = most if least == most else f"{least} to {most}"
        yield f"  {label:<{_LABEL - 2}}{sparkline(values, scale, floor)}  {extent}"


def _share(count: Callable[[ApiStretch], int]) -> Callable[[ApiStretch], float | None]:
    return lambda cell: count(cell) / cell.calls if cell.calls else None


def _height(seconds: float) -> float:
    return log(max(seconds, _SHORTEST))


def _percent(share: float) -> str:
    return percentage(share, 1)


_SPARKLINES: Sequence[
    tuple[
        str,
        Callable[[ApiStretch], float | None],
        Callable[[float], str],
        Callable[[float], float],
        float | None,
    ]
] = (
    ("p50", lambda cell: cell.p50, duration, _height, None),
    ("p99", lambda cell: cell.p99, duration, _height, None),
    ("not ok", _share(lambda cell: cell.not_ok), _percent, float, 0),
    ("ok after retries", _share(lambda cell: cell.recovered), _percent, float, 0),
)


def _thinned(values: Sequence[float | None], size: int) -> Sequence[float | None]:
    """Return at most so many values: the greatest of each group of neighbours."""
    group = -(-len(values) // size) or 1
    groups = (values[at : at + group] for at in range(0, len(values), group))
    return [max((each for each in part if each is not None), default=None) for part in groups]


def _histogram(found: ApiFigures, width: int) -> Iterator[str]:
    most = max((bar.calls for bar in found.histogram), default=0)
    longest = min(_BAR, width - _BEFORE_BAR)
    for bar in found.histogram:
        length = -(-longest * bar.calls // most)
        extent = f"{duration(bar.start):>7} to {duration(bar.end):<7}"
        yield f"  {extent} {bar.calls:>12,}  {'█' * length}".rstrip()


def _notable(found: ApiFigures, of: str, width: int) -> Iterator[str]:
    if found.failures:
        yield from ["", *wrap(f"Calls that failed{of}", width)]
        for way in found.failures:
            share = percentage(way.calls, found.calls)
            yield f"  {way.label} x {way.calls:,} ({share})"
            for sample in way.samples:
                text = f"line {sample.line}, record {sample.index}: {sample.message}"
                yield from (f"    {each}" for each in wrap(printable(text, _MESSAGE), width - 4))
    if found.slowest:
        yield from ["", *wrap(f"Slowest calls{of}", width)]
        for call in found.slowest:
            more = f" after {call.attempts} requests" if call.attempts > 1 else ""
            took = duration(call.seconds)
            yield f"  {took:>7}  line {call.line}, record {call.index}: {call.result}{more}"
