"""APIs whose hosts come from their records: bounds, health and memory of each host."""

from __future__ import annotations

import gc
import itertools
from typing import Any

import pytest
import trio
from support.cancelling import cancelled_after
from support.hosts import HostTransport, TasklessHostTransport, urls
from support.scripted import Answer, ListSink, ListSource, Scenario, Script, answers
from support.witness import check_nothing_is_held

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.tuning.tuning import ApiTuning, Tuning
from tmux_fanout.engine.calls.hosts import callers
from tmux_fanout.engine.calls.hosts.alarms import Timer, Timers
from tmux_fanout.engine.calls.hosts.callers import HostCallers
from tmux_fanout.engine.calls.hosts.host import Host

API: dict[str, Any] = {"url": "{+url}", "hosts": ["*"], "idempotent": True}


def scenario(script: Script, values: Any = (), **settings: Any) -> Scenario:
    api = {**API, **settings.pop("api", {})}
    transport = settings.pop("transport", HostTransport)
    return Scenario({"page": script}, values, api=api, transport=transport, **settings)


def transport_of(run: Scenario) -> HostTransport:
    transport = run.transports["page"]
    assert isinstance(transport, HostTransport)
    return transport


def callers_of(run: Scenario) -> HostCallers:
    [caller] = run.backends[0].callers
    assert isinstance(caller, HostCallers)
    return caller


@pytest.mark.parametrize("transport", [HostTransport, TasklessHostTransport])
async def test_each_host_has_its_own_limit(autojump_clock: Any, transport: Any) -> None:
    """Three hosts with ten calls of a second, two at a time, take five seconds together."""
    run = scenario(
        answers(Answer(1.0)),
        urls(["a.test", "b.test", "c.test"], 10),
        api={"host_limit": 2},
        transport=transport,
    )
    results = await run.play()
    assert all(result.ok for result in results)
    assert [result.index for result in results] == list(range(30))
    assert transport_of(run).seen.peaks == {"a.test": 2, "b.test": 2, "c.test": 2}
    assert trio.current_time() == pytest.approx(5.0)
    check_nothing_is_held(callers_of(run))


async def test_a_slow_host_holds_up_only_its_own_calls(autojump_clock: Any) -> None:
    """While one host takes an hour, all calls to others are made within seconds."""
    slow = {"url": "http://slow.test/"}
    quick = urls([f"h{i}.test" for i in range(20)], 10)
    run = scenario(
        lambda value, _: Answer(3600.0 if value == slow else 0.1),
        [slow] * 10 + quick,
        api={"host_limit": 2, "attempt_timeout": "2h", "timeout": "2h"},
        limit=10,
    )
    results = await run.play()
    assert all(result.ok for result in results)
    sent_at = [time for time, value in transport_of(run).sent_at if value != slow]
    assert len(sent_at) == 200
    assert max(sent_at) < 5.0


async def test_the_limit_of_the_api_bounds_all_hosts(autojump_clock: Any) -> None:
    """The API's limit holds over any number of hosts, which take turns."""
    run = scenario(
        answers(Answer(1.0)), urls([f"h{i}.test" for i in range(50)], 2), api={"limit": 5}
    )
    await run.play()
    assert transport_of(run).peak == 5
    assert trio.current_time() == pytest.approx(20.0)


async def test_the_total_limit_bounds_hosts_and_other_apis(autojump_clock: Any) -> None:
    """A total limit holds over an API with hosts and one without, and neither starves."""
    run = Scenario(
        {"page": answers(Answer(1.0)), "other": answers(Answer(1.0))},
        urls([f"h{i}.test" for i in range(20)], 1),
        each={"page": API},
        total_limit=4,
    )
    results = await run.play()
    assert all(result.ok for result in results)
    assert trio.current_time() == pytest.approx(10.0)
    assert max(each.peak for each in run.transports.values()) <= 4


async def test_each_host_has_its_own_rate(autojump_clock: Any) -> None:
    """`host_rate` spaces the attempts at one host, and at none other."""
    run = scenario(answers(Answer()), urls(["a.test", "b.test"], 5), api={"host_rate": "2/s"})
    await run.play()
    began = transport_of(run).seen.began
    assert began["a.test"] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])
    assert began["b.test"] == pytest.approx(began["a.test"])


async def test_the_rate_of_the_api_bounds_all_hosts(autojump_clock: Any) -> None:
    """`rate` spaces the attempts over all hosts."""
    run = scenario(
        answers(Answer()), urls([f"h{i}.test" for i in range(30)], 1), api={"rate": "10/s"}
    )
    await run.play()
    began = sorted(time for times in transport_of(run).seen.began.values() for time in times)
    assert began == pytest.approx([i / 10 for i in range(30)])
    held = run.run.statistics.apis[0].held.seconds
    assert held["rate"] > 2.5
    assert held["limit"] == 0.0


