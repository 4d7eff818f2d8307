"""What a file of `--live` says."""

from __future__ import annotations

import pytest

from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.rate import Pacer, RateSettings
from tmux_fanout.core.tuning.tuning import (
    ApiTuning,
    Tuning,
    changes,
    parse_tuning,
    slots_of,
    untuned,
)


@pytest.fixture
def plan() -> RunPlan:
    apis = [Api("a", "http://a", limit=10, rate="200/s"), Api("b", "http://b", limit=4)]
    return plan_run(apis, RunSettings(total_limit=12), {})


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ("", Tuning([ApiTuning(), ApiTuning()]), []),
        (
            "limit = 5",
            Tuning([ApiTuning(0.5), ApiTuning(1.25)]),
            ["a: limit 5", "b: limit 5"],
        ),
        (
            'limit = 2\n[api.a]\nlimit = 10\nrate = "20/s"',
            Tuning([ApiTuning(1.0, 0.1), ApiTuning(0.5)]),
            ["a: rate 20/s", "b: limit 2"],
        ),
        (
            "total_limit = 3\npaused = true\n[api.b]\npaused = false",
            Tuning([ApiTuning(paused=True), ApiTuning()], 0.25),
            ["total_limit 3", "a: paused"],
        ),
        (
            'limit = 40\ntotal_limit = 48\n[api.a]\nrate = "1000/s"\nlimit = 15',
            Tuning([ApiTuning(1.5, 5.0), ApiTuning(10.0)], 4.0),
            ["total_limit 48", "a: limit 15", "a: rate 1000/s", "b: limit 40"],
        ),
    ],
)
def test_file_says_what_apis_may_do(
    plan: RunPlan, text: str, expected: Tuning, said: list[str]
) -> None:
    """What is said of all APIs holds for those without values of their own."""
    found = parse_tuning(text, plan)
    assert found == expected
    assert list(changes(untuned(plan), found, plan)) == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limit = 0", "limit: invalid limit 0: use a number from 1 to 100000, or paused = true"),
        ("limit = true", "limit: invalid limit"),
        ('limit = "x"', "limit: invalid limit"),
        ("[api.a]\nlimit = 100001", "api.a.limit: invalid limit 100001: use a number from 1 to"),
        ('[api.a]\nrate = "fast"', "api.a.rate: invalid rate 'fast'"),
        ('[api.b]\nrate = "1/s"', "api.b.rate: the run has no rate of requests there"),
        ("total_limit = -1", "total_limit: invalid limit -1"),
        ("paused = 1", "paused: use true or false"),
        ("[api.c]\nlimit = 1", "there is no API 'c'"),
        ("[api.a]\nlimits = 1", "api.a.limits: unknown key"),
        ("api = 3", "api: write a table for each"),
        ("[api]\na = 3", "api: write a table for each"),
        ("limit 3", "not TOML: "),
    ],
)
def test_mistakes_name_the_key(plan: RunPlan, text: str, message: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(ConfigError) as caught:
        parse_tuning(text, plan)
    assert message in str(caught.value)


def test_run_without_a_total_limit_cannot_get_one() -> None:
    """The message says how to start a run with one."""
    with pytest.raises(ConfigError, match="start it with --total-limit"):
        parse_tuning("total_limit = 3", plan_run([Api("a", "http://a")], RunSettings(), {}))


def test_limit_stays_within_the_open_files(plan: RunPlan) -> None:
    """A run whose limits were lowered to these cannot be quickened beyond them."""
    fitted = fit(plan, 7)
    assert [api.limit for api in fitted.apis] == [5, 2]
    assert parse_tuning("[api.a]\nlimit = 5", fitted) == untuned(fitted)
    with pytest.raises(ConfigError, match="6 is more than the 5 that there are open files for"):
        parse_tuning("[api.a]\nlimit = 6", fitted)


def test_shares_of_slots_are_whole() -> None:
    """Every limit comes out as it was written; none is 0."""
    for whole in range(1, 300):
        limits = [*range(1, 2 * whole), 99_999, 100_000]
        assert [slots_of(limit / whole, whole) for limit in limits] == limits
    assert slots_of(0.01, 10) == 1


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_tuned_pacer_keeps_to_its_part(share: float) -> None:
    """A tenth of the rate, or of a share of it, is kept to, and then all of it again."""
    pacer = Pacer(RateSettings(requests=100.0))
    pacer.change(share, 0.0)
    pacer.tune(0.1, 0.0)
    assert attempts(pacer, 0.0, 10.0) == pytest.approx(100 * share, abs=2)
    pacer.tune(1.0, 10.0)
    assert attempts(pacer, 10.0, 20.0) == pytest.approx(1000 * share, abs=11)


def attempts(pacer: Pacer, start: float, end: float) -> int:
    """Return how many attempts go as soon as they may."""
    number, now = 0, start
    while now < end:
        pacer.take(now)
        number += 1
        now += pacer.wait(now)
    return number
