"""Several workers make the calls of a run, in virtual time."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from support.members import MembersScenario, MemoryPipe
from support.scripted import Answer, Scenario, answers

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.sharing.lease import Grant
from tmux_fanout.engine.calls.sharing.share import Share
from tmux_fanout.engine.workers.member.leaseholder import Leaseholder
from tmux_fanout.engine.workers.member.reports import Reporter
from tmux_fanout.engine.workers.pipes import PipeEnd


def sometimes_slow(value: Any, attempt: int) -> Answer:
    """Answer in 20 ms, and each hundredth in a second."""
    return Answer(1.0 if value % 100 == 37 else 0.02)


async def seconds_of(scenario: Scenario | MembersScenario) -> float:
    began = trio.current_time()
    results = await scenario.play()
    assert [result.index for result in results] == list(range(len(results)))
    return trio.current_time() - began


async def test_window_is_stretched_as_that_of_one_process(autojump_clock: object) -> None:
    """Slow answers at the head of the line keep no slot idle: it took more than twice as long."""
    alone = await seconds_of(Scenario({"a": sometimes_slow}, list(range(4000))))
    shared = await seconds_of(MembersScenario({"a": sometimes_slow}, list(range(4000))))
    assert shared < 1.15 * alone


async def test_share_of_a_killed_worker_goes_on(autojump_clock: object) -> None:
    """The limit is never passed, and used as a whole again soon after the death."""
    scenario = MembersScenario({"a": answers(Answer(0.1))}, list(range(3000)), api={"limit": 9})
    in_flight: list[int] = []

    async def kill_and_watch() -> None:
        await trio.sleep(2.05)
        scenario.members[1].kill()
        for _ in range(40):
            await trio.sleep(0.1)
            in_flight.append(scenario.sites["a"].in_flight)

    results = await scenario.play(kill_and_watch)
    assert len(scenario.members) == 4
    assert all(result.ok for result in results)
    assert scenario.sites["a"].peak == 9
    assert in_flight[0] == 6
    assert in_flight[-10:] == [9] * 10
    assert {member for time, member in scenario.sent_at() if time > 4.0} == {0, 2, 3}


async def test_survivors_share_what_a_worker_had_that_is_not_replaced(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits follow the living."""
    monkeypatch.setattr("tmux_fanout.engine.workers.restarts.restart_delay", lambda *_, **__: None)
    scenario = MembersScenario({"a": answers(Answer(0.1))}, list(range(3000)), api={"limit": 9})

    async def kill() -> None:
        await trio.sleep(2.05)
        scenario.members[1].kill()
        await trio.sleep(10.0)
        assert scenario.sites["a"].in_flight == 9

    results = await scenario.play(kill)
    assert all(result.ok for result in results)
    assert scenario.sites["a"].peak == 9


@pytest.mark.parametrize("rate", ["100/s", "30/s"])
async def test_rate_holds_while_workers_die(autojump_clock: object, rate: str) -> None:
    """Never more than rate x t and the burst, whoever makes the attempts."""
    scenario = MembersScenario({"a": answers(Answer(0.05))}, list(range(900)), api={"rate": rate})

    async def kill_some() -> None:
        for index in (0, 1, 2, 3):
            await trio.sleep(1.3)
            scenario.members[index].kill()

    results = await scenario.play(kill_some)
    assert len(results) == 900
    number = float(rate.partition("/")[0])
    sent = [time for time, _ in scenario.sent_at()]
    for index, start in enumerate(sent):
        for later in range(index, len(sent)):
            assert later - index + 1 <= number * (sent[later] - start) + 0.1 * number + 1e-6


async def test_more_workers_than_slots(autojump_clock: object) -> None:
    """Some stand by, and take the place of one that dies."""
    scenario = MembersScenario(
        {"a": answers(Answer(0.1))}, list(range(200)), api={"limit": 2}, workers=4
    )

    async def kill() -> None:
        await trio.sleep(3.05)
        scenario.members[0].kill()

    results = await scenario.play(kill)
    assert [result.index for result in results] == list(range(200))
    assert scenario.sites["a"].peak == 2
    first = {member for time, member in scenario.sent_at() if time < 3.0}
    later = {member for time, member in scenario.sent_at() if time > 6.0}
    assert (first, later) == ({0, 1}, {1, 2})


async def test_pause_that_one_worker_is_asked_for_binds_all(autojump_clock: object) -> None:
    """An API that says "come again in 10 s" to one is left alone by all, those that join too."""
    used_up = ((b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"10"))
    asked_at: list[float] = []

    def answer(value: Any, attempt: int) -> Answer:
        now = trio.current_time()
        if not asked_at and now > 2.0:
            asked_at.append(now + 0.05)
            return Answer(0.05, headers=used_up)
        return Answer(0.05)

    scenario = MembersScenario({"a": answer}, list(range(3000)), api={"limit": 12})

    async def kill() -> None:
        await trio.sleep(6.0)
        scenario.members[1].kill()

    results = await scenario.play(kill)
    assert all(result.ok for result in results)
    [paused_at] = asked_at
    sent = [time for time, _ in scenario.sent_at()]
    assert not [time for time in sent if paused_at + 0.05 < time < paused_at + 9.95]
    assert [time for time in sent if time > paused_at + 9.95]


