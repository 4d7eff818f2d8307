"""A share of the limits: nothing begins beyond it, nor after it is over, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from support.scripted import Answer, Scenario, ScriptedTransport, TasklessScripted, answers
from support.witness import callers, check_nothing_is_held

from tmux_fanout.core.dealing.shares import shared_limits
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.sharing.lease import Amounts

TRANSPORTS = pytest.mark.parametrize("transport", [ScriptedTransport, TasklessScripted])


class Changes:
    """Changes a scenario's share at given times.

    Args:
        scenario: the scenario, which `is_shared`.
        changes: when, the amounts, and until when they are good.
        is_new: whether nobody has had the first of these before.
    """

    def __init__(
        self, scenario: Scenario, *changes: tuple[float, Amounts, float], is_new: bool = True
    ) -> None:
        self._is_new = is_new
        self._scenario = scenario
        self._changes = changes

    async def play(self) -> None:
        """Run the scenario to its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._change)
            await self._scenario.play()
            nursery.cancel_scope.cancel()

    async def _change(self) -> None:
        share = self._scenario.share
        assert share
        for number, (time, amounts, until) in enumerate(self._changes):
            await trio.sleep_until(time)
            share.change(amounts, until, is_new=self._is_new and not number)


def sent_at(scenario: Scenario) -> list[float]:
    """Return when attempts were sent, rounded."""
    return [round(time, 3) for time, _ in scenario.transports["a"].sent_at]


def all_sent_at(scenario: Scenario) -> list[float]:
    """Return when attempts were sent to any API."""
    sent = [each for transport in scenario.transports.values() for each in transport.sent_at]
    return sorted(time for time, _ in sent)


def times(*spans: tuple[float, int]) -> list[float]:
    """Return moments, each so many times."""
    return [time for time, number in spans for _ in range(number)]


@TRANSPORTS
@pytest.mark.parametrize(
    ("api", "script"),
    [
        ({}, answers(Answer(0.3))),
        ({"retries": 9}, answers(*[Answer(0.3, 425)] * 3, Answer(0.3))),
        ({"batch": {"size": 2}}, answers(Answer(0.3))),
        ({"hedge": "100ms", "idempotent": True}, answers(Answer(0.3))),
        ({"rate": "50/s"}, answers(Answer(0.3))),
        ({"limit": {"min": 1, "max": 4}}, answers(Answer(0.3))),
    ],
    ids=["plain", "retries", "batches", "hedges", "rate", "adaptive"],
)
async def test_no_attempt_begins_after_the_share_is_over(
    autojump_clock: trio.testing.MockClock, transport: Any, api: dict[str, Any], script: Any
) -> None:
    """Whatever makes another attempt waits until there is a share again."""
    autojump_clock.jump(100.0)
    scenario = Scenario(
        {"a": script},
        list(range(60)),
        api={"limit": 4, **api},
        transport=transport,
        is_shared=True,
    )
    amounts = tuple(4 if kind == "slots" else 5 for kind in kinds(scenario))
    changes = [(101.0, amounts, 102.0), (110.0, amounts, 111.0), (120.0, amounts, 1e9)]
    await Changes(scenario, *changes).play()
    sent = sent_at(scenario)
    assert min(sent) == 101.0
    assert len(scenario.sink.results) == 60
    assert not [time for time in sent if 102.0 <= time < 110.0 or 111.0 <= time < 120.0]
    assert [time for time in sent if 110.0 <= time < 111.0]
    assert scenario.transports["a"].peak <= 4


def kinds(scenario: Scenario) -> Sequence[str]:
    api = scenario.plan.apis[0]
    return ["slots", *(["rate"] if api.rate else [])]


async def test_hedge_waits_for_the_share(autojump_clock: object) -> None:
    """An attempt that becomes slow after the share is over gets its hedge when there is another."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(20.0 if attempt == 1 and not value else 0.1)},
        list(range(30)),
        api={"hedge": "2s", "idempotent": True},
        is_shared=True,
    )
    await Changes(scenario, (0.0, (4,), 1.8), (5.0, (4,), 9.0)).play()
    assert sent_at(scenario)[30:] == [5.0]


@TRANSPORTS
async def test_smaller_share_is_seen_as_attempts_end(
    autojump_clock: object, transport: Any
) -> None:
    """Slots are given back, not passed on to the next calls."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))},
        list(range(20)),
        api={"limit": 8},
        transport=transport,
        is_shared=True,
    )
    await Changes(
        scenario, (0.0, (6,), 99.0), (0.5, (2,), 99.0), (2.5, (0,), 99.0), (5.5, (8,), 99.0)
    ).play()
    assert sent_at(scenario) == times((0.0, 6), (1.0, 2), (2.0, 2), (5.5, 8), (6.5, 2))
    assert scenario.share
    assert scenario.share.in_use() == (0,)


