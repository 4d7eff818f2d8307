"""The full-screen view of a run, in the manner of `top`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tmux_fanout.core.display.layout import cells, flow, table
from tmux_fanout.core.display.sparkline import BLOCKS, sparkline
from tmux_fanout.core.display.status import (
    Status,
    ending_parts,
    per_second,
    progress_parts,
    room_parts,
    wait_parts,
)
from tmux_fanout.core.errors import Failure
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.text import printable
from tmux_fanout.core.units import show_duration, show_pace

_HEADER = ("in flight", "limit", "queued", "calls", "not ok", "per s", "p50", "p90", "p99")
_SHARES = (0.5, 0.9, 0.99)
_MARKS = ("  ", "> ")  # before the names of the APIs that keys act on
_MAX_FAILURES = 4  # ways of failing of an API


class View(NamedTuple):
    """What to show.

    Attributes:
        run: how the run stands.
        rates: of each API, the attempts per second in each of the last seconds.
        chosen: index of the API that keys act on; None: they act on all.
        has_keys: whether keys do anything.
        notices: the last notices to the user.
        characters: of sparklines, from low to high.
    """

    run: Status
    rates: Sequence[Sequence[float]]
    chosen: int | None = None
    has_keys: bool = True
    notices: Sequence[str] = ()
    characters: str = BLOCKS


def full_view(view: View, width: int, height: int) -> list[str]:
    """Return the lines of the screen, `height` of them at most; the keys are in the last ones.

    Args:
        view: what to show.
        width: maximum number of cells of a line.
        height: maximum number of lines.
    """
    body = list(_body(view, width))
    foot = list(_foot(view, width))[-height:]
    room = height - len(foot)
    if len(body) > room:
        hidden = len(body) - max(room - 1, 0)
        body = [*body[: max(room - 1, 0)], f"and {hidden} more lines"][:room]
    return [*body, *[""] * (room - len(body)), *foot]


def _body(view: View, width: int) -> Iterator[str]:
    run = view.run
    for parts in (progress_parts(run), room_parts(run), ending_parts(run)):
        yield from flow(parts, width)
    yield ""
    mark = _MARKS[0] if view.has_keys else ""
    yield from table([(f"{mark}API", *_HEADER), *_rows(view)], width)
    yield ""
    for api, rates in zip(run.statistics.apis, view.rates):
        yield from _rate(api.name, rates, view.characters, width)
    for api in run.statistics.apis:
        yield from flow(_failures(api), width)
    for wait in wait_parts(run):
        yield from flow(wait, width)


def _rows(view: View) -> Iterator[list[str]]:
    run = view.run
    each = zip(run.statistics.apis, run.loads, run.since.attempts)
    for index, (api, load, before) in enumerate(each):
        mark = _MARKS[view.chosen in (None, index)] if view.has_keys else ""
        yield [f"{mark}{api.name}", *_row(api, load, per_second(api.attempts - before, run))]


def _row(api: ApiStatistics, load: Load, rate: str) -> Iterator[str]:
    for count in (api.in_flight, api.limit, load.queued, api.calls, api.errors.total()):
        yield f"{count:,}"
    yield rate
    for share in _SHARES:
        time = api.latency.percentile(share)
        yield show_duration(float(f"{time:.3g}")) if api.latency.count else "-"


def _rate(name: str, rates: Sequence[float], characters: str, width: int) -> Iterator[str]:
    """Yield the rate along the last seconds, as many of them as fit beside the name."""
    if not rates:
        return
    start = f"{name}: "
    end = f" up to {show_pace(max(rates))}" if max(rates) else " no requests"
    room = width - cells(start) - cells(end)
    if room > 0:
        yield f"{start}{sparkline(rates[-room:], floor=0.0, characters=characters)}{end}"
    else:
        yield from flow([f"{name}:{end}"], width)


def _failures(api: ApiStatistics) -> Iterator[str]:
    """Yield why calls of an API are not ok, the most frequent first."""
    found = sorted(api.failures, key=lambda each: -each.count)
    for number, each in enumerate(found[:_MAX_FAILURES]):
        name = "" if number else f"{api.name}: "
        yield printable(f"{name}{Failure(api.name, each.kind, each.status).label} x {each.count:,}")
    if others := sum(each.count for each in found[_MAX_FAILURES:]):
        yield f"others x {others:,}"


def _foot(view: View, width: int) -> Iterator[str]:
    for notice in view.notices:
        shown = printable(notice, max(width - 1, 1))
        yield shown if cells(shown) <= width else printable(notice, max(width // 2 - 1, 1))
    if view.has_keys:
        several = ["Tab: choose an API"] if len(view.run.statistics.apis) > 1 else []
        keys = ["p: pause or resume", "+ and -: change the limit", *several, "q: stop reading"]
        yield from flow(keys, width)