async def test_outage_is_probed_by_one_worker(autojump_clock: object) -> None:
    """While the API is down, all workers together make hardly more probes than one would."""
    refused = TransportError("connect", "refused", sent=False, transient=True)
    probes = []
    for workers in (1, 4):
        began = trio.current_time()

        def answer(value: Any, attempt: int, began: float = began) -> Answer:
            is_down = 2.0 < trio.current_time() - began < 40.0
            return Answer(0.05, failure=refused if is_down else None)

        scenario = MembersScenario(
            {"a": answer}, list(range(1500)), api={"limit": 16}, workers=workers
        )
        results = await scenario.play()
        assert all(result.ok for result in results)
        sent = [time - began for time, _ in scenario.sent_at()]
        probes.append(len([time for time in sent if 5.0 < time < 39.0]))
        assert max(sent) < 55.0
    assert probes[1] <= probes[0] + 3


async def test_budget_is_spent_by_all_workers_together(autojump_clock: object) -> None:
    """What one leaves goes to the others, and the run ends when nothing more can be paid for."""
    scenario = MembersScenario(
        {"a": answers(Answer(0.1))},
        list(range(500)),
        api={"limit": 9, "price": {"call": "1"}},
        max_cost="100",
    )
    results = await scenario.play()
    assert scenario.run.ending is Ending.COST_LIMIT
    assert len(results) == 500
    assert 97 < len(scenario.sent_at()) <= 100
    assert sum(result.ok for result in results) == len(scenario.sent_at())


async def test_budget_of_billions_is_shared(autojump_clock: object) -> None:
    """Messages hold amounts up to 2**64, and there are 10**12 parts to each unit of money."""
    scenario = MembersScenario(
        {"a": answers(Answer(0.1))},
        list(range(500)),
        api={"limit": 9, "price": {"call": "9999999"}},
        max_cost="999999999",
    )
    results = await scenario.play()
    assert scenario.run.ending is Ending.COST_LIMIT
    assert 97 < len(scenario.sent_at()) <= 100
    assert len(results) == 500


async def test_worker_that_is_cut_off_begins_nothing_after_its_lease(
    autojump_clock: object,
) -> None:
    """Others have its share by then; in touch again, it gets one again, and ends what it had."""
    scenario = MembersScenario(
        {"a": answers(Answer(0.5))}, list(range(900)), api={"limit": 6}, workers=2
    )
    in_flight: list[int] = []

    async def cut_off() -> None:
        await trio.sleep(2.2)
        scenario.members[1].cut_off()
        await trio.sleep(20.0)
        in_flight.append(scenario.sites["a"].in_flight)
        scenario.members[1].mend()
        await trio.sleep(3.2)
        in_flight.append(scenario.sites["a"].in_flight)

    results = await scenario.play(cut_off)
    assert [result.index for result in results] == list(range(900))
    assert all(result.ok for result in results)
    assert scenario.sites["a"].peak == 6
    own = [time for time, member in scenario.sent_at() if member == 1]
    assert not [time for time in own if 12.3 < time < 22.2]
    assert [time for time in own if 9.0 < time < 12.0]
    assert [time for time in own if time > 22.2]
    assert in_flight == [6, 6]


async def test_replacement_gets_a_part_of_the_budget(autojump_clock: object) -> None:
    """What the dead one had is spent; the other one gives up a part of what it has left."""
    scenario = MembersScenario(
        {"a": answers(Answer(1000.0))},
        list(range(80)),
        api={"limit": 64, "price": {"call": "0.01"}, "attempt_timeout": 2000, "timeout": 3000},
        workers=2,
        max_cost="2",
    )
    sent: list[int] = []

    async def kill() -> None:
        await trio.sleep(5.0)
        scenario.members[0].kill()
        await trio.sleep(20.0)
        sent.append(len([1 for _, member in scenario.sent_at() if member == 2]))

    await scenario.play(kill)
    assert sent == [32]


async def test_slow_attempts_of_a_worker_that_is_cut_off_count_to_their_end(
    autojump_clock: object,
) -> None:
    """They go on when its lease is over: nobody else gets their slots before."""
    scenario = MembersScenario(
        {"a": lambda value, _: Answer(3.0 + value % 7 / 10)},
        list(range(300)),
        api={"limit": 6},
        workers=2,
    )

    async def cut_off() -> None:
        await trio.sleep(5.2)
        scenario.members[1].cut_off()
        await trio.sleep(30.0)
        assert scenario.sites["a"].in_flight == 6
        scenario.members[1].mend()

    results = await scenario.play(cut_off)
    assert all(result.ok for result in results)
    assert scenario.sites["a"].peak == 6


