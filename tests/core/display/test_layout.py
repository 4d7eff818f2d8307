"""Text and tables fit a terminal, with nothing cut off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.display.layout import cells, flow, table, wrap

WORDS = st.text(st.sampled_from("ab 1é日\u0301😀"), max_size=30)


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("score", 5), ("é", 1), ("e\u0301", 1), ("日本", 4), ("😀", 2), ("ｱ", 1)],
)
def test_cells_are_those_of_a_terminal(text: str, width: int) -> None:
    """Wide characters take two cells, and combining ones none."""
    assert cells(text) == width


@pytest.mark.parametrize(
    ("parts", "width", "lines"),
    [
        ([], 10, []),
        (["one", "two"], 20, ["one, two"]),
        (["one", "two"], 8, ["one,", "two"]),
        (["one", "two"], 9, ["one, two"]),
        (["one and two", "three"], 9, ["one and", "two,", "three"]),
        (["abcdefghij", "k"], 6, ["abcde", "fghij,", "k"]),
        (["日本日本"], 6, ["日本", "日本"]),
    ],
)
def test_flow_breaks_between_parts(parts: list[str], width: int, lines: list[str]) -> None:
    """A part is broken only where it is longer than a line, and at blanks if it has any."""
    assert flow(parts, width) == lines


@given(st.lists(WORDS, max_size=5), st.integers(3, 40))
def test_flow_and_wrap_keep_all_and_fit(parts: list[str], width: int) -> None:
    """No line is too wide, and nothing but blanks is lost."""
    for lines, given_text in (
        (flow(parts, width), ",".join(part for part in parts if part)),
        (wrap(" ".join(parts), width), "".join(parts)),
    ):
        assert all(cells(line) <= width for line in lines)
        kept = "".join(lines).replace(" ", "").replace(",", "")
        assert kept == given_text.replace(" ", "").replace(",", "")


def test_table_aligns_its_columns() -> None:
    """Names go to the left and numbers to the right, counted in cells."""
    rows = [["API", "calls", "p50"], ["日本", "1", "12ms"], ["b", "12,345", "-"]]
    assert table(rows, 80) == [
        "API    calls   p50",
        "日本       1  12ms",
        "b     12,345     -",
    ]


def test_table_moves_its_columns_together() -> None:
    """One blank between columns is enough where two would not fit."""
    rows = [["API", "calls", "p50"], ["lookup", "1", "12ms"]]
    assert table(rows, 19) == ["API     calls   p50", "lookup      1  12ms"]
    assert table(rows, 18) == ["API    calls  p50", "lookup     1 12ms"]


def test_table_puts_long_names_above_their_numbers() -> None:
    """The numbers stay aligned, and what does not fit one line goes to the next."""
    rows = [["API", "calls", "p50"], ["a-name-that-is-long", "1", "12ms"]]
    assert table(rows, 20) == ["API", "  calls   p50", "a-name-that-is-long", "      1  12ms"]
    narrow = ["API", " calls", "  p50", "a-name-tha", "t-is-long", "     1", " 12ms"]
    assert table(rows, 10) == narrow


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=4))
def test_table_fits_where_its_numbers_do(rows: list[tuple[str, ...]]) -> None:
    """No line is wider than the terminal unless a single number is."""
    for width in (10, 20, 40, 80):
        widest = max(cells(cell) for row in rows for cell in row[1:])
        assert all(cells(line) <= max(width, widest + 2) for line in table(rows, width))
