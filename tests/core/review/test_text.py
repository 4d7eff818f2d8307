"""The report as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.envelopes import eventful, line, outcome

from tmux_fanout.core.display.layout import cells
from tmux_fanout.core.display.sparkline import sparkline
from tmux_fanout.core.review.collector import Collector
from tmux_fanout.core.review.figures import Figures
from tmux_fanout.core.review.text import report_text


def figures(*outputs: list[bytes]) -> Figures:
    collectors = []
    for at, lines in enumerate(outputs):
        collectors.append(Collector(f"run{at}.jsonl"))
        for each in lines:
            collectors[-1].add(each)
    return Figures(outputs=[each.figures() for each in collectors])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([None, None], "  "),
        ([1], "▁"),
        ([1, 1], "▁▁"),
        ([0, 7], "▁█"),
        ([0, None, 3.5, 7], "▁ ▅█"),
    ],
)
def test_sparkline_has_a_character_for_each_value(values: list[float | None], shown: str) -> None:
    """The least is at the bottom, the greatest at the top."""
    assert sparkline(values) == shown


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=80))
def test_sparkline_of_anything(values: list[float | None]) -> None:
    """It is as long as its values are many."""
    assert len(sparkline(values, floor=0)) == len(values)


def test_text_shows_what_happened_and_when() -> None:
    """Counts, failures with their lines, and where along the run they were."""
    text = report_text(figures(list(eventful(2000))))
    rows = text.splitlines()
    assert "run0.jsonl" in text
    assert any(row.startswith("down") and " connect " in row and " 100 " in row for row in rows)
    assert "  connect x 100 (5%)" in rows
    assert "    line 1401, record 1400: connection refused" in rows
    sparks = next(row for row in rows[rows.index("down") :] if row.startswith("  not ok"))
    bars = sparks[20 : sparks.rindex("  ")]
    assert {at * 100 // len(bars) for at, bar in enumerate(bars) if bar == "█"} <= set(
        range(68, 77)
    )
    assert sparks.endswith("0% to 100%")


@pytest.mark.parametrize("width", [60, 100])
def test_lines_fit(width: int) -> None:
    """No line is wider than the terminal, however long names and messages are."""
    name = "an-API-with-a-rather-long-name-that-fills-half-a-line"
    failed = outcome(0.5, 3, "status", 503, message="a long message " * 20)
    text = report_text(figures([line(0, {name: failed})], [line(0, {"b": outcome()})]), width)
    assert max(map(cells, text.splitlines())) <= width


def test_empty_and_invalid_outputs_have_a_report() -> None:
    """There is nothing to divide by, and nothing to draw."""
    assert "The output is empty." in report_text(figures([]))
    invalid = b'{"index":0,"ok":false,"error":{"kind":"invalid_record","message":"no"}}'
    assert "1 line of the input is no record." in report_text(figures([invalid]))
    skipped = line(0, {"a": {"ok": True, "skipped": True, "attempts": 0}})
    assert "–" in report_text(figures([skipped]))