@pytest.mark.parametrize("late", [0.9, None])
async def test_deadline_waits_a_second_for_the_report_of_a_worker(
    autojump_clock: object, late: float | None
) -> None:
    """On a loaded machine a worker may answer late; one that is stopped is killed after that."""
    scenario = MembersScenario(
        {"a": answers(Answer(1000.0))},
        list(range(60)),
        api={"limit": 6, "attempt_timeout": 2000, "timeout": 3000},
        workers=2,
        deadline=5,
    )

    async def cut_off() -> None:
        await trio.sleep(4.0)
        scenario.members[0].cut_off()
        if late:
            await trio.sleep(1.0 + late)
            scenario.members[0].mend()

    began = trio.current_time()
    results = await scenario.play(cut_off)
    kinds = [error.kind for result in results if (error := result["a"].error)]
    notices = [notice for notice in scenario.notices if "is not responding and is killed" in notice]
    assert len(kinds) == 60
    assert (set(kinds), len(notices)) == (
        ({"deadline"}, 0) if late else ({"cancelled", "deadline"}, 1)
    )
    assert trio.current_time() - began == pytest.approx(5.0 + (late or 1.2), abs=0.1)


async def test_counts_of_a_worker_that_ends_late_are_added(autojump_clock: object) -> None:
    """On a loaded machine the last report of a worker may take seconds."""
    scenario = MembersScenario(
        {"a": lambda value, _: Answer(3.0 if value == 19 else 0.1)},
        list(range(20)),
        api={"limit": 4},
        workers=2,
    )

    async def cut_off() -> None:
        await trio.sleep(0.9)
        [idle] = [member for member in scenario.members if not member.transports[0].in_flight]
        idle.cut_off()
        await trio.sleep(6.0)
        idle.mend()

    results = await scenario.play(cut_off)
    assert all(result.ok for result in results)
    assert scenario.run.statistics.apis[0].calls == 20


async def test_member_without_a_share_begins_nothing() -> None:
    """Until its first share comes, its limits are still those of the whole run."""
    plan = plan_run([Api("a", "http://api.test/", limit=9)], RunSettings(), {})
    for amount, may_begin in ((0, False), (3, True)):
        share = Share(plan)
        pipe = cast(PipeEnd, MemoryPipe())
        Leaseholder(pipe, share, Grant(0, (amount,), 10.0, 0.0), lambda: True)
        assert (share.fence.until > trio.current_time()) is may_begin


@pytest.mark.parametrize("records", [6, 7, 10, 20])
@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_a_run_whose_budget_is_spent_with_its_last_records_ends_for_that(
    autojump_clock: object, records: int, workers: int
) -> None:
    """However many workers share it: what was not sent is cancelled, to be resumed."""
    scenario = MembersScenario(
        {"a": answers(Answer(0.1))},
        list(range(records)),
        api={"limit": 4, "price": {"call": "1"}},
        workers=workers,
        max_cost="5",
    )
    results = await scenario.play()
    assert 0 < sum(result.ok for result in results) <= 5
    assert scenario.run.ending is Ending.COST_LIMIT


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_run_ends_for_its_budget_whatever_a_worker_reports_afterwards(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """The last records are settled, and the run is over, before the last counts come."""
    report = Reporter.report
    ready: set[Reporter] = set()

    async def report_late(reporter: Reporter, *, always: bool = False) -> None:
        if reporter in ready:
            await trio.sleep(5.0)
        ready.add(reporter)
        await report(reporter, always=always)

    monkeypatch.setattr(Reporter, "report", report_late)
    scenario = MembersScenario(
        {"a": answers(Answer(0.1))},
        list(range(8)),
        api={"limit": 4, "price": {"call": "1"}},
        workers=workers,
        max_cost="5",
    )
    await scenario.play()
    assert scenario.run.ending is Ending.COST_LIMIT


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_one_call_passes_the_burst_of_a_rate_however_many_workers_there_are(
    autojump_clock: object, workers: int
) -> None:
    """At no time have more tokens been sent than rate x t, the burst and one call."""
    scenario = MembersScenario(
        {"a": answers(Answer(0.05))},
        list(range(40)),
        api={"rate": {"tokens": "100/s"}, "cost": "`200`"},
        workers=workers,
    )
    results = await scenario.play()
    assert all(result.ok for result in results)
    sent = [time for time, _ in scenario.sent_at()]
    assert len(sent) == 40
    for number, time in enumerate(sent, 1):
        assert 200 * number <= 100 * time + 10 + 200 + 1e-6
    assert trio.current_time() < 85.0
