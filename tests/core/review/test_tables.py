"""How names and numbers are shown in reports."""

from __future__ import annotations

import pytest

from tmux_fanout.core.review.tables import duration, percentage, shown_path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("out.jsonl", "out.jsonl"),
        ("a" * 80, "a" * 80),
        ("b" + "a" * 80, "…" + "a" * 79),
        ("d/" * 90 + "\x1b\u202e.jsonl", "…" + ("d/" * 90 + "\\x1b\\x202e.jsonl")[-79:]),
    ],
)
def test_paths_are_shown_by_their_end(path: str, shown: str) -> None:
    """The beginning of a long path says less, and control characters are escaped."""
    assert shown_path(path) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "–"),
        (0, 5, "0%"),
        (5, 5, "100%"),
        (1, 3, "33%"),
        (7, 100, "7%"),
        (7.04, 100, "7%"),
        (2.5, 100, "2.5%"),
        (1, 1000, "0.1%"),
        (1, 100_000, "0.001%"),
    ],
)
def test_shares_are_shown_such_that_they_are_seen(part: float, whole: float, shown: str) -> None:
    """A few of many are not 0 %."""
    assert percentage(part, whole) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0"),
        (0.0001, "0.1ms"),
        (0.0123, "12.3ms"),
        (1.2345, "1.23s"),
        (119, "119s"),
        (120, "2 min 0 s"),
        (21_300, "5 h 55 min"),
        (34_900, "9 h 41 min"),
    ],
)
def test_durations_have_three_digits(seconds: float, shown: str) -> None:
    """That is as much as can be compared."""
    assert duration(seconds) == shown
