"""The full-screen view."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.display.full import View, full_view
from tmux_fanout.core.display.layout import cells
from tmux_fanout.core.display.sparkline import ASCII
from tmux_fanout.core.display.status import Since, Status
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.progress import HeadOfLine, Total
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.report.waits import Wait


def view(**changes: Any) -> View:
    """Return a run with two APIs, 100 s after its beginning."""
    stats = RunStatistics(["lookup", "score"])
    stats.read, stats.written, stats.ok = 120, 100, 100
    lookup, score = stats.apis
    lookup.attempts, lookup.in_flight, lookup.limit, lookup.calls = 150, 4, 4, 90
    lookup.latency.add(0.1)
    score.attempts, score.limit = 40, 8
    for status in (503, 503, 429):
        score.failures.add(ErrorInfo("status", f"HTTP {status}"), status, 7, None)
    run = Status(
        stats,
        elapsed=100.0,
        since=Since(98.0, 80, [130, 40]),
        total=Total(1000, is_exact=True),
        window=Window(64, 1 << 20),
        head=HeadOfLine(100, "score: attempt 1 is under way", 3),
        waits=[None, Wait("paused", "the user")],
        loads=[Load(7), Load()],
        memory=45 << 20,
        ending=Ending.FINISHED,
        stops_in=None,
    )
    return View(run, [[0.0, 5.0, 10.0], [0.0, 0.0, 0.0]])._replace(**changes)


def test_view_of_a_run() -> None:
    """The keys are at the bottom."""
    assert full_view(view(), 100, 18) == [
        "tmux-fanout: after 1 min 40 s: 100 records written, 10% of 1,000, 10 records/s, 120 read, "
        "100 ok,",
        "0 not ok",
        "window: 0 of 64 records, 0 B of 1 MiB, memory: 45 MiB",
        "",
        "  API     in flight  limit  queued  calls  not ok  per s     p50     p90     p99",
        "> lookup          4      4       7     90       0     10  98.5ms  98.5ms  98.5ms",
        "> score           0      8       0      0       3      0       -       -       -",
        "",
        "lookup: ▁▅█ up to 10/s",
        "score: ▁▁▁ no requests",
        "score: HTTP 503 x 2, HTTP 429 x 1",
        "lookup: all slots are taken",
        "score: paused by the user",
        "next in the output: record 100, before 3 results, score: attempt 1 is under way",
        "",
        "",
        "",
        "p: pause or resume, + and -: change the limit, Tab: choose an API, q: stop reading",
    ]


def test_chosen_api_is_marked() -> None:
    """Without keys there is nothing to mark."""
    lines = full_view(view(chosen=1), 100, 18)
    assert [line[:8] for line in lines[4:7]] == ["  API   ", "  lookup", "> score "]
    lines = full_view(view(has_keys=False), 100, 18)
    assert [line[:6] for line in lines[4:7]] == ["API   ", "lookup", "score "]
    assert "q: stop" not in " ".join(lines)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 24, 60])
def test_view_fits(width: int, height: int) -> None:
    """What does not fit is counted, and the keys stay."""
    notices = ["tmux-fanout: " + "x" * 300, "中" * 150]
    lines = full_view(view(notices=notices), width, height)
    assert len(lines) == height
    assert all(cells(line) <= width for line in lines), lines
    assert "q: stop" in lines[-1] or width < 40
    if height < 10:
        assert height <= 5 or "more lines" in " ".join(lines)


def test_sparkline_shows_the_last_seconds_that_fit() -> None:
    """In characters that the terminal has."""
    rates = [[float(each) for each in range(200)], [1.0]]
    lines = full_view(view(rates=rates, characters=ASCII), 40, 40)
    (lookup,) = (line for line in lines if line.startswith("lookup: ") and "up to" in line)
    assert len(lookup) == 40
    assert lookup.endswith("@ up to 199/s")
    assert set(lookup[8:27]) <= set(ASCII)


def test_failures_are_the_most_frequent() -> None:
    """The others are counted, and nothing can steer the terminal."""
    shown = view()
    score = shown.run.statistics.apis[1]
    for status in range(500, 510):
        score.failures.add(ErrorInfo("status", "\x1b[2J"), status, 7, None)
    text = " ".join(full_view(shown, 200, 40))
    assert "score: HTTP 503 x 3, " in text
    assert "others x 7" in text
    assert "\x1b" not in text
