"""The window bounds the memory of waiting calls, whatever their requests and responses."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
import trio.testing
from support.scripted import Answer, Scenario, ScriptedTransport

from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress

MB = 1 << 20


class Frugal(ScriptedTransport):
    """A transport that answers after a second, and keeps nothing."""

    async def play(self, request: Request, progress: Progress) -> Response:
        progress.sent = True
        await trio.sleep(1.0)
        return Response(200, (), b"{}", 2)


async def peak_of(scenario: Scenario) -> int:
    """Return the peak of bytes in Python objects that a run adds."""
    gc.collect()
    tracemalloc.start()
    try:
        await scenario.play()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("key", ["url", "headers", "body"])
async def test_run_builds_large_requests_late(
    autojump_clock: trio.testing.MockClock, key: str
) -> None:
    """A waiting call keeps its record only; its request may be many times as large."""
    keys: dict[str, dict[str, Any]] = {
        "url": {"url": "http://api.test/{?t}"},
        "headers": {"headers": {"X-T": "{t}"}},
        "body": {"body": "[@, @, @, @]"},
    }
    records = [{"t": "x" * (100 << 10)} for _ in range(100)]
    scenario = Scenario(
        {"a": lambda _, __: Answer()},
        records,
        api={"limit": 2, **keys[key]},
        transport=Frugal,
    )
    # The JSON of every record, and the requests of the two under way.
    assert await peak_of(scenario) < 20 * MB
    assert scenario.run.statistics.ok == 100


async def test_run_counts_what_calls_keep_while_they_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A call between attempts keeps its last response, which may become the outcome."""

    class Large:
        def __call__(self, value: object, attempt: int) -> Answer:
            return Answer(0.01, 503, body=bytes(MB)) if attempt == 1 else Answer(body=b"{}")

    scenario = Scenario(
        {"a": Large()},
        list(range(60)),
        api={"limit": 2, "breaker": False, "retries": 3},
        window_bytes=4 * MB,
    )
    assert await peak_of(scenario) < 12 * MB
    assert scenario.run.statistics.ok == 60