async def test_a_pause_is_for_the_host_that_asks(autojump_clock: Any) -> None:
    """Retry-After holds back the calls to one host; those to the other go on."""

    def script(value: Any, attempt: int) -> Answer:
        if value == {"url": "http://a.test/0"} and attempt == 1:
            return Answer(0.1, 503, headers=((b"retry-after", b"20"),))
        return Answer(0.1)

    run = scenario(script, urls(["a.test", "b.test"], 5), api={"host_limit": 1})
    results = await run.play()
    assert all(result.ok for result in results)
    began = transport_of(run).seen.began
    assert max(began["b.test"]) < 1.0
    assert began["a.test"][0] == 0.0
    assert min(began["a.test"][1:]) >= 20.0


async def test_a_dead_host_ends_its_calls_and_not_the_run(autojump_clock: Any) -> None:
    """Calls to a host that never served fail within seconds; the run goes on to its end."""
    refused = TransportError("connect", "connection refused", sent=False, transient=True)

    def script(value: Any, _: int) -> Answer:
        return Answer(failure=refused) if "dead" in value["url"] else Answer(0.1)

    notices: list[str] = []
    run = scenario(script, urls(["dead.test", "b.test"], 30), notify=notices.append)
    results = await run.play()
    assert [result.ok for result in results] == [False, True] * 30
    kinds = {result["page"].error.kind for result in results[::2] if result["page"].error}
    assert kinds <= {"connect", "breaker_open"}
    assert trio.current_time() < 30.0
    assert any("page: http://dead.test" in line for line in notices)


