"""The lines on what becomes of an endpoint."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest

from tmux_fanout.core.endpoints.news import News

START = datetime(2026, 11, 27, 14, 3, 0)
NOTHING: dict[str, float | None] = {}
PACED = {"pace": 95.7}
REFUSED: dict[str, float | None] = {**PACED, "serves": False}
PAUSED = {"paused_until": 20.0}
DOWN = {"down_since": 5.0, "lost_at": 305.0}
ELSEWHERE = {"down_since": 5.0}


def told(
    *steps: tuple[float, dict[str, float | None]], endpoint: str = "", failure: str = "HTTP 429"
) -> list[str]:
    """Return the lines, without the name of the API."""
    news, lines = News(endpoint, "score"), []
    for now, state in steps:
        found: dict[str, float | None] = {
            "pace": math.inf,
            "paused_until": 0.0,
            "down_since": None,
            "lost_at": math.inf,
            "serves": True,
            **state,
        }
        line = news.update(now, START + timedelta(seconds=now), failure=failure, **found)  # type: ignore[arg-type]
        if line:
            lines.append(line)
    prefix = f"score: {endpoint} " if endpoint else "score "
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


IS_PACED = "refuses (HTTP 429): pacing at 96/s"
IS_PAUSED = "is paused until 14:03:20, as it asked (HTTP 429)"
IS_DOWN = "is not available (HTTP 429); calls wait up to 5m for it"


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        pytest.param([(1.0, NOTHING), (9.0, NOTHING)], [], id="nothing"),
        pytest.param([(1.0, PACED), (2.9, PACED), (2.95, NOTHING)], [], id="paced-briefly"),
        pytest.param([(1.0, PACED), (2.9, PACED), (3.0, PACED)], [IS_PACED], id="paced"),
        pytest.param(
            [(1.0, PACED), (3.0, PACED), (4.0, {"pace": 10.0})], [IS_PACED], id="paced-once"
        ),
        pytest.param(
            [(1.0, {"pace": 0.123}), (3.0, {"pace": 0.123})],
            ["refuses (HTTP 429): pacing at 0.12/s"],
            id="paced-slowly",
        ),
        pytest.param(
            [(1.0, PACED), (2.0, NOTHING), (2.5, PACED), (4.0, PACED)], [], id="paced-anew"
        ),
        pytest.param(
            [(1.0, PACED), (3.0, PACED), (10.0, NOTHING), (11.0, NOTHING)],
            [IS_PACED, "serves again, after 9s"],
            id="paced-no-more",
        ),
        pytest.param(
            [(1.0, PACED), (3.0, PACED), (3.1, NOTHING)],
            [IS_PACED, "serves again, after 2.1s"],
            id="paced-no-more-as-soon-as-that-is-told",
        ),
        pytest.param([(18.5, PAUSED), (21.0, NOTHING)], [], id="paused-briefly"),
        pytest.param(
            [(8.0, PAUSED), (19.5, PAUSED), (20.0, NOTHING)],
            [IS_PAUSED, "serves again, after 12s"],
            id="served-before-the-end-of-a-pause",
        ),
        pytest.param(
            [(8.0, PAUSED), (9.0, PAUSED), (20.0, NOTHING)],
            [IS_PAUSED, "serves again, after 12s"],
            id="paused",
        ),
        pytest.param(
            [(8.0, PAUSED), (20.0, PACED), (30.0, PACED), (31.0, NOTHING)],
            [IS_PAUSED, "serves again, after 12s"],
            id="paused-and-starting-carefully",
        ),
        pytest.param(
            [(8.0, PAUSED), (20.0, PACED), (21.0, REFUSED), (30.0, PACED), (40.0, NOTHING)],
            [IS_PAUSED, "serves again, after 12s", IS_PACED, "serves again, after 19s"],
            id="paused-and-then-paced",
        ),
        pytest.param(
            [(8.0, PAUSED), (20.0, REFUSED), (20.5, PACED)],
            [IS_PAUSED, "serves again, after 12.5s"],
            id="paused-and-refuses",
        ),
        pytest.param([(5.5, DOWN), (5.9, NOTHING)], [], id="down-briefly"),
        pytest.param(
            [(6.0, {"down_since": 5.0, "lost_at": 65.01})],
            ["is not available (HTTP 429); calls wait up to 1m for it"],
            id="down-about-a-minute",
        ),
        pytest.param(
            [(6.0, DOWN), (7.0, DOWN), (17.0, NOTHING)],
            [IS_DOWN, "serves again, after 12s"],
            id="down",
        ),
        pytest.param(
            [(6.0, ELSEWHERE)],
            ["is not available (HTTP 429); calls go elsewhere"],
            id="down-while-others-serve",
        ),
        pytest.param(
            [(8.0, PAUSED), (9.0, DOWN), (10.0, PACED), (12.0, PACED), (20.0, NOTHING)],
            [IS_PAUSED, IS_DOWN, "serves again, after 2s"],
            id="one-after-the-other",
        ),
        pytest.param([(9.0, {**PAUSED, **DOWN})], [IS_DOWN], id="the-worst-counts"),
    ],
)
def test_news_has_one_line_for_each_change(
    steps: list[tuple[float, dict[str, float | None]]], lines: list[str]
) -> None:
    """What is over within a second is not worth a line, nor is each step of a pace."""
    assert told(*steps) == lines
    assert told(*steps, endpoint="eu.test") == lines


def test_pause_without_a_failure_has_no_reason() -> None:
    """An endpoint may ask for a pause while it serves: its quota is used up."""
    paused: dict[str, float | None] = {**PAUSED}
    assert told((8.0, paused), failure="") == ["is paused until 14:03:20, as it asked"]
