"""Statistics: percentiles close to exact ones, and counts that add up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, Failure
from tmux_fanout.core.histogram import Histogram
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.resume import Kept

SHARES = [0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0]


def histogram(durations: list[float]) -> Histogram:
    result = Histogram()
    for seconds in durations:
        result.add(seconds)
    return result


def exact_percentile(durations: list[float], share: float) -> float:
    """Return the nearest rank: the smallest duration that `share` of them do not exceed."""
    return sorted(durations)[max(math.ceil(share * len(durations)), 1) - 1]


@given(
    st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=60)
    | st.lists(st.sampled_from([2.0**n for n in range(-19, 12)]), min_size=1, max_size=60)
)
def test_histogram_percentiles_are_within_two_and_a_half_percent(durations: list[float]) -> None:
    """Each percentile is close to the exact one, powers of two (bucket edges) included."""
    found = histogram(durations)
    for share in SHARES:
        assert found.percentile(share) == pytest.approx(
            exact_percentile(durations, share), rel=0.025
        )


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=60))
def test_histogram_percentiles_rise_and_end_at_or_below_the_maximum(
    durations: list[float],
) -> None:
    """A larger share is never a shorter time, and none is longer than the longest."""
    found = histogram(durations)
    shown = [found.percentile(share) for share in SHARES]
    assert shown == sorted(shown)
    assert shown[-1] <= found.max == max(durations)
    assert found.count == len(durations)


def test_histogram_of_nothing_is_zero() -> None:
    """No durations: all percentiles are 0."""
    assert [Histogram().percentile(share) for share in SHARES] == [0.0] * len(SHARES)


@pytest.mark.parametrize("seconds", [0.0, 1e-12, 1e-6])
def test_histogram_takes_the_shortest_durations(seconds: float) -> None:
    """Down to zero, which has no logarithm, nothing fails and nothing is longer than it was."""
    assert histogram([seconds]).percentile(0.5) <= seconds


def test_histogram_stays_small_however_much_it_counts() -> None:
    """A million durations over six orders of magnitude take a few hundred buckets."""
    found = histogram([1e-4 * 1.0001**n for n in range(100_000)])
    assert len(found._buckets) < 500


OK = Outcome(True, 200, attempts=2, seconds=0.5)
SKIPPED = Outcome(True)


def failed(kind: ErrorKind, *, attempts: int = 1) -> Outcome:
    return Outcome(False, error=ErrorInfo(kind, "x"), attempts=attempts, seconds=9.0)


def test_api_statistics_count_calls_errors_and_latency() -> None:
    """Every call counts; only calls that were attempted have a latency."""
    statistics = ApiStatistics("a")
    for index, outcome in enumerate(
        (
            OK,
            SKIPPED,
            failed("status"),
            failed("status"),
            failed("deadline", attempts=0),
        )
    ):
        statistics.settled(outcome)
        statistics.failed(outcome, index)
    assert statistics.calls == 5
    assert statistics.errors == {"status": 2, "deadline": 1}
    assert statistics.latency.count == 3
    assert statistics.latency.max == 9.0


@given(
    st.lists(
        st.none()
        | st.lists(
            st.sampled_from([OK, failed("status"), failed("connect")]), min_size=2, max_size=2
        )
    )
)
def test_run_statistics_kinds_partition_what_was_written(rows: list[list[Outcome] | None]) -> None:
    """ok and the kinds of first errors add up to the records written."""
    statistics = RunStatistics(["a", "b"])
    invalid = Record(0, b"x", b"", ErrorInfo("invalid_record", "x"))
    results = [
        Result(invalid if outcomes is None else Record(0, b"1", b"1"), ["a", "b"], outcomes or [])
        for outcomes in rows
    ]
    statistics.wrote(results[:3])
    statistics.wrote(results[3:])
    assert statistics.written == len(rows) == statistics.ok + statistics.not_ok
    assert statistics.ok == sum(result.ok for result in results)
    assert statistics.errors["invalid_record"] == rows.count(None)
    by_first = [
        next((outcome.error.kind for outcome in outcomes if outcome.error), None)
        for outcomes in rows
        if outcomes is not None
    ]
    assert statistics.errors["status"] == by_first.count("status")
    assert statistics.errors["connect"] == by_first.count("connect")


def test_run_statistics_attempts_are_those_of_all_apis() -> None:
    """The requests of a run are those of its APIs together."""
    statistics = RunStatistics(["a", "b"])
    assert (statistics.read, statistics.written, statistics.ok, statistics.seconds) == (0, 0, 0, 0)
    assert [(api.attempts, api.in_flight, api.calls) for api in statistics.apis] == [(0, 0, 0)] * 2
    statistics.apis[0].attempts += 2
    statistics.apis[1].attempts += 3
    assert statistics.attempts == 5
    assert [api.name for api in statistics.apis] == ["a", "b"]


def test_run_statistics_continue_from_what_is_kept() -> None:
    """Lines of an earlier run count, but not towards --max-failures."""
    kept = Kept(["a"])
    kept.records, kept.ok = 10, 7
    kept.errors.update(status=3)
    kept.failures[Failure("a", "status", 503)] = 3
    statistics = RunStatistics(["a"])
    statistics.resume_after(kept)
    statistics.read += 2
    record = Record(10, b"1", b"1")
    statistics.wrote([Result(record, ["a"], [failed("connect")]), Result(record, ["a"], [OK])])
    assert (statistics.resumed, statistics.read, statistics.written) == (10, 12, 12)
    assert (statistics.ok, dict(statistics.errors)) == (8, {"status": 3, "connect": 1})
    assert statistics.failures == {Failure("a", "status", 503): 3, Failure("a", "connect"): 1}
    assert statistics.own == (1, 2)


def test_statistics_repr_tells_the_counts() -> None:
    """The reprs tell how far the run, and each API, has come."""
    statistics = RunStatistics(["a"])
    statistics.read = 2
    statistics.wrote([Result(Record(0, b"1", b"1"), ["a"], [OK])])
    statistics.apis[0].attempts = 3
    assert repr(statistics) == "<RunStatistics: 2 read, 1 written, 1 ok, 0 not ok>"
    assert repr(statistics.apis[0]) == "<ApiStatistics a: 0 calls, 3 attempts, 0 in flight>"
