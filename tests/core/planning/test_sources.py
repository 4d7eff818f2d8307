"""Which of several sources says how an API answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.planning.distributions import Fixed
from tmux_fanout.core.planning.learned import Learned
from tmux_fanout.core.planning.model import OK, ApiModel, stated
from tmux_fanout.core.planning.sources import Knowledge
from tmux_fanout.core.results.output_line import OutputLine, parse_written

PLAN = plan_run(
    [
        Api("a", "http://a.test"),
        Api("b", "http://b.test"),
        Api("spare", "http://c.test", fallback_of="a"),
    ],
    RunSettings(),
    {},
)


def line(**outcomes: dict[str, Any]) -> OutputLine:
    return parse_written(
        json.dumps({"index": 0, "record": 1, "ok": True, "results": outcomes}).encode()
    )


def ok(seconds: float, attempts: int = 1, **more: Any) -> dict[str, Any]:
    return {"ok": True, "status": 200, "body": 1, "attempts": attempts, "seconds": seconds, **more}


def known(*latencies: str) -> Knowledge:
    return Knowledge(PLAN, [*latencies, "spare=fixed:9s"])


def times(models: list[ApiModel]) -> list[float]:
    return [model.answers[0].latency.at(0.5) for model in models]


def test_stated_latency_wins() -> None:
    """Then comes an output, then what was learned, then what is stated for all others."""
    knowledge = known("a=fixed:1s", "fixed:4s")
    assert times([*knowledge.models()]) == [1.0, 4.0, 9.0]
    learned = {name: stated(Fixed(3.0), "learned.toml") for name in ("a", "b", "other")}
    knowledge.add_learned(Learned(0.001, learned, {"a": 7.0}), "learned.toml")
    assert times([*knowledge.models()]) == [1.0, 3.0, 9.0]
    assert knowledge.models()[0].rate == 7.0
    knowledge.add_line(line(a=ok(2.0), b=ok(2.0), other=ok(2.0)), "out.jsonl")
    assert times([*knowledge.models()]) == [1.0, 2.0, 9.0]
    assert knowledge.models()[1].source == "out.jsonl"
    assert knowledge.processor == 0.001


def test_calls_of_a_fallback_are_its_own() -> None:
    """That they went there is a failure of the first API."""
    knowledge = Knowledge(PLAN, ["b=fixed:1s"])
    timings = {"connect": None, "first_byte": 0.1, "total": 0.25, "bytes": 10}
    knowledge.add_line(line(a=ok(0.1)), "out.jsonl")
    knowledge.add_line(line(a=ok(5.0, 2, via="spare", timings=timings)), "out.jsonl")
    first, _, spare = knowledge.models()
    assert {answers.kind: answers.share for answers in first.answers}[OK] == 0.5
    assert spare.answers[0].latency.at(0.5) == 0.25


@pytest.mark.parametrize(
    ("latencies", "said"),
    [
        ([], "how long do a, b and spare take?"),
        (["a=fixed:1s", "b=fixed:1s"], "how long does spare take?.* --latency spare=lognormal"),
        (["bb=fixed:1s"], "no API 'bb': did you mean b"),
    ],
)
def test_api_of_which_nothing_is_known(latencies: list[str], said: str) -> None:
    """The message names it, and what to give."""
    with pytest.raises(ConfigError, match=said):
        Knowledge(PLAN, latencies).models()


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (
            {"a": ok(1.0)},
            r"does b take\?  no call of b is in out.jsonl: give --from OUTPUT",
        ),
        (
            {"b": ok(9.0, attempts=2)},
            r"no call of b in out.jsonl was a single request, and without --timings no other tells"
            ": give --from OUTPUT of a run with --timings,",
        ),
        ({"b": ok(0.0, attempts=0)}, "no call of b in out.jsonl was a single request"),
    ],
)
def test_output_that_does_not_tell(outcomes: dict[str, dict[str, Any]], said: str) -> None:
    """The message names it, and what it lacks, instead of asking for an output."""
    knowledge = known("a=fixed:1s")
    knowledge.add_line(line(**outcomes), "out.jsonl")
    with pytest.raises(ConfigError, match=said):
        knowledge.models()


def test_learned_values_without_an_api() -> None:
    """They are named as an output is."""
    knowledge = known("a=fixed:1s")
    knowledge.add_learned(Learned(None, {}, {}), "learned.toml")
    with pytest.raises(ConfigError, match="no call of b is in learned"):
        knowledge.models()
