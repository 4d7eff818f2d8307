"""What a run has learned, written and read again."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tmux_fanout.core.config.config_file import parse_tables
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.merging.files import Sources
from tmux_fanout.core.planning.learned import parse_learned, write_learned
from tmux_fanout.core.planning.model import OK, Kind
from tmux_fanout.core.report.load import EndpointLoad, Load
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Outcome

_SECONDS = (
    "seconds = { min = 0.1, p50 = 0.1, p90 = 0.2, p95 = 0.3, p99 = 0.4, p999 = 0.5, max = 0.6 }"
)


def plan_of(**keys: Any) -> RunPlan:
    return plan_run([Api("a b", "http://a.test", **keys)], RunSettings(), {})


def stats_of(seconds: float = 10.0, busy: float = 1.0) -> RunStatistics:
    stats = RunStatistics(["a b"])
    (api,) = stats.apis
    for number in range(90):
        api.settled(Outcome(True, 200, None, None, 1, 0.05 + number / 1000))
    for _ in range(10):
        outcome = Outcome(False, 503, None, ErrorInfo("status", "HTTP 503"), 3, 1.0)
        api.settled(outcome)
        api.failed(outcome, 0)
    api.attempts, api.limit = 120, 23
    stats.seconds, stats.processor_seconds = seconds, busy
    return stats


def loads_of(*paces: float | None) -> list[Load]:
    return [Load(0, [EndpointLoad("", 0, pace=pace) for pace in paces])]


def written(stats: RunStatistics, plan: RunPlan, loads: list[Load]) -> str:
    return write_learned(stats, plan, loads, when="noon")


def test_run_takes_over_what_it_can() -> None:
    """The file is one that a run may have for its configuration, or a part of it."""
    text = written(stats_of(), plan_of(limit="adaptive"), loads_of(48.2))
    tables = tomllib.loads(text)
    assert tables["api"] == {"a b": {"limit": 23, "rate": "48.20/s"}}
    file = parse_tables(tables, Sources("learned.toml"), ())
    assert Api("a b", "http://a.test", **file.apis["a b"]).rate == "48.20/s"


@pytest.mark.parametrize(
    ("keys", "paces", "found"),
    [
        ({}, [None], {}),
        ({}, [5.0, None], {}),
        ({}, [5.0, 7.5], {"rate": "12.50/s"}),
        ({}, [0.1], {"rate": "360.00/h"}),
        ({"rate": "10/s"}, [5.0], {"rate": "5.00/s"}),
        ({"rate": "10/s"}, [50.0], {}),
        ({"limit": "adaptive"}, [None], {"limit": 23}),
    ],
)
def test_only_what_is_new_is_written(
    keys: dict[str, Any], paces: list[float | None], found: dict[str, Any]
) -> None:
    """A limit is, where it adapts; a rate is, where all endpoints refuse what is above it."""
    tables = tomllib.loads(written(stats_of(), plan_of(**keys), loads_of(*paces)))
    assert tables.get("api", {}).get("a b", {}) == found


def test_plan_reads_what_is_written() -> None:
    """Shares of failures, percentiles and the rate come back."""
    learned = parse_learned(written(stats_of(), plan_of(), loads_of(None)), "learned.toml")
    model = learned.apis["a b"]
    shares = {answers.kind: answers.share for answers in model.answers}
    assert shares == pytest.approx({OK: 90 / 120, Kind(503, "status"): 30 / 120})
    latency = model.answers[0].latency
    assert latency.at(0.5) == pytest.approx(0.1, rel=0.03)
    assert latency.at(1.0) == pytest.approx(1.0)
    assert model.source == "learned.toml, 100 calls"
    assert model.rate is None
    assert learned.processor is None
    paced = parse_learned(written(stats_of(), plan_of(), loads_of(12.0)), "learned.toml")
    assert paced.apis["a b"].rate == 12.0
    shares = {answers.kind: answers.share for answers in paced.apis["a b"].answers}
    assert shares == pytest.approx({OK: 0.9, Kind(503, "status"): 0.1})


def test_processor_is_learned_where_it_was_the_bottleneck() -> None:
    """A request of a process that mostly waits costs more, and says nothing."""
    busy = parse_learned(written(stats_of(busy=9.5), plan_of(), loads_of(None)), "")
    assert busy.processor == pytest.approx(9.5 / 120)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no table"),
        ("[api.a]", "no table"),
        ("x", "not TOML"),
        ("learned = 1", "use what"),
        ("[learned]\nprocesor = 1", "procesor"),
        ("[learned.api.a]\ncalls = 1", "use what"),
        ("[learned.api.a]\ncalls = 1\nrequests = 1\nok = 1", "no min in seconds"),
        (f"[learned.api.a]\ncalls = 1\nrequests = 1\nok = 0\n{_SECONDS}", "no calls"),
        (f"[learned.api.a]\ncalls = 1\nrequests = 1\nok = -1\n{_SECONDS}", "no calls"),
        (
            f"[learned.api.a]\ncalls = 1\nrequests = 1\nok = 1\n{_SECONDS.replace('0.6', '0.01')}",
            "ascending",
        ),
        (
            "[learned.api.a]\ncalls = 1\nrequests = 1\nok = 1\nfailures = { odd = 1 }\n" + _SECONDS,
            "unknown failure 'odd'",
        ),
        (
            f'[api.a]\nrate = "fast"\n[learned.api.a]\ncalls = 1\nrequests = 1\nok = 1\n{_SECONDS}',
            "rate",
        ),
    ],
)
def test_other_file_is_refused(text: str, why: str) -> None:
    """One line names the file and says what is wrong."""
    with pytest.raises(ConfigError, match=rf"^other\.toml: .*{why}"):
        parse_learned(text, "other.toml")
