"""The live display: what it says, and how it fits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.display.layout import cells
from tmux_fanout.core.display.live import Situation, frame
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.report.progress import HeadOfLine, Total
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.report.waits import Wait, describe_wait, longest, time_left
from tmux_fanout.core.results.outcome import Outcome

PAUSE = Wait("paused", "Retry-After", 42.3)


def situation(*names: str, **more: object) -> Situation:
    """Return the situation of a run in the middle."""
    statistics = RunStatistics(names)
    statistics.read, statistics.written, statistics.ok = 1234, 1000, 910
    statistics.errors = Counter({"status": 90})
    for api in statistics.apis:
        api.settled(Outcome(True, 200, attempts=1, seconds=0.25))
        api.calls, api.in_flight = 1000, 12
        for _ in range(90):
            api.failures.add(ErrorInfo("status", "HTTP 503"), 503, 0)
    usual: dict[str, object] = {
        "now": 20.0,
        "elapsed": 20.0,
        "paused": 0.0,
        "rate": 50.4,
        "total": Total(10_000, is_exact=False),
        "head": None,
        "head_since": 0.0,
        "waits": [None] * len(names),
        "ending": Ending.FINISHED,
        "stops_in": None,
    }
    return Situation(statistics, **{**usual, **more})  # type: ignore[arg-type]  # as given


def test_frame_is_a_table_where_there_is_room() -> None:
    """How far the run is, what it waits for, and each API."""
    run = situation("score", "lookup", waits=[PAUSE, None])
    assert frame(run, 79, 20) == [
        "1,000 records written, 10% of about 10,000, 3 min 43 s left, 90 not ok, 50/s,",
        "1,234 records read",
        "score: paused by Retry-After, 43 s left",
        "API     in flight  calls    p50    p99  not ok",
        "score          12  1,000  250ms  250ms      90",
        "lookup         12  1,000  250ms  250ms      90",
    ]


def test_frame_has_the_important_things_first_where_it_is_narrow() -> None:
    """Lines are broken between the things that they say, and nothing is cut off."""
    run = situation("score", "a-name-that-is-longer-than-the-whole-line-is", waits=[PAUSE, None])
    assert frame(run, 39, 20) == [
        "1,000 records written,",
        "10% of about 10,000, 3 min 43 s left,",
        "90 not ok, 50/s, 1,234 records read",
        "score: paused by Retry-After,",
        "43 s left",
        "score: 1,000 calls, 90 not ok,",
        "12 in flight, p50 250ms, p99 250ms",
        "a-name-that-is-longer-than-the-whole-l",
        "ine-is: 1,000 calls, 90 not ok,",
        "12 in flight, p50 250ms, p99 250ms",
    ]


def test_frame_counts_the_apis_that_do_not_fit() -> None:
    """A low terminal shows the first ones, or none."""
    run = situation(*(f"api{number}" for number in range(9)), total=None)
    assert frame(run, 79, 6) == [
        "1,000 records written, 90 not ok, 50/s, 1,234 records read",
        "API   in flight  calls    p50    p99  not ok",
        "api0         12  1,000  250ms  250ms      90",
        "api1         12  1,000  250ms  250ms      90",
        "api2         12  1,000  250ms  250ms      90",
        "and 6 more APIs",
    ]
    assert frame(run, 79, 1) == ["1,000 records written, 90 not ok, 50/s, 1,234 records read"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        pytest.param(
            {"ending": Ending.SIGINT, "stops_in": 24.0},
            "SIGINT: 234 records still open, 12 requests in flight, 24 s until they are cancelled",
            id="draining",
        ),
        pytest.param(
            {"ending": Ending.SIGINT, "stops_in": 0.0},
            "SIGINT: 234 records still open, 12 requests in flight",
            id="cancelled",
        ),
        pytest.param(
            {"total": None, "stops_in": 90.5},
            "1,000 records written, deadline in 91 s, 90 not ok, 50/s, 1,234 records read",
            id="deadline",
        ),
        pytest.param(
            {"stops_in": 9.0},
            "1,000 records written, 10% of about 10,000, deadline in 9 s, 90 not ok, 50/s, "
            "1,234 records read",
            id="deadline-before-the-end",
        ),
        pytest.param(
            {"stops_in": 900.0},
            "1,000 records written, 10% of about 10,000, 3 min 0 s left, 90 not ok, 50/s, "
            "1,234 records read",
            id="deadline-after-the-end",
        ),
    ],
)
def test_frame_tells_when_the_run_stops(more: dict[str, object], line: str) -> None:
    """After a signal: what is still open; before a deadline: when it is, if that comes first."""
    assert line in frame(situation("score", **more), 199, 20)


def test_frame_tells_of_both_ends() -> None:
    """A run waits for its input, or for the consumer of its output."""
    run = situation("score", total=None)
    run.statistics.output_held.note("reader", 18.0)
    assert "waiting for the reader of the output" in frame(run, 79, 20)
    run.statistics.output_held.note("reader", 19.5)
    assert "waiting for the reader of the output" not in frame(run, 79, 20)
    run.statistics.read = run.statistics.written
    assert "waiting for input" in frame(run, 79, 20)


def test_frame_tells_which_record_holds_up_the_output() -> None:
    """After a second, so that nobody wonders why no lines are written."""
    head = HeadOfLine(1000, "score: attempt 1 is under way", 180)
    text = "record 1,000 holds up 180 results, score: attempt 1 is under way"
    assert text in frame(situation("score", head=head, head_since=18.9), 79, 20)
    assert text not in frame(situation("score", head=head, head_since=19.1), 79, 20)


def test_time_left_goes_by_what_is_complete() -> None:
    """It does not grow while a slow record keeps results from being written."""
    head = HeadOfLine(1000, "", 1000)
    total = Total(4000, is_exact=True)
    written = "1,000 records written, 25% of 4,000, "
    assert frame(situation("score", total=total), 199, 9)[0].startswith(f"{written}60 s left")
    lines = frame(situation("score", total=total, head=head), 199, 9)
    assert lines[0].startswith(f"{written}20 s left")


def test_frame_of_a_run_without_records() -> None:
    """There is no percentage, and no time left."""
    run = situation("score", total=Total(0, is_exact=True), rate=0.0)
    run.statistics.read = run.statistics.written = 0
    run.statistics.errors.clear()
    assert frame(run, 79, 20)[:2] == ["0 records written, 0/s, 0 records read", "waiting for input"]


@given(
    st.lists(st.text(st.sampled_from("ab 日😀é"), min_size=1, max_size=50), min_size=1, max_size=9),
    st.integers(3, 200),
    st.integers(1, 40),
    st.sampled_from(Ending),
)
def test_frame_fits_any_terminal(names: list[str], width: int, height: int, ending: Ending) -> None:
    """No line is wider than the terminal, and there are no more of them than it has."""
    waits = [Wait("breaker", "HTTP 503", None)] * len(names)
    lines = frame(situation(*names, waits=waits, ending=ending, stops_in=3.0), width, height)
    assert all(cells(line) <= width for line in lines)
    assert 1 <= len(lines) <= height


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (PAUSE, "paused by Retry-After, 43 s left"),
        (Wait("paused", "", 5.0), "paused by the server, 5 s left"),
        (Wait("breaker", "HTTP 503", 4.0), "not available (HTTP 503), next try in 4 s"),
        (Wait("breaker", "HTTP 503", None), "not available (HTTP 503), being tried"),
        (Wait("throttled", "HTTP 429", pace=95.6), "refuses (HTTP 429), paced at 96/s"),
        (Wait("throttled", "HTTP 429", pace=0.123), "refuses (HTTP 429), paced at 0.12/s"),
        (Wait("throttled"), "refuses"),
        (Wait("rate", seconds=0.4), "held to its rate"),
        (Wait("rate", seconds=290.0), "held to its rate, next call in 4 min 50 s"),
        (Wait("rate"), "held to its rate"),
        (Wait("cost"), "the calls under way may use up the budget"),
        (Wait("window"), "its responses fill the window"),
        (Wait("limit"), "all slots are taken"),
        (
            Wait("retry", "HTTP 429", 43.0, calls=1),
            "1 call waits to be retried (HTTP 429), next in 43 s",
        ),
        (
            Wait("retry", "", 4000.0, calls=1234),
            "1,234 calls wait to be retried, next in 1 h 6 min",
        ),
    ],
)
def test_wait_is_described(wait: Wait, text: str) -> None:
    """Its cause, and when it ends if that is known."""
    assert ", ".join(describe_wait(wait)) == text


def test_longest_wait_of_several_processes_counts() -> None:
    """One that ends at a known time wins over one that only slows calls down."""
    rate, short = Wait("rate", seconds=99.0), Wait("paused", "Retry-After", 3.0)
    assert longest([None, short, PAUSE, rate]) == PAUSE
    assert longest([rate, None]) == rate
    assert longest([None, None]) is None


@pytest.mark.parametrize(
    ("done", "elapsed", "paused", "waits", "left"),
    [
        pytest.param(0.0, 10.0, 0.0, [], None, id="nothing-done"),
        pytest.param(0.25, 10.0, 0.0, [None], 30.0, id="as-it-went"),
        pytest.param(1.0, 10.0, 0.0, [None], 0.0, id="done"),
        pytest.param(0.25, 110.0, 100.0, [None], 30.0, id="without-the-pauses-so-far"),
        pytest.param(
            0.25, 30.0, 20.0, [Wait("paused", "", 43.0)], 73.0, id="with-the-pause-to-come"
        ),
        pytest.param(
            0.25,
            10.0,
            0.0,
            [Wait("paused", "", 5.0), Wait("breaker", "", 9.0), Wait("retry", "", 7.0)],
            39.0,
            id="with-the-longest-one",
        ),
        pytest.param(0.25, 10.0, 0.0, [Wait("rate", "", 99.0)], 30.0, id="a-rate-is-no-pause"),
        pytest.param(0.5, 10.0, 20.0, [None], 0.0, id="never-negative"),
    ],
)
def test_time_left_counts_known_pauses(
    done: float, elapsed: float, paused: float, waits: list[Wait | None], left: float | None
) -> None:
    """The rest takes as long as what is done, and the pause under way comes on top."""
    assert time_left(done, elapsed, paused=paused, waits=waits) == left