def short_at_first(value: int, attempt: int) -> Answer:
    """Lack open files for the first attempts of seven records; the limit then grows back slowly."""
    short = TransportError("connect", "no file", sent=False, transient=True, shortage="open files")
    return Answer(0.1, failure=short if 0 < value < 8 and attempt == 1 else None)


async def test_shortage_does_not_undo_a_smaller_share(autojump_clock: object) -> None:
    """The limit that grows back after a shortage ends at the share."""
    scenario = Scenario(
        {"a": short_at_first},
        list(range(60)),
        api={"limit": 8},
        is_shared=True,
    )
    await Changes(scenario, (0.0, (8,), 99.0), (0.45, (2,), 99.0)).play()
    later = [time for time in sent_at(scenario) if time > 0.6]
    assert max(later.count(time) for time in later) <= 2
    assert len(scenario.sink.results) == 60


async def test_limiter_keeps_a_token_where_a_share_is_lost_in_a_shortage(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions of trio refuse a limiter without tokens."""
    tokens = vars(trio.CapacityLimiter)["total_tokens"]

    def change(limiter: trio.CapacityLimiter, number: float) -> None:
        assert number >= 1
        tokens.fset(limiter, number)

    monkeypatch.setattr(trio.CapacityLimiter, "total_tokens", tokens.setter(change))
    scenario = Scenario(
        {"a": short_at_first},
        list(range(60)),
        api={"limit": 8},
        is_shared=True,
    )
    await Changes(scenario, (0.0, (8,), 99.0), (0.45, (0,), 99.0), (2.0, (8,), 99.0)).play()
    assert all(result.ok for result in scenario.sink.results)
    assert not [time for time in sent_at(scenario) if 0.45 < time < 2.0]


async def test_share_of_a_rate_changes_the_pace(autojump_clock: object) -> None:
    """Burst and pace are those of the share, and what it gains comes without a burst."""
    scenario = Scenario(
        {"a": answers(Answer())}, list(range(75)), api={"rate": "100/s"}, is_shared=True
    )
    await Changes(scenario, (0.0, (64, 5), 99.0), (1.0, (64, 10), 99.0)).play()
    sent = sent_at(scenario)
    assert sent.count(0.0) == 5
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(sent)]
    assert {gap for gap, time in zip(gaps, sent) if 0.0 < time < 0.95} == {0.02}
    assert sent.count(1.0) <= 1
    assert {gap for gap, time in zip(gaps, sent) if time > 1.02} == {0.01}


async def test_share_that_was_over_comes_without_a_burst(autojump_clock: object) -> None:
    """Meanwhile others may have used all of the rate."""
    scenario = Scenario(
        {"a": answers(Answer())}, list(range(40)), api={"rate": "100/s"}, is_shared=True
    )
    await Changes(scenario, (0.0, (64, 10), 0.05), (5.0, (64, 10), 99.0)).play()
    sent = sent_at(scenario)
    assert sent.count(0.0) == 10
    assert sent.count(5.0) == 0
    assert max(sent) == pytest.approx(5.0 + (40 - 15) / 100, abs=0.011)


@pytest.mark.parametrize(("is_new", "at_once"), [(True, 10), (False, 0)])
async def test_share_that_others_had_begins_without_a_burst(
    autojump_clock: object, is_new: bool, at_once: int
) -> None:
    """So it is for a worker that replaces another, also if its first grant comes early."""
    scenario = Scenario(
        {"a": answers(Answer())}, list(range(20)), api={"rate": "100/s"}, is_shared=True
    )
    assert scenario.share
    scenario.share.change((64, 10), 99.0, is_new=is_new)
    await scenario.play()
    assert sent_at(scenario).count(0.0) == at_once


async def test_first_share_may_be_nothing(autojump_clock: object) -> None:
    """What comes later has been others' until then."""
    scenario = Scenario(
        {"a": answers(Answer())}, list(range(20)), api={"rate": "100/s"}, is_shared=True
    )
    assert scenario.share
    scenario.share.change((0, 0), 99.0)
    await Changes(scenario, (1.0, (64, 10), 99.0), is_new=False).play()
    assert sent_at(scenario)[0] == pytest.approx(1.01)


async def test_endpoints_and_groups_are_shared(autojump_clock: object) -> None:
    """An endpoint has its own slots and rate; the APIs of a group have one rate."""
    endpoints = [{"url": "http://x.test", "limit": 8, "rate": "80/s"}, "http://y.test"]
    scenario = Scenario(
        {"a": answers(Answer(1.0)), "b": answers(Answer(1.0))},
        list(range(12)),
        api={"rate": "100/s", "rate_group": "g"},
        each={"a": {"url": "", "endpoints": endpoints}},
        is_shared=True,
    )
    limits = shared_limits(scenario.plan)
    assert [(each.kind, each.api, each.endpoint) for each in limits] == [
        ("slots", 0, None),
        ("rate", 0, None),
        ("slots", 0, 0),
        ("rate", 0, 0),
        ("slots", 1, None),
    ]
    amounts = (64, 10, 2, 4, 64)
    await Changes(scenario, (0.0, amounts, 0.5), (0.9, amounts, 99.0)).play()
    first = [url for url in scenario.transports["a"].urls[:12] if "x.test" in url]
    assert len(first) == 2
    assert len([1 for time in all_sent_at(scenario) if time == 0.0]) == 10


async def test_total_limit_is_shared(autojump_clock: object) -> None:
    """All APIs together keep to the share of the total limit, which may be nothing."""
    scenario = Scenario(
        {"a": answers(Answer(1.0)), "b": answers(Answer(1.0))},
        list(range(6)),
        total_limit=8,
        is_shared=True,
    )
    changes = [(0.0, (64, 64, 3), 99.0), (0.5, (64, 64, 0), 99.0), (3.0, (64, 64, 8), 99.0)]
    await Changes(scenario, *changes).play()
    assert all_sent_at(scenario) == times((0.0, 3), (3.0, 8), (4.0, 1))


async def test_budget_is_shared(autojump_clock: object) -> None:
    """A run whose share is spent goes on with a larger one."""
    scenario = Scenario(
        {"a": answers(Answer(1.0))},
        list(range(8)),
        api={"price": {"call": "1"}, "limit": 2},
        max_cost="100",
        is_shared=True,
    )
    one = 10**12
    await Changes(scenario, (0.0, (2, 100 * one), 99.0), (1.5, (2, 50 * one), 99.0)).play()
    assert scenario.share
    assert scenario.share.in_use() == (0, 8 * one)


async def test_share_of_a_budget_that_was_the_last_may_grow_again(autojump_clock: object) -> None:
    """What was left for all when this process asked is not all that it will ever get."""
    scenario = Scenario(
        {"a": answers(Answer(0.1))},
        list(range(20)),
        api={"limit": 2, "price": {"call": "1"}},
        max_cost="20",
        is_shared=True,
    )
    share, one = scenario.share, 10**12
    assert share

    async def change() -> None:
        share.change((2, 0), 99.0, is_new=True)
        await trio.sleep(1.0)
        share.change((2, 4 * one), 99.0, is_all=True)
        await trio.sleep(1.0)
        assert len(sent_at(scenario)) == 4
        assert share.is_short_of_budget
        share.change((2, 20 * one), 99.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        results = await scenario.play()
    assert all(result.ok for result in results)


async def test_task_that_runs_late_sends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """The process stands still after an attempt was begun and before its task runs."""
    scenario = Scenario({"a": answers(Answer(0.1))}, list(range(3)), is_shared=True)
    assert scenario.share
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        await trio.testing.wait_all_tasks_blocked()
        scenario.share.change((64,), trio.current_time() + 1.0, is_new=True)
        autojump_clock.jump(2.0)
        await trio.testing.wait_all_tasks_blocked()
        assert scenario.transports["a"].sent_at == []
        assert scenario.share.in_use() == (3,)
        scenario.share.change((64,), trio.current_time() + 1.0)
    assert len(scenario.sink.results) == 3
    assert scenario.share.in_use() == (0,)


@TRANSPORTS
async def test_run_that_is_stopped_without_a_share_gives_everything_back(
    autojump_clock: trio.testing.MockClock, transport: Any
) -> None:
    """Attempts that wait for a share are cancelled as all others are, and none is sent."""
    scenario = Scenario(
        {"a": answers(Answer(0.1))},
        list(range(3)),
        api={"idempotent": False},
        transport=transport,
        is_shared=True,
    )
    assert scenario.share
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario.play)
        await trio.testing.wait_all_tasks_blocked()
        if transport is ScriptedTransport:
            scenario.share.change((2,), trio.current_time() + 1.0, is_new=True)
            autojump_clock.jump(2.0)
            await trio.testing.wait_all_tasks_blocked()
        scenario.run.abort(Ending.SIGINT)
    assert scenario.errors("a") == ["cancelled"] * 3
    assert not any(b"ambiguous" in line for line in scenario.lines)
    assert scenario.transports["a"].sent_at == []
    [caller] = callers(scenario)
    check_nothing_is_held(caller)
