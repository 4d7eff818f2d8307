"""Draw how throttled APIs are paced, in SVGs for light and dark pages.

    PYTHONPATH=tests python -m benchmarks.pacing [DIRECTORY]

plays scenarios of the exam in virtual time, and writes one figure for each.
"""

from __future__ import annotations

import io
import sys
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from support.exam.catalogue import all_scenarios
from support.exam.play import Report, examine

_DIRECTORY = Path(__file__).parents[1] / "docs" / "explanation"
_STEP = 0.1  # seconds between points


class Plot(NamedTuple):
    """A figure: its file, the scenario, and what the server does."""

    file: str
    scenario: str
    title: str
    capacity: float  # requests per second that the server takes


PLOTS = [
    Plot("pacing-bucket.svg", "bucket-plain", "429 beyond 100 a second, 100 at once", 100),
    Plot("pacing-shed.svg", "shed-503", "503 beyond 20 in flight, answers in 0.1 s", 200),
    Plot("pacing-outage.svg", "down-503-30", "503 for 30 s, answers in 0.2 s, 64 slots", 320),
]

# Colours by role; the figure is drawn with the light ones, and a style sheet swaps them.
_LIGHT = {"text": "#1f2328", "faint": "#8c959e", "served": "#0969da", "refused": "#cf222e"}
_DARK = {"text": "#f0f6fc", "faint": "#7d8590", "served": "#4493f8", "refused": "#f85149"}


def draw(plot: Plot, report: Report) -> str:
    """Return a figure of what a server answered over time."""
    server = report.servers[0]
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    axes = figure.add_subplot()
    times = [step * _STEP for step in range(1 + round(report.seconds / _STEP))]
    axes.axhline(plot.capacity, color=_LIGHT["faint"], linewidth=1, linestyle="--")
    axes.plot(times, _rates(server.served, times), color=_LIGHT["served"], label="ok")
    axes.plot(times, _rates(server.refused, times), color=_LIGHT["refused"], label="refused")
    axes.set_title(plot.title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("seconds")
    axes.set_ylabel("answers in the last second")
    axes.set_xlim(0, report.seconds)
    axes.set_ylim(0)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    return _for_both_pages(figure)


def _rates(events: Sequence[float], times: Sequence[float]) -> list[int]:
    """Return the number of events in the second before each time; events are in order."""
    return [bisect_right(events, time) - bisect_right(events, time - 1) for time in times]


def _for_both_pages(figure: Figure) -> str:
    """Return a figure as an SVG whose colours follow the page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    for role, colour in _LIGHT.items():
        svg = svg.replace(colour, f"var(--{role})")
    light, dark = ("".join(f"--{k}:{v};" for k, v in each.items()) for each in (_LIGHT, _DARK))
    style = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return svg.replace("<defs>", f"<style>{style}</style>\n <defs>", 1)


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else _DIRECTORY
    mpl.rc("svg", fonttype="none", hashsalt="pacing")
    mpl.rc("font", size=9)
    mpl.rc("text", color=_LIGHT["text"])
    mpl.rc("axes", labelcolor=_LIGHT["text"], edgecolor=_LIGHT["text"])
    for axis in ("xtick", "ytick"):
        mpl.rc(axis, color=_LIGHT["text"])
    scenarios = all_scenarios()
    for plot in PLOTS:
        figure = draw(plot, examine(scenarios[plot.scenario]))
        (directory / plot.file).write_text(figure)


if __name__ == "__main__":
    main()