async def test_hosts_without_calls_are_forgotten(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 3,000 hosts only so many are known at any time."""
    monkeypatch.setattr(callers, "MAX_IDLE", 16)
    known: list[int] = []
    alive: list[int] = []

    class Sink(ListSink):
        async def put(self, results: Any) -> None:
            known.append(callers_of(run).hosts)
            await super().put(results)
            if len(self.results) > 2900 and not alive:
                alive.append(_hosts_in_memory())

    chunks = [(0.0, [{"url": f"http://h{n}-{i}.test/"} for i in range(50)]) for n in range(60)]
    run = scenario(
        answers(Answer(0.01)), source=ListSource(chunks), sink=Sink(), window=100, limit=50
    )
    results = await run.play()
    assert len(results) == 3000
    assert max(known) <= 100 + 16
    assert alive[0] <= 100 + 16
    assert len(run.run.statistics.apis[0].hosts.busiest()) == 20


async def test_forgotten_hosts_are_freed(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need not wait for a search for cycles, which is rare in a run."""
    monkeypatch.setattr(callers, "MAX_IDLE", 16)
    monkeypatch.setattr(callers, "COLLECT_AFTER", 200)
    chunks = [(0.0, [{"url": f"http://h{n}-{i}.test/"} for i in range(50)]) for n in range(40)]
    run = scenario(answers(Answer(0.01)), source=ListSource(chunks), window=100, limit=50)
    gc.collect()
    gc.disable()
    try:
        assert len(await run.play()) == 2000
        assert _hosts_alive() <= 200 + 100 + 16
    finally:
        gc.enable()


async def test_cancelled_timers_are_dropped() -> None:
    """They do not wait for their time, which may be hours away."""
    async with trio.open_nursery() as nursery:
        timers = Timers(nursery)
        kept = Timer(timers, print)
        kept.set(trio.current_time() + 3600)
        for _ in range(5000):
            timer = Timer(timers, print)
            timer.set(trio.current_time() + 3600)
            timer.cancel()
        assert len(timers._entries) <= 1002
        assert kept._entry in timers._entries
        nursery.cancel_scope.cancel()


def _hosts_in_memory() -> int:
    gc.collect()
    return _hosts_alive()


def _hosts_alive() -> int:
    return sum(isinstance(each, Host) for each in gc.get_objects())


@pytest.mark.parametrize("transport", [HostTransport, TasklessHostTransport])
async def test_cancellation_at_any_step_leaves_nothing(autojump_clock: Any, transport: Any) -> None:
    """Wherever a run is cancelled, no slot, attempt or alarm is left."""

    def script(value: Any, attempt: int) -> Answer:
        if value["url"] == "http://a.test/1":
            return Answer(0.1, 503, headers=((b"retry-after", b"1"),)) if attempt == 1 else Answer()
        return Answer(0.5)

    for steps in itertools.count(0, 5):
        run = scenario(
            script,
            urls(["a.test", "b.test", "c.test"], 3),
            api={"host_limit": 1, "host_rate": "5/s"},
            transport=transport,
            limit=2,
        )
        was_interrupted = await cancelled_after(steps, run.play)
        for backend in run.backends:
            check_nothing_is_held(backend.callers[0])
        if not was_interrupted:
            break
    assert steps > 20


async def test_a_host_that_paused_is_remembered(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that asked for a pause is not forgotten before that is over."""
    monkeypatch.setattr(callers, "MAX_IDLE", 4)
    first = {"url": "http://first.test/"}

    def script(value: Any, _: int) -> Answer:
        if value == first:
            return Answer(0.0, 429, headers=((b"retry-after", b"30"),))
        return Answer(0.1)

    others = urls([f"h{i}.test" for i in range(30)], 1)
    source = ListSource([(0.0, [first]), (1.0, others), (1.0, [first])])
    run = scenario(script, source=source, retries=0)
    await run.play()
    began = transport_of(run).seen.began["first.test"]
    assert began[1] - began[0] >= 30.0


async def test_a_record_that_names_no_host_fails_alone(autojump_clock: Any) -> None:
    """What cannot be called is one failed record, whose message says why."""
    values = [{"url": "http://a.test/"}, {"url": "http://10.0.0.1/"}, {"url": "x"}, {}]
    results = await scenario(answers(Answer()), values).play()
    assert [result.ok for result in results] == [True, False, False, False]
    messages = [result["page"].error.message for result in results[1:] if result["page"].error]
    assert "10.0.0.1 is not public" in messages[0]
    assert "not an http or https URL" in messages[1]
    assert "no field url" in messages[2]


async def test_deadline_gives_every_record_its_line(autojump_clock: Any) -> None:
    """Calls that are under way, wait or could not be built are all settled at a deadline."""
    values = [*urls(["a.test", "b.test"], 10), {}]
    run = scenario(answers(Answer(60.0)), values, api={"host_limit": 1}, deadline=5)
    results = await run.play()
    assert len(results) == 21
    assert run.errors("page") == ["deadline"] * 20 + ["template"]
    check_nothing_is_held(callers_of(run))


async def test_calls_are_lost_to_others(autojump_clock: Any) -> None:
    """Under `first`, calls to hosts are cancelled or taken from their queues, and leave nothing."""
    run = Scenario(
        {"page": answers(Answer(60.0)), "other": answers(Answer(0.1))},
        urls(["a.test"], 10),
        each={"page": {**API, "host_limit": 2}},
        join="first",
    )
    results = await run.play()
    assert all(result.ok for result in results)
    assert run.errors("page") == ["lost"] * 10
    assert trio.current_time() < 1.0
    check_nothing_is_held(run.backends[0].callers[0])


async def test_urls_come_from_other_apis(autojump_clock: Any) -> None:
    """A URL that another API returned is called like one of the record."""
    run = Scenario(
        {
            "find": answers(Answer(body=b'{"next": "http://found.test/x"}')),
            "page": answers(Answer(0.1)),
        },
        [{"id": 1}],
        each={"page": {**API, "url": "{+_results.find.body.next}", "after": ["find"]}},
    )
    [result] = await run.play()
    assert result.ok
    assert run.transports["page"].urls == ["http://found.test/x"]


async def test_an_api_with_hosts_can_be_paused_and_tuned(autojump_clock: Any) -> None:
    """The user may pause the API as a whole, and let it go on with fewer slots."""
    run = scenario(answers(Answer(1.0)), urls([f"h{i}.test" for i in range(20)], 1), limit=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.play)
        await trio.sleep(0.5)
        backend = run.backends[0]
        backend.tune(Tuning((ApiTuning(limit=0.5, rate=1.0, paused=True),), 1.0))
        await trio.sleep(9.5)
        assert len(transport_of(run).urls) == 10
        backend.tune(Tuning((ApiTuning(limit=0.5, rate=1.0, paused=False),), 1.0))
    assert trio.current_time() == pytest.approx(12.0)


async def test_a_share_of_the_limit_bounds_all_hosts(autojump_clock: Any) -> None:
    """Of several processes, each keeps to its share of the API's limit, and to none at first."""
    run = scenario(
        answers(Answer(1.0)), urls([f"h{i}.test" for i in range(8)], 1), limit=8, is_shared=True
    )
    assert run.share
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.play)
        await trio.sleep(5.0)
        assert transport_of(run).urls == []
        run.share.change((2,), trio.current_time() + 100.0, is_new=True)
        assert run.share.in_use() == (2,)
    assert transport_of(run).peak == 2
    assert trio.current_time() == pytest.approx(9.0)


async def test_calls_are_counted_by_host(autojump_clock: Any) -> None:
    """The statistics have the busiest hosts by name, with their calls and failures."""
    run = scenario(
        lambda value, _: Answer(0.5, 404 if "b.test" in value["url"] else 200),
        urls(["a.test", "b.test"], 3) + urls(["a.test"], 1),
    )
    await run.play()
    counted = run.run.statistics.apis[0].hosts.busiest()
    shown = [(each.host, each.calls, each.attempts, each.not_ok, each.mean) for each in counted]
    assert shown == [("http://a.test", 4, 4, 0, 0.5), ("http://b.test", 3, 3, 3, 0.5)]


async def test_reports_show_the_hosts_that_are_not_well(autojump_clock: Any) -> None:
    """The load of the API names the hosts in use, those that are not well first."""

    def script(value: Any, _: int) -> Answer:
        paused = Answer(0.0, 503, headers=((b"retry-after", b"20"),))
        return paused if "bad" in value["url"] else Answer(5.0)

    run = scenario(script, urls([f"h{i}.test" for i in range(30)], 1) + urls(["bad.test"], 2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.play)
        await trio.sleep(1.0)
        [load] = run.backends[0].loads()
        assert len(load.endpoints) == 20
        assert load.endpoints[0].name == "http://bad.test"
        assert load.endpoints[0].condition == "paused"
        nursery.cancel_scope.cancel()
