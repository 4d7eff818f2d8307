"""How an API answers, by the outcomes that a run has written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tmux_fanout.core.planning.distributions import Measured
from tmux_fanout.core.planning.model import OK, ApiModel, Kind, OutcomeSample
from tmux_fanout.core.results.output_line import WrittenOutcome


def ok(seconds: float, attempts: int = 1, **more: Any) -> dict[str, Any]:
    return {"ok": True, "status": 200, "body": 1, "attempts": attempts, "seconds": seconds, **more}


def failed(kind: str, status: int | None = None, attempts: int = 1) -> dict[str, Any]:
    error = {"kind": kind, "message": ""}
    return {"ok": False, "status": status, "error": error, "attempts": attempts, "seconds": 0.5}


def model_of(*outcomes: dict[str, Any], pause: float | None = None) -> ApiModel | None:
    sample = OutcomeSample(pause)
    for outcome in outcomes:
        sample.add(msgspec.json.decode(json.dumps(outcome), type=WrittenOutcome))
    return sample.model("out.jsonl")


def shares_of(model: ApiModel | None) -> dict[Kind, float]:
    assert model
    return {answers.kind: answers.share for answers in model.answers}


@pytest.mark.parametrize(
    ("outcomes", "shares"),
    [
        ([ok(0.1), ok(0.2)], {OK: 1.0}),
        ([ok(0.1), failed("status", 404)], {OK: 0.5, Kind(404, "status"): 0.5}),
        ([ok(0.1), failed("timeout", None, 3)], {OK: 0.25, Kind(0, "timeout"): 0.75}),
        ([ok(0.1), ok(0.9, 2)], {OK: 2 / 3, Kind(503, "status"): 1 / 3}),
        (
            [ok(0.1), ok(0.9, 3), failed("status", 429), failed("status", 404)],
            {OK: 2 / 6, Kind(429, "status"): 3 / 6, Kind(404, "status"): 1 / 6},
        ),
        ([ok(0.1), failed("lost"), failed("deadline"), failed("breaker_open")], {OK: 1.0}),
        ([ok(0.1), {"ok": True, "skipped": True, "attempts": 0}], {OK: 1.0}),
    ],
)
def test_attempts_are_shared_out(outcomes: list[dict[str, Any]], shares: dict[Kind, float]) -> None:
    """Attempts before the last one failed as others did; what the run ended does not count."""
    assert shares_of(model_of(*outcomes)) == pytest.approx(shares)


def test_latencies_are_those_of_single_attempts() -> None:
    """The seconds of a call with several attempts say nothing of one; timings do."""
    timings = {"connect": None, "first_byte": 0.1, "total": 0.25, "bytes": 10}
    model = model_of(ok(0.1), ok(5.0, 3), ok(7.0, 2, timings=timings))
    assert model
    latencies = {answers.kind: answers.latency for answers in model.answers}
    assert latencies[OK] == Measured([0.1, 0.25])
    assert latencies[Kind(503, "status")] == Measured([0.1, 0.25])  # nothing else is known
    assert model.repeated == 3


def test_requests_in_a_row_did_not_fail() -> None:
    """Pages and polls are no retries; a call that fails does so with the last of them."""
    model = model_of(ok(1.3, 3), ok(0.1), failed("status", 404, 2), pause=0.5)
    assert model
    assert shares_of(model) == pytest.approx({OK: 5 / 6, Kind(404, "status"): 1 / 6})
    assert model.requests == (3, 1)
    assert model.answers[0].latency.at(1.0) == pytest.approx(0.1)


def test_bodies_are_kept_as_they_were_written() -> None:
    """They are what other APIs, and `spent`, find in responses."""
    model = model_of(ok(0.1, body={"usage": 3}), ok(0.1, body=None))
    assert model
    assert model.has_bodies
    assert [json.loads(body) for body in model.bodies] == [{"usage": 3}, None]


def test_nothing_is_known_without_calls() -> None:
    """Calls that were not made, and those whose attempts cannot be told apart, are no basis."""
    assert model_of() is None
    assert model_of(failed("template") | {"attempts": 0}) is None
    assert model_of(ok(3.0, 3)) is None


def test_memory_is_bounded() -> None:
    """Of many outcomes some stand for all, evenly spread."""
    sample = OutcomeSample()
    for number in range(100_000):
        outcome = {"ok": True, "status": 200, "body": 1, "attempts": 1, "seconds": number / 1e5}
        sample.add(msgspec.convert(outcome | {"body": msgspec.Raw(b"1")}, WrittenOutcome))
    model = sample.model("out.jsonl")
    assert model
    (answers,) = model.answers
    assert isinstance(answers.latency, Measured)
    assert len(answers.latency.seconds) <= 20_000
    assert len(model.bodies) <= 500
    assert answers.latency.at(0.5) == pytest.approx(0.5, rel=0.01)
