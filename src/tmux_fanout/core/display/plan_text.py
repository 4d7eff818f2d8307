"""Show a plan for people."""

from __future__ import annotations

from collections.abc import Iterator

from tmux_fanout.core.display.layout import flow, table, wrap
from tmux_fanout.core.planning.figures import PlanFigures
from tmux_fanout.core.text import counted
from tmux_fanout.core.units import show_duration, show_size, show_time_left

_LABEL = 10  # cells
_SHORT = 100.0  # seconds up to which a fraction of one counts


def plan_text(figures: PlanFigures, width: int = 80) -> str:
    """Return a plan as lines of text.

    Args:
        figures: of the plan.
        width: maximum number of cells of a line.
    """
    lines = []
    for label, text in _facts(figures):
        first, *others = wrap(text, width - _LABEL)
        lines.append(f"{label:{_LABEL}}{first}")
        lines += (" " * _LABEL + line for line in others)
    lines += ["", *_apis(figures, width), "", *_limits(figures, width)]
    for note in figures.notes:
        lines += ["", *wrap(note, width)]
    return "\n".join(lines)


def _facts(figures: PlanFigures) -> Iterator[tuple[str, str]]:
    low, high = _time(figures.low), _time(figures.high)
    spread = f" ({low} to {high} in {counted(figures.runs, 'run')})" if low != high else ""
    yield "time", f"{_time(figures.seconds)}{spread}"
    yield "records", f"{figures.ok:,} ok, {figures.not_ok:,} not ok"
    if figures.failures:
        [first, *others] = flow((f"{n:,} x {what}" for what, n in figures.failures.items()), 10_000)
        yield "", " ".join([first, *others])
    refused = f", {figures.refused:,} of them refused with 429" if figures.refused else ""
    yield "requests", f"{figures.requests:,}{refused}"
    window = f"{counted(figures.window.records, 'record')}, {show_size(figures.window.bytes)}"
    yield "window", f"up to {window}; about {show_size(figures.memory)} of memory"
    if figures.tokens is not None:
        yield "tokens", f"{figures.tokens:,.0f}"
    if figures.cost is not None:
        yield "cost", f"{figures.cost:,.2f}" if figures.cost >= 1 else f"{figures.cost:.6g}"
    yield "held up", figures.bottleneck or "by nothing for long"


def _apis(figures: PlanFigures, width: int) -> list[str]:
    header = ["API", "limit", "requests", "429s", "p50", "p99"]
    rows = [
        [
            name,
            f"{api.limit:,}",
            f"{api.requests:,}",
            f"{api.refused:,}",
            show_duration(api.p50),
            show_duration(api.p99),
        ]
        for name, api in figures.apis.items()
    ]
    sources = [f"{name}: latencies from {api.source}" for name, api in figures.apis.items()]
    return [
        *table([header, *rows], width),
        *(line for each in sources for line in wrap(each, width)),
    ]


def _limits(figures: PlanFigures, width: int) -> list[str]:
    rows = [
        [f"x {row.limit:g}", _time(row.seconds), f"{row.requests:,}", f"{row.refused:,}"]
        for row in figures.table
    ]
    lines = table([["limits", "time", "requests", "429s"], *rows], width)
    for row in figures.table:
        lines += wrap(f"x {row.limit:g}: {row.bottleneck or 'nothing holds it up for long'}", width)
    return lines


def _time(seconds: float) -> str:
    return show_duration(float(f"{seconds:.3g}")) if seconds < _SHORT else show_time_left(seconds)
