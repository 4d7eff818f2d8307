"""Runs with faults at random: the promises hold, and those that are broken are found."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tmux_fanout import Api
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.core.testing.promises import broken
from tmux_fanout.core.testing.statement import ConfigTest, Reply
from tmux_fanout.engine.testing.chaos import Chaos, run_chaos

RECORDS = [{"id": 1}, {"id": 2, "x": None}, b'{"id": 3', "text", [1, 2]]

_ENDPOINTS = [
    {"url": "https://eu.example.com", "limit": 3},
    {"url": "https://us.example.com", "rate": "20/s"},
]
_HOSTS = {"hosts": ["*.example.com"], "host_limit": 2}
_OAUTH = {"token_url": "https://id.example.com/", "client_id": "a", "client_secret": "b"}
CONFIGURATIONS: dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]] = {
    "plain": ({"a": {}}, {}),
    "narrow": ({"a": {"limit": 2}, "b": {"idempotent": True}}, {"total_limit": 3}),
    "paced": ({"a": {"rate": "5/s"}, "b": {"rate": {"requests": "40/s", "burst": "1s"}}}, {}),
    "grouped": ({"a": {"rate": "5/s", "rate_group": "g"}, "b": {"rate_group": "g"}}, {}),
    "endpoints": ({"a": {"endpoints": _ENDPOINTS, "url": "/a", "idempotent": True}}, {}),
    "hosts": ({"a": {"url": "https://h{id}.example.com/", **_HOSTS}}, {"chunk_size": 7}),
    "hedged": ({"a": {"method": "GET", "hedge": "200ms"}}, {}),
    "batch": (
        {"a": {"url": "https://a.example.com/", "batch": {"size": 10}, "limit": 3}},
        {"unordered": True},
    ),
    "adaptive": ({"a": {"limit": "adaptive", "retries": 5}}, {"window": 20}),
    "joined": ({"a": {}, "b": {}, "c": {"after": ["a"]}}, {"join": "first"}),
    "fallback": ({"a": {"idempotent": True}, "b": {"fallback_of": "a"}}, {"timeout": "40s"}),
    "token": ({"a": {"auth": {"oauth2": _OAUTH}, "redirects": 2}}, {"on_down": "fail"}),
}


def plan_of(name: str) -> RunPlan:
    apis, settings = CONFIGURATIONS[name]
    usual = {"url": "https://a.example.com/{?id}"}
    return plan_run(
        [Api(api, **{**usual, **own}) for api, own in apis.items()], RunSettings(**settings), {}
    )


def chaos_of(plan: RunPlan, seed: int, count: int = 120) -> Chaos:
    good = Reply(body=b"[1]", headers=((b"content-type", b"application/json"),))
    replies = {api.name: [good] for api in plan.apis}
    return run_chaos(plan, [ConfigTest(number=1, records=RECORDS, replies=replies)], seed, count)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("seed", range(4))
def test_promises_hold(name: str, seed: int) -> None:
    """Whatever is configured, the promises hold, and the records have their lines."""
    chaos = chaos_of(plan_of(name), seed)
    assert list(broken(chaos.plan, chaos.outcome)) == []
    assert len(chaos.outcome.lines) == chaos.outcome.read
    assert sum(map(sum, (met.values() for met in chaos.met.values()))) > 9


@pytest.mark.parametrize("name", ["narrow", "hosts", "hedged", "batch", "token"])
def test_seeds_are_repeatable(name: str) -> None:
    """The same seed draws the same faults at the same times; another one does not."""
    one, same, other = (chaos_of(plan_of(name), seed) for seed in (5, 5, 6))
    assert (one.met, one.seconds) == (same.met, same.seconds)
    assert one.outcome.lines == same.outcome.lines
    assert one.met != other.met


def test_what_ends_a_run_early_does_not_count() -> None:
    """All records meet faults, however soon the configuration would give up."""
    plan = plan_run(
        [Api("a", url="https://a.example.com/")],
        RunSettings(max_failures=0, deadline="1s"),
        {},
    )
    assert chaos_of(plan, 1).outcome.read == 120


def test_repetitions_are_found() -> None:
    """A request that is sent again although it may have been applied is a broken promise."""
    plan = plan_of("narrow")
    b = replace(plan.apis[1], retry=replace(plan.apis[1].retry, idempotent=False))
    wrong = replace(plan, apis=(plan.apis[0], b))
    found = [line for seed in range(4) for line in broken(wrong, chaos_of(plan, seed).outcome)]
    assert found
    assert all("b, at " in line and ": sent again, although the attempt" in line for line in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 1}, "attempts were under way at a time; the limit is 1"),
        ({"attempt_timeout": 0.1}, ": an attempt took "),
    ],
)
def test_exceeded_limits_are_found(change: dict[str, Any], message: str) -> None:
    """More attempts at a time, and longer ones, than the plan allows are broken promises."""
    chaos = chaos_of(plan_of("plain"), 1)
    api = replace(chaos.plan.apis[0], **change)
    found = list(broken(replace(chaos.plan, apis=(api,)), chaos.outcome))
    assert any(message in line for line in found)


def test_exceeded_rates_and_totals_are_found() -> None:
    """So are attempts that begin too soon, and too many of all APIs together."""
    chaos = chaos_of(plan_of("paced"), 1)
    api = chaos.plan.apis[0]
    assert api.rate is not None
    slower = replace(api, rate=replace(api.rate, requests=1.0))
    settings = replace(chaos.plan.settings, total_limit=1)
    plan = replace(chaos.plan, apis=(slower, chaos.plan.apis[1]), settings=settings)
    total, rate = broken(plan, chaos.outcome)
    assert total.startswith("all APIs: ")
    assert rate.startswith("a: at ")
    assert rate.endswith(" more attempts began than 1/s allows")


def test_wrong_lines_are_found() -> None:
    """A line that is missing, repeated, out of order or of another record is a broken promise."""
    chaos = chaos_of(plan_of("plain"), 1, 10)
    plan, outcome = chaos.plan, chaos.outcome
    lines = list(outcome.lines)

    def found(*changed: Any) -> list[str]:
        return list(broken(plan, outcome._replace(lines=changed)))

    assert found(*lines) == []
    assert found(*lines[1:]) == ["10 records and 9 lines: no line for record 0"]
    assert found(*lines, lines[3]) == ["10 records and 11 lines: record 3 is repeated"]
    assert found(lines[1], lines[0], *lines[2:]) == ["out of order: line 1 is of record 1"]
    wrong = found({**lines[0], "record": {"id": 7}}, *lines[1:])
    assert wrong == ['record 0: {"id":1} came out as {"id":7}']
    more = found({**lines[0], "results": {}}, *lines[1:])
    assert more == ["record 0: results of [] instead of ['a']"]
    ended = outcome._replace(ended="the run is not done")
    assert list(broken(plan, ended)) == ["the run is not done"]
