"""Runs without faults give each record what it gets in its test."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from tmux_fanout import Api
from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.core.testing.faults import FAULTS, REFUSED, Weather
from tmux_fanout.core.testing.statement import parse_tests
from tmux_fanout.engine.testing import chaos
from tmux_fanout.engine.testing.chaos import run_chaos

SERIES: Mapping[str, tuple[dict[str, Any], str, list[Any]]] = {
    "pages": (
        {"pages": {"next": "next", "param": "p", "items": "items"}},
        """
        record = { id = 1 }
        [[test.replies.a]]
        status = 503
        [[test.replies.a]]
        body = { items = [1], next = "x" }
        [[test.replies.a]]
        body = { items = [2] }
        """,
        [[1, 2]],
    ),
    "poll": (
        {
            "method": "POST",
            "body": "@",
            "idempotent": True,
            "poll": {"url": "/jobs/{_submitted.job}", "until": "state == 'done'", "every": "1s"},
        },
        """
        record = { id = 1 }
        [[test.replies.a]]
        body = { job = 7 }
        [[test.replies.a]]
        body = { state = "new" }
        [[test.replies.a]]
        body = { state = "done" }
        """,
        [{"state": "done"}],
    ),
    "batch": (
        {"method": "POST", "body": "@", "batch": {"size": 10}, "idempotent": True},
        "records = [{ id = 1 }, { id = 2 }, { id = 3 }]\nreplies.a = { body = [10, 20, 30] }",
        [10, 20, 30],
    ),
    "batch_in_envelope": (
        {
            "method": "POST",
            "body": "@",
            "batch": {"size": 10, "key": "id", "items": "data[].item"},
            "idempotent": True,
        },
        """
        records = [{ id = 1 }, { id = 2 }]
        [test.replies.a.body]
        log = [1, 2]
        data = [{ item = { id = 2 } }, { item = { id = 1 } }]
        """,
        [{"id": 1}, {"id": 2}],
    ),
    "lines": (
        {"method": "POST", "body": "@", "batch": {"size": 10, "format": "ndjson"}},
        'records = [{ id = 1 }, { id = 2 }]\nreplies.a = { body = "10\\n20\\n" }',
        [10, 20],
    ),
    "records": (
        {},
        "records = [{ id = 1 }, { id = 2 }]\nreplies.a = [{ body = 10 }, { body = 20 }]",
        [10, 20],
    ),
}


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_answers_fit_what_is_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, share: float
) -> None:
    """Whoever gets an ok answer has that of its test, page by page and item by item."""
    keys, text, expected = SERIES[name]
    url = "https://a.example.com/" if "body" in keys else "https://a.example.com/{?id}"
    api = Api("a", **{"url": url, "idempotent": True, **keys})
    written = tomllib.loads(f"[[test]]\n{text}")["test"]
    for each in written:
        each["expect"] = [{"ok": True}] * len(each.get("records", [1]))
    tests = parse_tests(written, ["a"], None)
    weather = Weather(share, [REFUSED, *FAULTS[1:3]], 0.0, 0.0)
    monkeypatch.setattr(chaos, "draw_weather", lambda draw: weather)
    done = run_chaos(plan_run([api], RunSettings(retries=30, timeout="1h"), {}), tests, 3, 60)
    for line in done.outcome.lines:
        result = line["results"]["a"]
        assert result["ok"], result
        assert result["body"] == expected[line["index"] % len(expected)]
