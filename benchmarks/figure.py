"""Draw a report as horizontal bars, in an SVG for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.report import Report, number

_WIDTH, _NAMES, _FIGURES = 720, 210, 70  # pixels: total, and the columns beside the bars
_ROW, _BAR, _TITLE, _FOOT = 30, 18, 44, 34
_BARS = _WIDTH - _NAMES - _FIGURES

_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img" aria-label="{title}">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #1f2328; dominant-baseline: middle }}
.title {{ font-weight: 600 }} .foot {{ font-size: 11px; fill: #59636e }}
.bar {{ fill: #8c959f }} .first {{ fill: #0969da }}
.spread {{ stroke: #1f2328; stroke-width: 1.5 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #f0f6fc }} .foot {{ fill: #9198a1 }}
.bar {{ fill: #656c76 }} .first {{ fill: #4493f8 }} .spread {{ stroke: #f0f6fc }}
}}
</style>
<text class="title" x="8" y="22">{title}</text>
{bars}
<text class="foot" x="8" y="{foot_at}">{foot}</text>
</svg>
"""


class Bar(NamedTuple):
    """A bar: its name, and the values of several rounds."""

    name: str
    values: Sequence[float]


def draw_report(report: Report, column: str) -> str:
    """Draw a column of spreads as bars, in the order of its rows."""
    bars = [Bar(row[""], row[column].values) for row in report.rows]
    foot = (
        f"Medians of {len(bars[0].values)} rounds, lines from minimum to maximum; {report.server}; "
    )
    return draw(f"{report.case}: {column}, one core for the client", bars, foot + report.notes[0])


def draw(title: str, bars: Sequence[Bar], foot: str) -> str:
    """Draw bars from 0, the first in a colour of its own; the thin lines are the spread."""
    scale = _BARS / max(max(bar.values) for bar in bars)
    height = _TITLE + _ROW * len(bars) + _FOOT
    drawn = [_bar(index, bar, scale) for index, bar in enumerate(bars)]
    return _SVG.format(
        width=_WIDTH,
        height=height,
        title=escape(title, {'"': "&quot;"}),
        bars="\n".join(drawn),
        foot=escape(foot),
        foot_at=height - _FOOT / 2,
    )


def _bar(index: int, bar: Bar, scale: float) -> str:
    middle = _TITLE + _ROW * index + _ROW / 2
    left, right = (_NAMES + pick(bar.values) * scale for pick in (min, max))
    return "\n".join(
        [
            f'<text x="{_NAMES - 8}" y="{middle}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="bar{"" if index else " first"}" x="{_NAMES}" y="{middle - _BAR / 2}" '
            f'width="{median(bar.values) * scale:.1f}" height="{_BAR}"/>',
            f'<line class="spread" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>',
            f'<text x="{right + 8:.1f}" y="{middle}">{number(median(bar.values))}</text>',
        ]
    )
