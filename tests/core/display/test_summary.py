"""The summary: a line for logs, a table for people, JSON for programs."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tmux_fanout.core.display.failure_text import last_failures
from tmux_fanout.core.display.layout import cells
from tmux_fanout.core.display.summary import summary_line, summary_table
from tmux_fanout.core.display.summary_json import Summary, summary_json
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorInfo, Failure
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.spending.prices import Amount, parse_price

SCHEMA = Path(__file__).parents[3] / "docs" / "reference" / "summary.schema.json"


def run_of_two_apis() -> RunStatistics:
    statistics = RunStatistics(["lookup", "Überblick"])
    statistics.read = statistics.written = 2000
    statistics.ok = 1987
    statistics.errors = Counter({"timeout": 1, "connect": 12})
    statistics.failures = Counter(
        {Failure("lookup", "timeout"): 1, Failure("Überblick", "connect"): 12}
    )
    statistics.seconds = 1.2345678
    lookup, other = statistics.apis
    for _ in range(1999):
        lookup.settled(Outcome(True, 200, attempts=1, seconds=0.0625))
    late = Outcome(False, error=ErrorInfo("timeout", "late"), attempts=3, seconds=2.00000049)
    lookup.settled(late)
    lookup.failed(late, 1999)
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
            "2,000 records: 1,987 ok, 13 not ok: Überblick connect x 12, lookup timeout x 1"
            " (record 1999: late); 6,003 requests in 1.235s, 4,862/s"
            "; lookup's rate limit took 71% of the time",
        ),
        (
            2000,
            Ending.SIGINT,
            "2,000 records: 1,987 ok, 13 not ok: Überblick connect x 12, lookup timeout x 1"
            " (record 1999: late); 6,003 requests in 1.235s, 4,862/s; ended by: SIGINT"
            "; lookup's rate limit took 71% of the time",
        ),
        (
            500,
            Ending.OUTPUT_CLOSED,
            "2,000 records: 1,987 ok, 13 not ok: Überblick connect x 12, lookup timeout x 1"
            " (record 1999: late); 1,500 not written; 6,003 requests in 1.235s, 4,862/s"
            "; ended by: output closed; lookup's rate limit took 71% of the time",
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
    assert line.startswith("2,000 records (1,500 from an earlier run): 1,987 ok, 13 not ok: ")


def test_summary_line_of_an_empty_run_divides_by_nothing() -> None:
    """No records and no time are zeros."""
    line = summary_line(RunStatistics(["a"]), Ending.FINISHED)
    assert line == "0 records: 0 ok, 0 not ok; 0 requests in 0s, 0/s"


def test_summary_table_has_a_row_for_each_api() -> None:
    """Names stand left, numbers right, durations and sizes with their units."""
    assert summary_table(run_of_two_apis(), Ending.FINISHED).split("\n") == [
        "2,000 records: 1,987 ok, 13 not ok: Überblick connect x 12, lookup timeout x 1;"
        " 6,003 requests in 1.235s, 4,862/s",
        "API        calls  attempts  not ok     p50     p90     p99  max  sent  received",
        "lookup     2,000     2,002       1  63.9ms  63.9ms  63.9ms   2s  17 B   1.5 KiB",
        "Überblick      0     4,001       0       -       -       -    -   0 B       0 B",
        "lookup: timeout x 1, such as record 1999: late",
        "lookup's rate limit took 71% of the time",
    ]


def test_summary_table_keeps_to_a_line_for_each_api_in_80_columns() -> None:
    """Where it would be slightly too wide, its numbers are shortened first."""
    statistics = RunStatistics(["summarize", "lookup"])
    for api in statistics.apis:
        for seconds in (0.06391, 1.0551):
            api.settled(Outcome(True, 200, attempts=1, seconds=seconds))
        api.calls, api.attempts = 1_000_000, 1_000_123
        api.bytes_sent = api.bytes_received = 123_456_789
    assert summary_table(statistics, Ending.FINISHED, 80).split("\n")[1:4] == [
        "API           calls  attempts not ok  p50  p90  p99  max   sent received",
        "summarize 1,000,000 1,000,123      0 64ms 1.1s 1.1s 1.1s 118MiB   118MiB",
        "lookup    1,000,000 1,000,123      0 64ms 1.1s 1.1s 1.1s 118MiB   118MiB",
    ]


BAD_KEY = b'{"error": {\n  "message": "bad key"}}'


def status(code: int, body: bytes, message: str = "") -> Outcome:
    error = ErrorInfo("status", message or f"HTTP {code}")
    return Outcome(False, code, embed(body), error, 1, 0.1)


def run_with(*outcomes: Outcome | None) -> RunStatistics:
    """Return the statistics of a run with one API; None is a record that is invalid."""
    statistics = RunStatistics(["score"])
    for index, outcome in enumerate(outcomes):
        error = None if outcome else ErrorInfo("invalid_record", f"line {index + 1}: not JSON")
        if outcome:
            statistics.apis[0].failed(outcome, index)
        statistics.read += 1
        record = Record(index, b"x", b"1", error)
        statistics.wrote([Result(record, ["score"], [outcome] if outcome else [])])
    return statistics


def test_summary_line_tells_failures_by_what_they_are() -> None:
    """Each status counts by itself, and has a sample: the last record, and what came back."""
    statistics = run_with(
        Outcome(True, 200, embed(b"1"), None, 1, 0.1),
        *[status(401, b"early")] * 2,
        status(401, BAD_KEY),
        status(503, b"", "HTTP 503 after 3 attempts"),
        None,
    )
    assert summary_line(statistics, Ending.FINISHED).partition(";")[0] == (
        '6 records: 1 ok, 5 not ok: HTTP 401 x 3 (record 3: {"error": { "message": "bad key"}}),'
        " HTTP 503 x 1 (record 4: after 3 attempts),"
        " invalid_record x 1 (record 5: line 6: not JSON)"
    )


def test_summary_line_shows_three_ways_of_failing_at_most() -> None:
    """The rest is counted, and no sample is long, or could steer a terminal."""
    codes = [400, 400, 400, 401, 401, 402, 402, 403, 404]
    line = summary_line(
        run_with(*(status(code, b"\x1b[2J" + b"x" * 500) for code in codes)), Ending.FINISHED
    )
    assert "HTTP 402 x 2 (" in line
    assert ", others x 2; " in line
    assert "\x1b" not in line
    assert len(line) < 500


def test_summary_table_has_a_row_for_each_way_of_failing() -> None:
    """They fit 80 columns, and there are ten of them at most."""
    statistics = run_with(None, *(status(code, b"x" * 100) for code in range(400, 420)), None)
    rows = summary_table(statistics, Ending.FINISHED).split("\n")[3:-1]
    assert rows[0] == "invalid_record x 2, such as record 21: line 22: not JSON"
    assert rows[1].startswith('score: HTTP 400 x 1, such as record 1: "xxxx')
    assert len(rows) == 11
    assert rows[-1] == "others x 11: --summary json has them all"
    assert max(map(len, rows)) == 80


def test_last_failures_leaves_out_what_was_cut_short() -> None:
    """What made a run give up comes last record first; what it cut short did not make it do so."""
    cancelled = Outcome(False, None, None, ErrorInfo("cancelled", "given up"))
    statistics = run_with(status(503, b"1"), status(429, b"2"), cancelled)
    assert last_failures(statistics) == "HTTP 429, record 1: 2; HTTP 503, record 0: 1"


def test_summary_samples_are_those_of_the_fallback_that_failed() -> None:
    """A record that was left to a fallback counts under that one's name."""
    statistics = RunStatistics(["score", "backup"])
    failed = status(500, b"down")
    statistics.apis[1].failed(failed, 7)
    outcome = msgspec.structs.replace(failed, via="backup")
    statistics.read = 1
    statistics.wrote([Result(Record(7, b"1", b"1"), ["score"], [outcome])])
    assert '1 not ok: backup HTTP 500 x 1 (record 7: "down");' in summary_line(
        statistics, Ending.FINISHED
    )


