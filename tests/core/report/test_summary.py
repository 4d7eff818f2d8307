"""The summary: a line for logs, a table for people, JSON for programs."""

import json
from collections import Counter

import pytest

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.report.layout import cells
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.report.summary import summary_json, summary_line, summary_table
from tmux_fanout.core.results.outcome import Outcome


def run_of_two_apis() -> RunStatistics:
    statistics = RunStatistics(["lookup", "Überblick"])
    statistics.read = statistics.written = 2000
    statistics.ok = 1987
    statistics.errors = Counter({"timeout": 1, "connect": 12})
    statistics.seconds = 1.2345678
    lookup, other = statistics.apis
    for _ in range(1999):
        lookup.settled(Outcome(True, 200, attempts=1, seconds=0.0625))
    lookup.settled(
        Outcome(False, error=ErrorInfo("timeout", "late"), attempts=3, seconds=2.00000049)
    )
    lookup.attempts, lookup.bytes_sent, lookup.bytes_received = 2002, 17, 1536
    lookup.limit, lookup.hedges = 64, 3
    lookup.held.note("rate", 1.0)
    lookup.held.note(None, 1.8765)
    lookup.spent.queueing = 17.0
    lookup.spent.attempt(2.0, 0.0, 3.5, 3.75, sent=True)
    other.attempts = 4001
    statistics.processor_seconds, statistics.input_seconds = 0.25, 0.125
    statistics.output_held.note("reader", 2.0)
    statistics.output_held.note(None, 2.5)
    return statistics


@pytest.mark.parametrize(
    ("written", "ending", "line"),
    [
        (
            2000,
            Ending.FINISHED,
            "2,000 records: 1,987 ok, 13 not ok (connect 12, timeout 1);"
            " 6,003 requests in 1.235s, 4,862/s",
        ),
        (
            2000,
            Ending.SIGINT,
            "2,000 records: 1,987 ok, 13 not ok (connect 12, timeout 1);"
            " 6,003 requests in 1.235s, 4,862/s; ended by: SIGINT",
        ),
        (
            500,
            Ending.OUTPUT_CLOSED,
            "2,000 records: 1,987 ok, 13 not ok (connect 12, timeout 1), 1,500 not written;"
            " 6,003 requests in 1.235s, 4,862/s; ended by: output closed",
        ),
    ],
    ids=["finished", "signal", "not-written"],
)
def test_summary_line_says_it_all_on_one_line(written: int, ending: Ending, line: str) -> None:
    """The most frequent kinds come first, and missing lines are reported."""
    statistics = run_of_two_apis()
    statistics.written = written
    assert summary_line(statistics, ending) == line


def test_summary_line_says_what_was_there() -> None:
    """The summary of a resumed run covers both runs."""
    statistics = run_of_two_apis()
    statistics.resumed = 1500
    line = summary_line(statistics, Ending.FINISHED)
    assert line.startswith("2,000 records (1,500 from an earlier run): 1,987 ok, 13 not ok (")


def test_summary_line_of_an_empty_run_divides_by_nothing() -> None:
    """No records and no time are zeros."""
    line = summary_line(RunStatistics(["a"]), Ending.FINISHED)
    assert line == "0 records: 0 ok, 0 not ok; 0 requests in 0s, 0/s"


def test_summary_table_has_a_row_for_each_api() -> None:
    """Names stand left, numbers right, durations and sizes with their units."""
    assert summary_table(run_of_two_apis(), Ending.FINISHED).split("\n") == [
        "2,000 records: 1,987 ok, 13 not ok (connect 12, timeout 1);"
        " 6,003 requests in 1.235s, 4,862/s",
        "API        calls  attempts  not ok     p50     p90     p99  max  sent  received",
        "lookup     2,000     2,002       1  63.9ms  63.9ms  63.9ms   2s  17 B   1.5 KiB",
        "Überblick      0     4,001       0      0s      0s      0s   0s   0 B       0 B",
        "lookup's rate limit took 71% of the time",
    ]


def test_summary_json_is_one_object_on_one_line() -> None:
    """All counts, with durations in seconds and sizes in bytes."""
    text = summary_json(run_of_two_apis(), Ending.DEADLINE)
    assert "\n" not in text
    summary = json.loads(text)
    apis = summary.pop("apis")
    assert summary == {
        "ending": "deadline",
        "records": 2000,
        "written": 2000,
        "there": 0,
        "mended": 0,
        "ok": 1987,
        "not_ok": 13,
        "errors": {"timeout": 1, "connect": 12},
        "seconds": 1.235,
        "requests": 6003,
        "requests_per_second": 4862.4,
        "processor_seconds": 0.25,
        "waited_for": {"input": 0.125, "head_of_line": 0.0, "reader": 0.5},
    }
    assert list(apis) == ["lookup", "Überblick"]
    assert {key: apis["lookup"].pop(key) for key in ("p50", "p90", "p99")} == {
        "p50": pytest.approx(0.0625, rel=0.025),
        "p90": pytest.approx(0.0625, rel=0.025),
        "p99": pytest.approx(0.0625, rel=0.025),
    }
    assert apis["lookup"] == {
        "calls": 2000,
        "attempts": 2002,
        "not_ok": 1,
        "errors": {"timeout": 1},
        "max": 2.0,
        "bytes_sent": 17,
        "bytes_received": 1536,
        "limit": 64,
        "hedges": 3,
        "held_by": {
            "limit": 0.0,
            "rate": 0.877,
            "throttled": 0.0,
            "paused": 0.0,
            "breaker": 0.0,
            "window": 0.0,
        },
        "spent": {
            "queueing": 17.0,
            "connecting": 0.0,
            "waiting": 1.5,
            "reading": 0.25,
            "backing_off": 0.0,
        },
    }


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize(
    "name", ["s", "the-service-of-another-team-in-another-building", "日本" * 20]
)
def test_table_fits_the_terminal(name: str, width: int) -> None:
    """Names that are too long stand above their numbers, and no number is cut off."""
    statistics = run_of_two_apis()
    statistics.apis[0].name = name
    statistics.apis[0].calls = statistics.apis[0].attempts = 123_456_789
    _, *table, _ = summary_table(statistics, Ending.FINISHED, width).split("\n")
    assert all(cells(line) <= width for line in table)
    text = "".join(line.strip() for line in table)
    assert name in text
    assert text.count("123,456,789") == 2
