"""The figures of an output, against a plain computation of the same."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from typing import Any

import pytest
from support.envelopes import eventful, line, outcome

from tmux_fanout.core.errors import Failure
from tmux_fanout.core.review.collector import Collector
from tmux_fanout.core.review.figures import OutputFigures
from tmux_fanout.core.review.latencies import EDGES


def collected(*lines: bytes) -> Collector:
    made = Collector("out.jsonl")
    for each in lines:
        made.add(each)
    return made


def nearest(ordered: list[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


@pytest.fixture(scope="module")
def run() -> tuple[list[dict[str, Any]], OutputFigures]:
    """The lines of a run, and the figures of them."""
    lines = list(eventful(5000, timed=True))
    return [json.loads(each) for each in lines], collected(*lines).figures()


def test_totals_are_those_of_a_plain_computation(
    run: tuple[list[dict[str, Any]], OutputFigures],
) -> None:
    """Records, calls, attempts and failures are counted exactly."""
    lines, found = run
    assert (found.lines, found.records, found.damaged) == (5000, 5000, 0)
    assert found.ok == sum(each["ok"] for each in lines)
    assert found.not_ok == sum(not each["ok"] for each in lines)
    assert found.started == min(each["started"] for each in lines)
    assert found.last_started == max(each["started"] for each in lines)
    for name, api in found.apis.items():
        outcomes = [each["results"][name] for each in lines]
        assert (api.calls, api.skipped) == (5000, 0)
        assert api.attempts == sum(each["attempts"] for each in outcomes)
        assert api.retried == sum(each["attempts"] > 1 for each in outcomes)
        assert api.attempts_of_calls == Counter(each["attempts"] for each in outcomes)
        failed = Counter(each["error"]["kind"] for each in outcomes if not each["ok"])
        assert api.errors == failed
        assert {each.label: each.calls for each in api.failures} == {
            {"status": "HTTP 429"}.get(kind, kind): count for kind, count in failed.items()
        }
        assert all(len(each.samples) == 3 for each in api.failures)


def test_latencies_are_those_of_a_plain_computation(
    run: tuple[list[dict[str, Any]], OutputFigures],
) -> None:
    """Percentiles are within 0.2 %, bars of the histogram and the slowest calls exact."""
    lines, found = run
    for name, api in found.apis.items():
        outcomes = [each["results"][name] for each in lines]
        ordered = sorted(each["seconds"] for each in outcomes)
        assert api.latency
        for key, share in {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}.items():
            expected = pytest.approx(nearest(ordered, share), rel=0.00201, abs=1e-6)
            assert getattr(api.latency, key) == expected
        bars = Counter(EDGES[bisect_right(EDGES, each) - 1] for each in ordered)
        assert {bar.start: bar.calls for bar in api.histogram if bar.calls} == bars
        slowest = sorted(range(5000), key=lambda at: (-outcomes[at]["seconds"], at))[:10]
        assert [each.index for each in api.slowest] == slowest
        assert [each.line for each in api.slowest] == [at + 1 for at in slowest]


@pytest.mark.parametrize("key", ["index", "started"])
def test_stretches_are_those_of_a_plain_computation(
    run: tuple[list[dict[str, Any]], OutputFigures], key: str
) -> None:
    """Each stretch has the calls of its records, percentiles within 1 %."""
    lines, found = run
    stretches = found.by_index if key == "index" else found.by_time
    assert sum(each.records for each in stretches) == 5000
    for each in stretches:
        within = [record for record in lines if each.start <= record[key] < each.end]
        assert each.records == len(within)
        assert each.not_ok == sum(not record["ok"] for record in within)
        for name, api in each.apis.items():
            outcomes = [record["results"][name] for record in within]
            ordered = sorted(one["seconds"] for one in outcomes)
            assert api.calls == len(outcomes)
            assert api.not_ok == sum(not one["ok"] for one in outcomes)
            assert api.recovered == sum(one["ok"] and one["attempts"] > 1 for one in outcomes)
            assert api.p50 == pytest.approx(nearest(ordered, 0.5), rel=0.0101, abs=1e-6)
            assert api.p99 == pytest.approx(nearest(ordered, 0.99), rel=0.0101, abs=1e-6)


def test_events_are_where_they_happened(run: tuple[list[dict[str, Any]], OutputFigures]) -> None:
    """The slow phase, the burst of 429s and the outage stand out from the rest of the run."""
    _, found = run
    for each in found.by_index:
        share = (each.start + each.end) / 2 / 5000
        slow, limited, down = (each.apis[name] for name in ("slow", "limited", "down"))
        assert slow.p50 is not None
        if abs(share - 0.25) < 0.04:
            assert slow.p50 > 0.3
        if abs(share - 0.475) < 0.02:
            assert limited.recovered + limited.not_ok == limited.calls
            assert set(limited.failures) == {"HTTP 429"}
        if abs(share - 0.725) < 0.02:
            assert down.failures == {"connect": down.calls}
        if share < 0.19 or share > 0.76:
            assert slow.p50 < 0.2
            assert limited.recovered + limited.not_ok + down.not_ok == 0


def test_records_fail_as_a_run_counts_them() -> None:
    """Skipped and lost calls do not count where others failed; an invalid line has no API."""
    skipped = {"ok": True, "skipped": True, "attempts": 0}
    after = {
        "ok": False,
        "skipped": True,
        "error": {"kind": "template", "message": "a is not ok"},
        "attempts": 0,
    }
    made = collected(
        line(0, {"a": outcome(), "b": skipped}),
        line(1, {"a": outcome(0, 1, "status", 503), "b": after}),
        b'{"index":2,"ok":false,"error":{"kind":"invalid_record","message":"no"},"raw":"{"}',
        line(3, {"a": outcome(0, 0, "cancelled", None), "b": skipped}),
    )
    found = made.figures()
    assert (found.records, found.ok, found.not_ok, found.invalid, found.cut_short) == (
        4,
        1,
        3,
        1,
        1,
    )
    assert found.errors == {"status": 1, "invalid_record": 1, "cancelled": 1}
    assert [(each.api, each.label, each.records) for each in found.failures] == [
        ("a", "HTTP 503", 1),
        (None, "invalid_record", 1),
        ("a", "cancelled", 1),
    ]
    a, b = found.apis["a"], found.apis["b"]
    assert (a.calls, a.skipped, a.not_ok, a.latency and a.latency.count) == (3, 0, 2, 2)
    assert (b.calls, b.skipped, b.not_ok, b.latency) == (3, 3, 1, None)
    assert [each.apis["b"].calls for each in found.by_index if "b" in each.apis] == [1]
    assert sorted(made.excerpts()) == [1, 2, 3, 4]


def test_phases_and_fallbacks_are_counted() -> None:
    """Those of `--timings` have their own percentiles, and `via` its own counts."""
    timings = {"connect": 0.1, "first_byte": 0.2, "total": 0.3, "bytes": 7}
    again = {"connect": None, "first_byte": None, "total": 0.5, "bytes": 0}
    found = collected(
        line(0, {"a": outcome(timings=timings, via="spare")}, started=5.25),
        line(1, {"a": outcome(timings=again)}, started=5.5),
    ).figures()
    phases = found.apis["a"].phases
    assert phases
    assert phases.bytes == 7
    assert phases.connect
    assert (phases.connect.count, phases.connect.max) == (1, 0.1)
    assert phases.total
    assert (phases.total.count, phases.total.max) == (2, 0.5)
    assert found.apis["a"].via == {"spare": 1}
    assert (found.started, found.last_started) == (5.25, 5.5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "truncated"),
        (b"{}", "missing required field"),
        (b"\xff", "not UTF-8"),
        (line(-1, {"a": outcome()}), "its index is out of range"),
        (line(10**20, {"a": outcome()}), "its index is out of range"),
        (line(1, {"a": outcome(-1)}), "its attempts or seconds are out of range"),
        (line(1, {"a": outcome(1e300)}), "its attempts or seconds are out of range"),
        (line(1, {"a": outcome(attempts=-1)}), "its attempts or seconds are out of range"),
        (line(1, {"a": outcome(attempts=10**12)}), "its attempts or seconds are out of range"),
        (line(1, {"a": outcome(status=1000)}), "its status is out of range"),
        (line(1, {"a": outcome()}, started=-5), "its time is out of range"),
        (line(1, {f"a{at}": outcome() for at in range(101)}), "more than 100 APIs"),
    ],
)
def test_damaged_lines_are_counted_and_left_out(text: bytes, why: str) -> None:
    """The first one is told, by its number; lines around it count."""
    good = line(0, {"a": outcome()})
    made = collected(good, text, b"x", good)
    found = made.figures()
    assert (found.lines, found.damaged, found.records) == (4, 2, 2)
    assert found.first_damage
    assert found.first_damage.startswith("line 2: ")
    assert why in found.first_damage.lower() or why in found.first_damage


def test_memory_is_bounded_whatever_the_lines_say() -> None:
    """Names of APIs, ways of failing and fallbacks are kept up to a number."""
    made = collected(
        *(line(at, {f"a{at}": outcome()}) for at in range(300)),
        *(
            line(at, {"a0": outcome(0, at + 1, "status", at % 999, via=f"v{at}")})
            for at in range(3000)
        ),
    )
    found = made.figures()
    assert (len(found.apis), found.damaged) == (100, 200)
    api = found.apis["a0"]
    assert len(api.failures) <= 101
    assert len(api.via) == 100
    assert len(api.attempts_of_calls) == 100
    assert (api.not_ok, api.calls) == (3000, 3001)
    assert len(found.failures) <= 1001
    assert max(len(each.apis["a0"].failures) for each in found.by_index) <= 31
    assert sum(each.records for each in found.failures) == 3000
    assert Failure("", "status", 7).label in {each.label for each in api.failures}
