"""Tests of a configuration, run by the engine in virtual time."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio
import trio.testing

from tmux_fanout import Api
from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.core.testing.stand_ins import stand_ins_for
from tmux_fanout.core.testing.statement import ConfigTest, Reply
from tmux_fanout.core.testing.verdict import Observed
from tmux_fanout.engine.testing.running import run_test
from tmux_fanout.engine.testing.turns import Turns


def observed(
    keys: dict[str, Any], *replies: Reply, records: tuple[Any, ...] = (1,), **settings: Any
) -> Observed:
    """Return what becomes of records at one API."""
    apis = [Api("a", **{"url": "https://a.example/", **keys})]
    plan = plan_run(apis, RunSettings(**settings), stand_ins_for(apis))
    return run_test(plan, ConfigTest(number=1, records=records, replies={"a": replies}))


@pytest.mark.parametrize(
    ("keys", "url"),
    [
        ({"url": "${BASE}"}, "https://base.example/"),
        ({"url": "${BASE_URL}/v1"}, "https://base-url.example/v1"),
        ({"url": "${SCHEME}://${HOST}:${PORT}/"}, "https://host.example:8080/"),
        ({"url": "https://${REGION}.api.example.com/"}, "https://region.api.example.com/"),
        ({"url": "https://api-${REGION}/"}, "https://api-region/"),
        ({"url": "https://me:${PASSWORD}@${HOST}/"}, "https://host.example/"),
        ({"url": "https://a.example/${TENANT}/x?key=${KEY}"}, "https://a.example/tenant/x?key=key"),
        ({"url": "https://${file:/run/host}/"}, "https://file-run-host.example/"),
        ({"url": "/${X}", "endpoints": ["https://${HOST}"]}, "https://host.example/x"),
        ({"url": "${X}/y", "endpoints": ["https://a.example"]}, "https://a.example/x/y"),
    ],
)
def test_variables_in_urls_have_a_value_for_their_place(keys: dict[str, Any], url: str) -> None:
    """Whatever a variable is a part of, there is a valid URL."""
    [sent] = observed(keys, Reply()).sent
    assert sent.request.head.url == url


def test_virtual_time_takes_none() -> None:
    """A day of waiting is over at once."""
    started = time.process_time()
    result = observed(
        {"method": "GET"},
        *[Reply(delay=3600.0, status=500)] * 23,
        Reply(delay=3600.0, body=b"1"),
        retries=23,
        attempt_timeout="2h",
        timeout="30h",
    )
    assert result.results[0]["ok"]
    assert result.results[0]["results"]["a"]["seconds"] > 24 * 3600
    assert time.process_time() - started < 30


def test_runs_without_end_are_ended() -> None:
    """After thirty days of virtual time, a test says that it is not done."""
    result = observed({"timeout": "2000h", "attempt_timeout": "1000h"}, Reply(error="timeout"))
    assert result.ended.startswith("not done after ")
    assert result.results == []


def test_large_answers() -> None:
    """`max_response` holds."""
    [result] = observed({"max_response": 10}, Reply(body=b"x" * 11)).results
    assert result["results"]["a"]["error"]["kind"] == "too_large"


def test_traces_are_left_out() -> None:
    """Their numbers are random, and so would requests be."""
    [sent] = observed({"traceparent": True}, Reply()).sent
    assert "traceparent" not in dict(sent.request.head.headers)


def test_batches_are_whole() -> None:
    """Records that go through together share a request."""
    keys = {"batch": {"size": 3}}
    result = observed(keys, Reply(body=b"[1,2,3]"), records=(7, 8, 9))
    [sent] = result.sent
    assert sent.request.body == b"[7,8,9]"
    assert [each["results"]["a"]["body"] for each in result.results] == [1, 2, 3]


def test_results_of_unordered_runs_are_those_of_the_records() -> None:
    """Whichever is done first, results are in the order of the records."""
    replies = (Reply(delay=2.0, body=b"1"), Reply(delay=1.0, body=b"2"))
    result = observed({}, *replies, records=(1, 2), unordered=True)
    assert [each["results"]["a"]["body"] for each in result.results] == [1, 2]


async def test_turns_are_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """Tasks that are ready at the same time go by their keys, each after the one before."""
    turns = Turns()
    done: list[tuple[int, str]] = []

    async def take(number: int) -> None:
        await trio.sleep(1)
        await turns.wait((number,))
        done.append((number, "begun"))
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        done.append((number, "ended"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.hand_out)
        async with trio.open_nursery() as tasks:
            for number in (3, 1, 4, 2, 0):
                tasks.start_soon(take, number)
        nursery.cancel_scope.cancel()
    assert done == [(number, what) for number in range(5) for what in ("begun", "ended")]
    assert trio.current_time() == 1


async def test_cancelled_tasks_leave_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """Those whose time is over leave one by one, and even where nobody hands out turns."""
    turns = Turns()
    left: list[int] = []

    async def leave(number: int) -> None:
        with trio.move_on_after(1):
            try:
                await trio.sleep_forever()
            finally:
                await turns.leave((number,))
                left.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.hand_out)
        async with trio.open_nursery() as tasks:
            for number in (3, 1, 2, 0):
                tasks.start_soon(leave, number)
        nursery.cancel_scope.cancel()
    assert left == [0, 1, 2, 3]
    assert trio.current_time() == 1
    await leave(4)
    assert left[-1] == 4
