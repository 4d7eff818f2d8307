"""Calls that share one answer, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mixture import virtual_caches
from support.scripted import Answer, ListSource, Scenario, Script, TasklessScripted, answers

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.results.outcome import Result

ONE_SECOND = answers(Answer(1.0))


def texts(*values: str) -> list[dict[str, Any]]:
    """Return records that differ, though the requests made of their texts may not."""
    return [{"id": index, "text": text} for index, text in enumerate(values)]


def shared(results: list[Result], name: str = "a") -> list[bool]:
    return [result[name].shared for result in results]


def scenario(
    scripts: dict[str, Script], values: Any = (), *, api: dict[str, Any] | None = None, **more: Any
) -> Scenario:
    keys: dict[str, Any] = {"body": "text", "share": True, **(api or {})}
    return Scenario(scripts, values, api=keys, **more)


async def test_identical_requests_are_made_once(autojump_clock: object) -> None:
    """The first record makes the request, and the others wait for its answer without a slot."""
    played = scenario({"a": ONE_SECOND}, texts("x", "y", "x", "x", "y"), api={"limit": 2})
    results = await played.play()
    assert sorted(value for _, value in played.transports["a"].sent_at) == ["x", "y"]
    assert shared(results) == [False, False, True, True, True]
    assert [result["a"].body for result in results] == ["x", "y", "x", "x", "y"]
    assert [result["a"].attempts for result in results] == [1, 1, 0, 0, 0]
    assert [result["a"].seconds for result in results] == [1.0] * 5
    assert trio.current_time() == 1.0
    [stats] = played.run.statistics.apis
    assert (stats.calls, stats.attempts, stats.shared) == (5, 2, 3)


async def test_without_share_each_record_makes_its_request(autojump_clock: object) -> None:
    """Nothing is shared unless the API says so."""
    played = scenario({"a": ONE_SECOND}, texts("x", "x"), api={"share": False})
    assert shared(await played.play()) == [False, False]
    assert len(played.transports["a"].sent_at) == 2


async def test_answer_serves_later_records_while_its_own_is_in_the_window(
    autojump_clock: object,
) -> None:
    """A record that comes after the answer gets it at once, until that has been written."""
    slow = scenario(
        {"a": lambda value, _: Answer(9.0 if value == "slow" else 1.0)},
        source=ListSource(
            [(0.0, texts("slow", "x")), (3.0, texts("x")), (10.0, texts("x")), (3.0, texts("x"))]
        ),
    )
    results = await slow.play()
    assert shared(results) == [False, False, True, False, False]
    assert results[2]["a"].seconds == 0.0
    assert [at for at, value in slow.transports["a"].sent_at if value == "x"] == [0.0, 13.0, 16.0]
    assert "0 requests" in repr(slow.backends[0].callers[0].sharing)


async def test_failure_of_the_api_is_that_of_all(autojump_clock: object) -> None:
    """All who wait share a failure, which is no answer for records that come later."""
    played = scenario(
        {"a": lambda value, attempt: Answer(1.0, 400 if attempt == 1 else 200)},
        source=ListSource([(0.0, texts("x", "x")), (5.0, texts("x"))]),
    )
    results = await played.play()
    assert [(r["a"].status, r["a"].shared) for r in results] == [
        (400, False),
        (400, True),
        (200, False),
    ]
    assert results[1]["a"].error == results[0]["a"].error


@pytest.mark.parametrize("kind", [TasklessScripted, None])
async def test_lost_leader_leaves_the_request_to_a_follower(
    autojump_clock: object, kind: type[TasklessScripted] | None
) -> None:
    """A call that its own record needs no more does not fail those of others."""
    more: dict[str, Any] = {"transport": kind} if kind else {}
    played = scenario(
        {
            "a": answers(Answer(5.0)),
            "b": lambda value, _: Answer(1.0 if value == 0 else 50.0),
        },
        texts("x", "x", "x"),
        each={"b": {"body": "id"}},
        join="first",
        **more,
    )
    results = await played.play()
    assert [result["a"].error and result["a"].error.kind for result in results] == [
        "lost",
        None,
        None,
    ]
    assert shared(results) == [False, False, True]
    assert [at for at, _ in played.transports["a"].sent_at] == [0.0, 1.0]
    assert trio.current_time() == 6.0


async def test_lost_leader_that_waited_is_replaced_in_order(autojump_clock: object) -> None:
    """The follower that takes over goes before later records, though it is queued after them."""
    played = scenario(
        {
            "a": answers(Answer(2.0)),
            "b": lambda value, _: Answer(1.0 if value == 1 else 50.0),
        },
        texts("first", "x", "x", "y"),
        api={"limit": 1},
        each={"b": {"body": "id", "limit": 9}},
        join="first",
    )
    await played.play()
    assert played.errors("a") == [None, "lost", None, None]
    assert [value for _, value in played.transports["a"].sent_at] == ["first", "x", "y"]


async def test_lost_follower_leaves_alone(autojump_clock: object) -> None:
    """A follower that is not needed any more is lost, and changes nothing for the others."""
    played = scenario(
        {"a": answers(Answer(5.0)), "b": lambda value, _: Answer(1.0 if value == 1 else 50.0)},
        texts("x", "x", "x"),
        each={"b": {"body": "id"}},
        join="first",
    )
    results = await played.play()
    assert "not sent" in repr(results[1]["a"])
    assert shared(results) == [False, False, True]
    assert len(played.transports["a"].sent_at) == 1


async def test_time_that_runs_out_is_not_that_of_later_records(autojump_clock: object) -> None:
    """Who came after the first attempt had begun is not failed by the time limit of another."""
    played = scenario(
        {"a": lambda value, attempt: Answer(100.0 if attempt == 1 else 1.0)},
        source=ListSource([(0.0, texts("x", "x")), (8.0, texts("x", "x"))]),
        api={"timeout": 10, "retries": 0},
    )
    results = await played.play()
    kinds = [result["a"].error and result["a"].error.kind for result in results]
    assert kinds == ["timeout", "timeout", None, None]
    assert shared(results) == [False, True, False, True]
    assert trio.current_time() == 11.0


async def test_deadline_ends_leader_and_followers(autojump_clock: object) -> None:
    """At the end of a run all are cut short, each with its own outcome."""
    played = scenario({"a": answers(Answer(50.0))}, texts("x", "x", "x"), deadline=5)
    results = await played.play()
    assert played.errors("a") == ["deadline"] * 3
    messages = [result["a"].error.message for result in results if result["a"].error]
    assert ["not sent" in message for message in messages] == [False, True, True]
    assert shared(results) == [False] * 3


async def test_budget_is_spent_once(autojump_clock: object) -> None:
    """A shared answer costs nothing."""
    played = scenario(
        {"a": ONE_SECOND},
        texts(*"xxxxx"),
        api={"price": {"call": "1"}},
        max_cost="1.5",
    )
    results = await played.play()
    assert [result["a"].ok for result in results] == [True] * 5
    assert float(played.run.statistics.cost) == 1.0


async def test_batch_holds_an_item_once(autojump_clock: object) -> None:
    """Identical items of a batch are sent as one."""
    played = scenario({"a": ONE_SECOND}, texts("x", "y", "x", "y"), api={"batch": {"size": 9}})
    results = await played.play()
    assert [value for _, value in played.transports["a"].sent_at] == [["x", "y"]]
    assert [result["a"].body for result in results] == ["x", "y", "x", "y"]
    assert shared(results) == [False, False, True, True]


async def test_fallbacks_share_as_well(autojump_clock: object) -> None:
    """Each call that failed is left to the fallback, whose requests are made once."""
    played = scenario(
        {"a": answers(Answer(1.0, 500)), "b": answers(Answer(1.0))},
        texts("x", "x"),
        api={"retries": 0, "idempotent": True},
        each={"b": {"fallback_of": "a"}},
    )
    results = await played.play()
    assert [(r["a"].via, r["a"].shared, r["a"].attempts) for r in results] == [
        ("b", False, 2),
        ("b", True, 0),
    ]
    assert len(played.transports["a"].sent_at) == len(played.transports["b"].sent_at) == 1


async def test_dependent_calls_share(autojump_clock: object) -> None:
    """A call that waits for another API, and then for an identical request, is made once."""
    played = scenario(
        {"a": lambda value, _: Answer(1.0 + value / 10), "b": ONE_SECOND},
        texts("x", "x", "x"),
        each={"a": {"body": "id", "share": False}, "b": {"after": ["a"]}},
    )
    results = await played.play()
    assert shared(results, "b") == [False, True, True]
    assert len(played.transports["b"].sent_at) == 1


async def test_shared_answer_starts_what_depends_on_it(autojump_clock: object) -> None:
    """The outcome of a follower is one like any other to the APIs after it."""
    played = scenario(
        {"a": ONE_SECOND, "b": ONE_SECOND},
        texts("x", "x"),
        each={"b": {"after": ["a"], "body": "_results.a.body", "share": False}},
    )
    results = await played.play()
    assert [result["b"].body for result in results] == ["x", "x"]
    assert trio.current_time() == 2.0


async def test_derived_keys_do_not_keep_requests_apart(autojump_clock: object) -> None:
    """An idempotency key that is derived for each record does not count; one of its own does."""
    played = scenario({"a": ONE_SECOND}, texts("x", "x"), api={"idempotency_key": True})
    assert shared(await played.play()) == [False, True]
    played = scenario({"a": ONE_SECOND}, texts("x", "x"), api={"idempotency_key": "{id}"})
    assert shared(await played.play()) == [False, False]


async def test_headers_and_urls_keep_requests_apart(autojump_clock: object) -> None:
    """Requests are identical only if URL and headers are."""
    for keys in ({"headers": {"X-Id": "{id}"}}, {"url": "http://api.test/{id}"}):
        played = scenario({"a": ONE_SECOND}, texts("x", "x"), api=keys)
        assert shared(await played.play()) == [False, False]


async def test_hosts_of_records_share(autojump_clock: object) -> None:
    """Requests to hosts that come from records are shared by URL."""
    values = [{"url": f"http://{host}.test/"} for host in "xyxx"]
    played = scenario(
        {"a": ONE_SECOND},
        values,
        api={"url": "{+url}", "hosts": ["*.test"], "method": "GET", "body": None},
    )
    results = await played.play()
    assert shared(results) == [False, False, True, True]
    assert sorted(played.transports["a"].urls) == ["http://x.test/", "http://y.test/"]


async def test_hedge_of_the_leader_goes_with_a_follower_at_the_head(
    autojump_clock: object,
) -> None:
    """A leader is hedged while a record that waits for it holds up the output."""
    played = scenario(
        {
            "a": lambda value, attempt: Answer(100.0 if value == "x" and attempt == 1 else 1.0),
            "b": lambda value, _: Answer(5.0 if value == 0 else 1.0),
        },
        texts("x", "x", *map(str, range(40))),
        api={"hedge": "head", "idempotent": True, "limit": 100},
        each={"b": {"after": ["a"]}},
        watch_head=True,
    )
    results = await played.play()
    assert results[0]["a"].attempts == 2
    assert results[1]["a"].shared


def _random_script(seed: int) -> Callable[[str], Script]:
    random = Random(seed)

    def make(_: str) -> Script:
        def script(value: Any, attempt: int) -> Answer:
            if random.random() < 0.2:
                return Answer(random.random(), failure=TransportError("connect", "no", sent=False))
            return Answer(random.random() * 3, random.choice([200, 200, 200, 400, 503]))

        return script

    return make


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 30), st.data())
def test_every_record_has_its_outcome(seed: int, data: st.DataObject) -> None:
    """Whatever is shared, in any order, each record is written once, and nothing is left over."""
    names = ["a", "b", "c"]
    make = _random_script(seed)
    keys: dict[str, Any] = {
        "limit": data.draw(st.integers(1, 4)),
        "retries": data.draw(st.integers(0, 2)),
        "timeout": data.draw(st.sampled_from([2, 60])),
    }
    each: dict[str, dict[str, Any]] = {"b": {"after": ["a"]}, "c": {"fallback_of": "a"}}
    chosen = {name: each[name] for name in each if data.draw(st.booleans())}
    if data.draw(st.booleans()):
        chosen["b"] = {**chosen.get("b", {}), "batch": {"size": 3}}
    values = texts(*data.draw(st.lists(st.sampled_from("vwxyz"), max_size=40)))
    played = scenario(
        {name: make(name) for name in names},
        values,
        api=keys,
        each=chosen,
        window=data.draw(st.sampled_from([4, 1024])),
        window_bytes=data.draw(st.sampled_from([60, 1 << 20])),
        unordered=data.draw(st.booleans()),
        join=data.draw(st.sampled_from(["all", "first", "best-effort:1"])),
        deadline=data.draw(st.sampled_from([None, 5])),
    )
    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(played.play, clock=clock)
    assert sorted(played.sink.indexes) == list(range(len(values)))
    for result in played.sink.results:
        for name, outcome in zip(result.names, result.outcomes):
            if outcome.ok and not outcome.via and outcome.status:
                assert outcome.body == result.record["text"], name
    for caller in played.backends[0].callers if played.backends else ():
        assert caller.sharing is not None
        assert "0 requests, 0 of them answered" in repr(caller.sharing)


@pytest.mark.parametrize("url", ["http://h.test/", "http://{text}.test/"])
async def test_earlier_record_follows_one_that_waits_for_the_cache(
    autojump_clock: object, url: str
) -> None:
    """At hosts of records as elsewhere, though no host has the call yet."""
    hosts = {"hosts": ["*.test"]} if "{" in url else {}
    cache = {"dir": "cache", "ttl": "1h"}
    played = scenario(
        {"first": lambda value, _: Answer(2.0 - value["id"]), "a": ONE_SECOND},
        texts("x", "x"),
        each={
            "first": {"body": "@", "share": False},
            "a": {"url": url, "cache": cache, "after": ["first"], **hosts},
        },
    )
    with virtual_caches(5.0):
        results = await played.play()
    assert [result["a"].body for result in results] == ["x", "x"]
    assert shared(results) == [False, True]
    assert len(played.transports["a"].sent_at) == 1
