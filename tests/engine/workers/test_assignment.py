"""What a worker is told: as it was written, in a form that nobody executes."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.rate import RateSettings
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.lease import Grant
from tmux_fanout.engine.workers.assignment import (
    Assignment,
    WorkerJob,
    decode_assignment,
    encode_assignment,
)

GRANT = Grant(0, (4, 2), 10.0, 0.25, True)
CONDITION = Condition(0, 1, 2.5)
URL = "https://a.example/v1"


def sent(apis: list[Api], settings: RunSettings | None = None) -> WorkerJob:
    job = WorkerJob(apis, settings or RunSettings(), 3, "merge", False, 1, 0.5, 1024, True)
    given = Assignment(job, GRANT, [CONDITION])
    received = decode_assignment(encode_assignment(given))
    assert received[1:] == given[1:]
    assert received.job._replace(apis=(), settings=RunSettings()) == job._replace(
        apis=(), settings=RunSettings()
    )
    return received.job


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"limit": "adaptive"},
        {"limit": Adaptive(min=2, max=9)},
        {"limit": {"min": 2}},
        {"rate": "1000/h"},
        {"rate": RateSettings(7.5)},
        {"rate": {"requests": "500/m", "tokens": "90000/m", "burst": "1s"}, "cost": "chars/4"},
        {"breaker": False},
        {"breaker": {"failures": 3, "wait": "1m"}},
        {"batch": {"size": 5, "format": "ndjson"}},
        {"auth": {"basic": ["user", "${PASSWORD}"]}},
        {"auth": {"digest": ["user", "${PASSWORD}"]}},
        {"auth": {"call": "a.b:c", "key": "${SECRET}", "rounds": 5, "more": {"list": ["x"]}}},
        {"auth": {"oauth2": {"token_url": URL, "client_id": "a", "client_secret": "${SECRET}"}}},
        {"headers": {"Authorization": "Bearer ${TOKEN}", "X-Id": "{id}"}},
        {"tls": {"ca": "ca.pem", "verify": True}},
        {"idempotency_key": "{id}", "idempotent": True, "hedge": "p95"},
        {"cost": "{input: tokens}", "price": {"input": "2.50/1M", "call": 0.01}},
        {"rate_headers": {"remaining": "x-left", "reset": "x-reset"}, "ok_status": ["2xx", 404]},
        {"when": "name == '\udcff'"},
    ],
)
def test_settings_arrive_as_they_were_written(keys: dict[str, Any]) -> None:
    """A worker plans what its parent plans, and gets variables by name only."""
    env = {"TOKEN": "t0", "PASSWORD": "p0", "SECRET": "s0"}
    api = Api("x", URL, **keys)
    [received] = sent([api]).apis
    settings = RunSettings()
    planned, wanted = (plan_run([each], settings, env).apis[0] for each in (received, api))
    for field in ("limit", "adaptive", "rate", "breaker", "retry", "hedge", "tls", "rate_headers"):
        assert getattr(planned, field) == getattr(wanted, field), field
    assert (planned.batch is None) == (wanted.batch is None)
    for value in env.values():
        assert value.encode() not in encode_assignment(
            Assignment(WorkerJob([api], settings, 1, "body", False, 0, 1.0, 1, False), GRANT)
        )


def test_endpoints_arrive() -> None:
    endpoints: list[Any] = [
        {"url": "https://eu.example", "auth": {"bearer": "${KEY}"}, "limit": 4},
        URL[:17],
    ]
    api = Api("x", "/v1", endpoints=endpoints)
    [received] = sent([api]).apis
    env = {"KEY": "k0"}
    planned = plan_run([received], RunSettings(), env).apis[0]
    assert planned.endpoints == plan_run([api], RunSettings(), env).apis[0].endpoints


def test_settings_of_the_run_arrive() -> None:
    settings = RunSettings(limit={"max": 9}, deadline="2m", rate="5/s", window=9)
    received = sent([Api("x", URL)], settings).settings
    assert received.window == 9
    apis = [Api("x", URL)]
    assert plan_run(apis, received, {}).settings == plan_run(apis, settings, {}).settings


def test_settings_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ConfigError):
        decode_assignment(
            encode_assignment(
                Assignment(
                    WorkerJob([Api("x", URL)], RunSettings(), 1, "body", False, 0, 1.0, 1, False),
                    GRANT,
                )
            ).replace(b'"POST"', b'"PO ST"')
        )