def test_summary_json_is_one_object_on_one_line() -> None:
    """All counts, with durations in seconds and sizes in bytes."""
    text = summary_json(run_of_two_apis(), Ending.DEADLINE)
    assert "\n" not in text
    summary = json.loads(text)
    apis = summary.pop("apis")
    assert summary == {
        "version": 1,
        "ending": "deadline",
        "records": 2000,
        "written": 2000,
        "there": 0,
        "mended": 0,
        "ok": 1987,
        "not_ok": 13,
        "errors": {"timeout": 1, "connect": 12},
        "failures": [
            {
                "api": "Überblick",
                "kind": "connect",
                "status": None,
                "records": 12,
                "sample": None,
            },
            {
                "api": "lookup",
                "kind": "timeout",
                "status": None,
                "records": 1,
                "sample": {"record": 1999, "message": "late", "body": ""},
            },
        ],
        "seconds": 1.235,
        "requests": 6003,
        "requests_per_second": 4862.4,
        "processor_seconds": 0.25,
        "waited_for": {"input": 0.125, "head_of_line": 0.0, "reader": 0.5},
        "bottleneck": "lookup's rate limit took 71% of the time",
        "warnings": [],
    }
    assert list(apis) == ["lookup", "Überblick"]
    assert {key: apis["lookup"].pop(key) for key in ("p50", "p90", "p99")} == {
        "p50": pytest.approx(0.0625, rel=0.025),
        "p90": pytest.approx(0.0625, rel=0.025),
        "p99": pytest.approx(0.0625, rel=0.025),
    }
    assert apis["lookup"] == {
        "calls": 2000,
        "skipped": 0,
        "attempts": 2002,
        "not_ok": 1,
        "errors": {"timeout": 1},
        "failures": [
            {
                "kind": "timeout",
                "status": None,
                "calls": 1,
                "sample": {"record": 1999, "message": "late", "body": ""},
            }
        ],
        "max": 2.0,
        "bytes_sent": 17,
        "bytes_received": 1536,
        "limit": 64,
        "hedges": 3,
        "held_by": {
            "limit": 0.0,
            "rate": 0.877,
            "cost": 0.0,
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


def test_summary_json_keeps_to_its_schema() -> None:
    """The published schema is that of the types, and what is written is of these types.

    After a change: python -c "import msgspec, tmux_fanout.core.display.summary_json as s;
    print(msgspec.json.format(msgspec.json.encode(msgspec.json.schema(s.Summary))).decode())"
    """
    assert json.loads(SCHEMA.read_text()) == msgspec.json.schema(Summary)
    statistics = run_with(status(401, BAD_KEY), None)
    statistics.apis[0].price = parse_price({"input": "2.50/1M"})
    statistics.apis[0].spending.add("useful", Amount(3.0, 0.5, 1))
    text = summary_json(statistics, Ending.SIGINT, ["x"])
    assert msgspec.json.decode(text, type=Summary).ending is Ending.SIGINT
    assert isinstance(json.loads(text)["cost"], float)


def test_summary_json_takes_whatever_an_error_says() -> None:
    """A lone surrogate in a message, half a character in a body: it is JSON all the same."""
    error = ErrorInfo("internal", "\ud800")
    statistics = run_with(
        Outcome(False, 500, None, error, 1, 0.1), status(500, "é".encode() * 1000)
    )
    statistics.apis[0].failures.add(error, None, 5)
    samples = [
        failed["sample"]
        for failed in json.loads(summary_json(statistics, Ending.FINISHED))["failures"]
    ]
    assert {sample["message"] for sample in samples} == {"HTTP 500", "\\xd800"}


def test_summaries_have_what_was_told_of_an_api() -> None:
    """A notice that came once while the run lasted is not lost above the summary."""
    statistics = run_of_two_apis()
    statistics.apis[1].tell_once("deprecation", "Überblick is deprecated", lambda _: None)
    assert summary_line(statistics, Ending.FINISHED).endswith("; Überblick is deprecated")
    assert "Überblick is deprecated" in summary_table(statistics, Ending.FINISHED).splitlines()


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
