"""A run whose limits and rates change while it lasts, as `--live` does it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario, TasklessScripted, answers
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.tuning.tuning import parse_tuning

TRANSPORTS = pytest.mark.parametrize("more", [{}, {"transport": TasklessScripted}])


async def play(scenario: Scenario, changes: dict[float, str]) -> dict[float, int]:
    """Play a scenario, and change it at times; return how many attempts had begun by then."""
    start = trio.current_time()
    (transport,) = scenario.transports.values()
    begun = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        for time, text in changes.items():
            await trio.sleep_until(start + time)
            begun[time] = len(transport.sent_at)
            scenario.run.tune(parse_tuning(text, scenario.plan))
    return begun


@TRANSPORTS
async def test_rate_falls_to_a_tenth_and_rises_again(
    autojump_clock: trio.abc.Clock, more: dict[str, Any]
) -> None:
    """Attempts keep to the rate of the moment."""
    scenario = Scenario({"a": answers(Answer())}, range(3000), api={"rate": "100/s"}, **more)
    changes = {0.0: "", 10.005: 'rate = "10/s"', 20.005: "", 30.005: ""}
    begun = await play(scenario, changes)
    first, second, third = (begun[time] for time in (10.005, 20.005, 30.005))
    assert first == pytest.approx(1010, abs=3)
    assert second - first == pytest.approx(100, abs=3)
    assert third - second == pytest.approx(1000, abs=12)


@TRANSPORTS
@pytest.mark.parametrize("text", ["limit = 2", "total_limit = 2"])
async def test_limit_falls_and_rises_again(
    autojump_clock: trio.abc.Clock, more: dict[str, Any], text: str
) -> None:
    """Slots that are taken beyond the limit are waited for, and given out again later."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))}, range(400), api={"limit": 10}, total_limit=10, **more
    )
    begun = await play(scenario, {4.5: text, 14.5: "", 24.5: ""})
    assert begun == {4.5: 50, 14.5: 70, 24.5: 170}
    assert scenario.sink.indexes == list(range(400))


@TRANSPORTS
@pytest.mark.parametrize("text", ["limit = 30", "total_limit = 30\nlimit = 30"])
async def test_limit_rises_above_what_the_run_began_with(
    autojump_clock: trio.abc.Clock, more: dict[str, Any], text: str
) -> None:
    """So a run may begin slowly."""
    total: dict[str, Any] = {"total_limit": 10} if "total" in text else {}
    scenario = Scenario({"a": answers(Answer(1.0))}, range(800), api={"limit": 10}, **total, **more)
    begun = await play(scenario, {4.5: text, 14.7: "", 24.7: ""})
    assert begun == {4.5: 50, 14.7: 370, 24.7: 470}


async def test_rate_rises_above_what_the_run_began_with(autojump_clock: trio.abc.Clock) -> None:
    """That of a group as well."""
    scenario = Scenario({"a": answers(Answer())}, range(9000), api={"rate": "10/s"})
    changes = {0.0: "", 10.005: 'rate = "500/s"', 20.005: "", 30.005: ""}
    begun = await play(scenario, changes)
    first, second, third = (begun[time] for time in (10.005, 20.005, 30.005))
    assert first == pytest.approx(101, abs=3)
    assert second - first == pytest.approx(5000, abs=60)
    assert third - second == pytest.approx(100, abs=12)


@TRANSPORTS
async def test_pause_lets_nothing_begin(
    autojump_clock: trio.abc.Clock, more: dict[str, Any]
) -> None:
    """While an API is paused its attempts under way end, and no other begins."""
    scenario = Scenario({"a": answers(Answer(1.0))}, range(100), api={"limit": 10}, **more)
    begun = await play(scenario, {0.5: "paused = true", 50.5: "", 52.0: ""})
    assert begun == {0.5: 10, 50.5: 10, 52.0: 30}


async def test_limit_falls_on_what_a_share_allows(autojump_clock: trio.abc.Clock) -> None:
    """A worker that has a share of the limit uses a part of that, also where the share changes."""
    scenario = Scenario({"a": answers(Answer(1.0))}, range(100), api={"limit": 10}, is_shared=True)
    assert scenario.share
    scenario.share.change((8,), 1e9, is_new=True)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        scenario.run.tune(parse_tuning("limit = 5", scenario.plan))
        await trio.sleep_until(start + 0.5)
        (backend,) = scenario.backends
        assert backend.callers[0].in_flight == 4
        scenario.share.change((10,), 1e9)
        await wait_all_tasks_blocked()
        assert backend.callers[0].in_flight == 5
        scenario.share.change((0,), 1e9)
        await trio.sleep(2)
        assert backend.callers[0].in_flight == 0
        scenario.share.change((10,), 1e9)
        await wait_all_tasks_blocked()
        assert backend.callers[0].in_flight == 5
        nursery.cancel_scope.cancel()
