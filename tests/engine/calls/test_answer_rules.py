"""`ok_when`, `retry_on` and `retry_when` in whole runs, in virtual time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support.scripted import Answer, ListSource, Scenario, Script, answers

FAILS_OFTEN: dict[str, Any] = {"ok_when": "body.ok", "retry_on": [200], "idempotent": True}
BUSY, DONE = Answer(0.1, body=b'{"busy":1}'), Answer(0.1, body=b'{"ok":1,"n":2}')


async def play(script: Script, values: list[Any], **api: Any) -> Scenario:
    scenario = Scenario({"a": script}, values, api=api)
    await scenario.play()
    return scenario


@pytest.mark.parametrize(
    ("api", "attempts", "kind"),
    [
        ({"method": "PUT", "retry_on": [200]}, 3, None),
        ({"idempotent": True, "retry_on": [200]}, 3, None),
        ({"idempotent": True, "retry_on": [200], "retries": 1}, 2, "rejected"),
        ({"retry_on": [200]}, 1, "rejected"),
        ({"idempotent": True}, 1, "rejected"),
        ({"idempotent": True, "retry_on": [409]}, 1, "rejected"),
        ({"idempotent": True, "retry_when": "body.busy"}, 3, None),
        ({"idempotent": True, "retry_when": "status >= `500`"}, 1, "rejected"),
        ({"retry_when": "body.busy"}, 1, "rejected"),
    ],
)
async def test_a_rejected_answer_is_repeated_if_it_may_be(
    autojump_clock: object, api: dict[str, Any], attempts: int, kind: str | None
) -> None:
    """Two answers say that the API is busy, and the third has the result."""
    scenario = await play(answers(BUSY, BUSY, DONE), [1], ok_when="body.ok", **api)
    [outcome] = scenario.sink.results[0].outcomes
    assert (outcome.attempts, scenario.errors("a")) == (attempts, [kind])
    assert outcome.body == ({"busy": 1} if kind else {"ok": 1, "n": 2})
    assert len(scenario.transports["a"].sent_at) == attempts


async def test_statuses_are_repeated_on_request(autojump_clock: object) -> None:
    """A POST is sent again after a 409, which was not processed, but not after a 501."""
    script = answers(Answer(0.1, 409), Answer(0.1, 501), DONE)
    scenario = await play(script, [1], retry_on=["5xx", 409])
    error = scenario.sink.results[0]["a"].error
    assert error is not None
    assert (error.kind, error.ambiguous) == ("status", True)
    assert len(scenario.transports["a"].sent_at) == 2
    scenario = await play(script, [1], retry_on=["5xx", 409], idempotent=True)
    assert scenario.errors("a") == [None]


async def test_retry_when_can_end_what_would_be_repeated(autojump_clock: object) -> None:
    """A quota that is used up is not worth another attempt, although its status is 429."""
    script = answers(Answer(0.1, 429, body=b'{"code":"insufficient_quota"}'))
    scenario = await play(script, [1], retry_when="body.code != 'insufficient_quota'")
    assert scenario.sink.results[0]["a"].attempts == 1


async def test_everything_agrees_that_a_rejected_call_is_not_ok(autojump_clock: object) -> None:
    """`select`, headers, `after` and the join policy see a call that is not ok."""
    headers = ((b"x-id", b"7"),)
    scenario = Scenario(
        {
            "a": answers(Answer(0.1, body=b'{"n":1}', headers=headers)),
            "b": answers(Answer(0.2)),
            "c": answers(Answer(0.1)),
        },
        [1],
        each={
            "a": {"ok_when": "body.ok", "select": "n", "capture_headers": ["x-id"]},
            "c": {"after": ["a"]},
        },
        join="first",
    )
    [result] = await scenario.play()
    assert result.ok
    assert (result["a"].body, result["a"].headers) == ({"n": 1}, {"x-id": "7"})
    assert result["c"].skipped
    assert not result["c"].ok
    assert result["b"].ok


async def test_a_hedge_may_bring_a_better_answer_than_a_rejected_one(
    autojump_clock: object,
) -> None:
    """What is worth a retry does not win over the hedge under way."""

    def script(value: Any, attempt: int) -> Answer:
        if value != 39:
            return DONE
        return Answer(0.25, body=b"{}") if attempt == 1 else Answer(0.3, body=b'{"ok":1}')

    scenario = await play(script, list(range(40)), hedge=0.2, **FAILS_OFTEN)
    outcome = scenario.sink.results[39]["a"]
    assert (outcome.ok, outcome.attempts) == (True, 2)
    assert outcome.seconds == pytest.approx(0.5)


def fails_for(tries: Callable[[Any], int]) -> tuple[Script, Counter[Any]]:
    """Return a batch API that reports an item as busy as often as `tries` says, and its count."""
    seen: Counter[Any] = Counter()

    def script(value: Any, attempt: int) -> Answer:
        items = []
        for item in value:
            seen[item] += 1
            items.append({"n": item, "ok": seen[item] > tries(item)})
        return Answer(0.1, body=json.dumps(items).encode())

    return script, seen


async def test_only_items_that_failed_are_sent_again(autojump_clock: object) -> None:
    """One item in ten needs a second attempt: each of the others is sent once."""
    script, seen = fails_for(lambda n: n % 10 == 0)
    scenario = await play(script, list(range(100)), batch={"size": 50}, limit=2, **FAILS_OFTEN)
    results = scenario.sink.results
    assert [result["a"].body["n"] for result in results] == list(range(100))
    assert all(result.ok for result in results)
    assert all(count == (2 if n % 10 == 0 else 1) for n, count in seen.items())
    assert [result["a"].attempts for result in results] == [
        2 if n % 10 == 0 else 1 for n in range(100)
    ]
    assert scenario.sink.indexes == list(range(100))


async def test_items_sent_again_share_batches_with_what_waits(autojump_clock: object) -> None:
    """With one slot, the items that failed fill up later batches instead of going alone."""
    script, _ = fails_for(lambda n: n % 5 == 0)
    scenario = await play(script, list(range(200)), batch={"size": 20}, limit=1, **FAILS_OFTEN)
    assert all(result.ok for result in scenario.sink.results)
    sizes = [len(value) for _, value in scenario.transports["a"].sent_at]
    assert sum(sizes) == 240
    assert len(sizes) <= 15


async def test_each_item_has_its_own_retries(autojump_clock: object) -> None:
    """Items that never succeed end after `retries`, whatever batches they were in."""
    script, seen = fails_for(lambda n: 99 if n % 3 == 0 else n % 3)
    scenario = await play(
        script,
        list(range(60)),
        batch={"size": 7},
        limit=2,
        retries=2,
        **FAILS_OFTEN,
    )
    for n, result in enumerate(scenario.sink.results):
        assert result["a"].attempts == seen[n] == (3 if n % 3 == 0 else n % 3 + 1)
        assert result.ok is bool(n % 3)
    error = scenario.sink.results[0]["a"].error
    assert error is not None
    assert error.kind == "rejected"
    assert error.message.startswith("HTTP 200 after 3 attempts; ok_when 'body.ok' is not true of")


async def test_items_that_may_not_be_sent_twice_are_not(autojump_clock: object) -> None:
    """Without `idempotent`, an item that failed is final and ambiguous; the others are ok."""
    script, seen = fails_for(lambda n: n == 3)
    rules = {**FAILS_OFTEN, "idempotent": False}
    scenario = await play(script, list(range(10)), batch={"size": 5}, **rules)
    assert set(seen.values()) == {1}
    assert [n for n, result in enumerate(scenario.sink.results) if not result.ok] == [3]
    error = scenario.sink.results[3]["a"].error
    assert error is not None
    assert error.ambiguous


async def test_retry_when_holds_per_item(autojump_clock: object) -> None:
    """Of two items that failed, only the one that is worth it is sent again."""

    def script(value: Any, attempt: int) -> Answer:
        kinds = {0: {"error": "bad"}, 1: {"error": "busy"}, 2: {"fine": True}}
        return Answer(0.1, body=json.dumps([kinds[item] for item in value]).encode())

    scenario = await play(
        script,
        [0, 1, 2],
        batch={"size": 3},
        ok_when="!(body.error)",
        retry_when="body.error == 'busy'",
        idempotent=True,
    )
    assert scenario.errors("a") == ["rejected", "rejected", None]
    assert [result["a"].attempts for result in scenario.sink.results] == [1, 3, 1]


async def test_an_expression_that_fails_on_an_item_costs_that_item(
    autojump_clock: object,
) -> None:
    """The other items of the batch are ok."""
    script = answers(Answer(0.1, body=b'["abc", 5, "bcd"]'))
    scenario = await play(script, [0, 1, 2], batch={"size": 3}, ok_when="contains(body, 'b')")
    assert scenario.errors("a") == [None, "decode", None]


async def test_a_mixed_batch_that_fails_parts_again(autojump_clock: object) -> None:
    """A 503 to a batch of new and repeated items uses up no retry of any of them."""
    tries: Counter[int] = Counter()
    requests: list[list[int]] = []

    def script(value: Any, attempt: int) -> Answer:
        requests.append(value)
        if len(requests) in (2, 3):
            return Answer(0.1, 503)
        tries.update(value)
        items = [{"ok": item != 0} for item in value]
        return Answer(0.1, body=json.dumps(items).encode())

    source = ListSource([(0.0, [0, 1]), (0.05, [2, 3])])
    scenario = Scenario(
        {"a": script},
        source=source,
        api={
            "batch": {"size": 10},
            "limit": 1,
            "retries": 2,
            **FAILS_OFTEN,
        },
    )
    results = await scenario.play()
    assert [result.ok for result in results] == [False, True, True, True]
    assert tries == {0: 3, 1: 1, 2: 1, 3: 1}
    sent = Counter(item for request in requests for item in request)
    assert [result["a"].attempts for result in results] == [sent[item] for item in range(4)]
    assert sent[0] > 3


async def test_a_record_that_was_sent_again_is_cut_short_with_its_history(
    autojump_clock: object,
) -> None:
    """At the deadline an item that waits for its next attempt keeps its answer and count."""
    script, _ = fails_for(lambda n: 99)
    scenario = Scenario(
        {"a": script},
        [1, 2],
        api={"batch": {"size": 2}, "retries": 99, **FAILS_OFTEN},
        deadline=2.0,
    )
    results = await scenario.play()
    for result in results:
        error = result["a"].error
        assert error is not None
        assert error.kind == "deadline"
        assert result["a"].attempts > 1
    assert all(caller.waiting == 0 for caller in scenario.backends[0].callers)


async def test_no_member_outlives_its_own_time(autojump_clock: object) -> None:
    """An item that fails for ever ends within its timeout, although new items keep coming."""
    script, _ = fails_for(lambda n: 9999 if n == 0 else 0)
    source = ListSource([(0.0, [0]), *[(0.3, [i]) for i in range(1, 60)]])
    scenario = Scenario(
        {"a": script},
        source=source,
        api={
            "batch": {"size": 5},
            "limit": 1,
            **FAILS_OFTEN,
            "retries": 999,
            "timeout": 5.0,
            "attempt_timeout": 1.0,
        },
    )
    results = await scenario.play()
    assert [n for n, result in enumerate(results) if not result.ok] == [0]
    assert results[0]["a"].seconds <= 5.0 + 1e-6
    assert all(result["a"].attempts == 1 for result in results[1:])
