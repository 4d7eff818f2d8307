"""Many records in one request, in virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from support.scripted import Answer, ListSource, Scenario

from tmux_fanout.core.errors import TransportError

POISON = 137


def echo(value: Any, attempt: int) -> Answer:
    """Answer a batch item by item."""
    return Answer(0.1, body=json.dumps([{"n": item} for item in value]).encode())


def refuses(poison: int, status: int = 422) -> Any:
    """Return a script that echoes, but refuses a batch that contains the poison."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.1, status) if poison in value else echo(value, attempt)

    return script


def sizes(scenario: Scenario) -> list[int]:
    return [len(value) for _, value in scenario.transports["a"].sent_at]


async def test_records_share_requests_and_get_their_own_answers(autojump_clock: object) -> None:
    """A chunk is sent in batches of `size`, the last of which holds the remainder."""
    scenario = Scenario({"a": echo}, list(range(120)), api={"batch": {"size": 50}})
    results = await scenario.play()
    assert [result["a"].body for result in results] == [{"n": i} for i in range(120)]
    assert sorted(sizes(scenario)) == [20, 50, 50]
    assert {(outcome.attempts, outcome.status) for r in results for outcome in r.outcomes} == {
        (1, 200)
    }


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_poison_is_found_by_halving(autojump_clock: object, status: int) -> None:
    """299 of 300 records are ok and the other has the status, after fewer than 25 requests."""
    scenario = Scenario(
        {"a": refuses(POISON, status)}, list(range(300)), api={"batch": {"size": 50}}
    )
    results = await scenario.play()
    assert [result.index for result in results if not result.ok] == [POISON]
    error = results[POISON]["a"].error
    assert error is not None
    assert (error.kind, results[POISON]["a"].status) == ("status", status)
    assert scenario.sink.indexes == list(range(300))
    assert len(sizes(scenario)) < 25


async def test_a_batch_holds_one_slot(autojump_clock: object) -> None:
    """With a limit of 2 at most two requests are under way, halves included."""
    scenario = Scenario({"a": refuses(3)}, list(range(64)), api={"batch": {"size": 8}, "limit": 2})
    results = await scenario.play()
    assert sum(result.ok for result in results) == 63
    assert scenario.transports["a"].peak == 2


async def test_batches_fill_from_what_waits(autojump_clock: object) -> None:
    """Records that arrive one by one form a batch while the only slot is taken."""
    source = ListSource([(0.0, [0]), *[(0.01, [i]) for i in range(1, 9)]])
    scenario = Scenario({"a": echo}, source=source, api={"batch": {"size": 50}, "limit": 1})
    await scenario.play()
    assert sizes(scenario) == [1, 8]


async def test_a_count_that_does_not_match_is_never_guessed(autojump_clock: object) -> None:
    """If one item is missing, no record of the batch is ok."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(body=json.dumps(value[1:]).encode())},
        [1, 2, 3],
        api={"batch": {"size": 3}},
    )
    await scenario.play()
    assert scenario.errors("a") == ["protocol"] * 3
    [result, *_] = scenario.sink.results
    assert result["a"].error is not None
    assert result["a"].error.message == "2 items came back for a batch of 3"


async def test_answers_are_matched_by_key(autojump_clock: object) -> None:
    """Items may be in any order; two records with the same key are sent in different batches."""

    def reverse(value: Any, attempt: int) -> Answer:
        rows = [{"id": item["id"], "said": item["text"]} for item in reversed(value)]
        return Answer(body=json.dumps({"data": {"rows": rows}}).encode())

    records = [{"id": i % 3, "text": f"t{i}"} for i in range(6)]
    scenario = Scenario(
        {"a": reverse},
        records,
        api={"batch": {"size": 50, "items": "data.rows", "key": "id"}, "select": "said"},
    )
    results = await scenario.play()
    assert [result["a"].body for result in results] == [f"t{i}" for i in range(6)]
    assert sizes(scenario) == [3, 3]


async def test_batch_is_retried_whole_and_then_halved(autojump_clock: object) -> None:
    """After a 503 the whole batch is repeated; halving it later uses up no retries."""

    def script(value: Any, attempt: int) -> Answer:
        is_first = attempt == 1 and len(value) == 4
        return Answer(0.1, 503) if is_first else refuses(2)(value, attempt)

    scenario = Scenario({"a": script}, list(range(4)), api={"batch": {"size": 4}, "retries": 1})
    await scenario.play()
    assert scenario.errors("a") == [None, None, "status", None]


async def test_batch_is_cut_short_with_all_its_records(autojump_clock: object) -> None:
    """At the deadline every record of a batch under way is ambiguous."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(9.0)},
        [1, 2, 3],
        api={"batch": {"size": 2}, "limit": 1},
        deadline=1.0,
    )
    results = await scenario.play()
    errors = [result["a"].error for result in results]
    assert [(error.kind, error.ambiguous) for error in errors if error] == [
        ("deadline", True),
        ("deadline", True),
        ("deadline", False),
    ]


async def test_call_timeout_bounds_a_batch_and_its_halves(autojump_clock: object) -> None:
    """Halving stops when the call's time is up, and the lines are written then."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(1.0, 413)},
        list(range(8)),
        api={"batch": {"size": 8}, "limit": 4, "timeout": 2.5},
    )
    await scenario.play()
    assert set(scenario.errors("a")) <= {"status", "timeout"}
    assert max(scenario.sink.written_at) == pytest.approx(2.5)


async def test_when_and_templates_leave_a_batch_before_it_goes(autojump_clock: object) -> None:
    """Skipped records and records without a key are not sent."""
    scenario = Scenario(
        {"a": echo},
        [{"id": 1, "go": True}, {"id": 2}, {"go": True}],
        api={"batch": {"size": 9, "key": "n.id"}, "when": "go", "body": "{n: {id: not_null(id)}}"},
    )
    await scenario.play()
    assert sizes(scenario) == [1]
    assert scenario.errors("a") == ["protocol", None, "template"]


async def test_equal_keys_do_not_wait_for_each_other(autojump_clock: object) -> None:
    """Records that cannot share a request are sent at the same time."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(1.0, body=json.dumps(value).encode())

    scenario = Scenario(
        {"a": script}, [{"id": 1}] * 30, api={"batch": {"size": 50, "key": "id"}, "limit": 10}
    )
    assert all(result.ok for result in await scenario.play())
    assert scenario.transports["a"].peak == 10
    assert trio.current_time() == 3.0


async def test_a_probe_takes_no_batch_into_a_batch(autojump_clock: object) -> None:
    """A new record goes alone as the probe, before the batches that failed."""

    def script(value: Any, attempt: int) -> Answer:
        if trio.current_time() < 2.0:
            return Answer(failure=TransportError("connect", "refused", sent=False, transient=True))
        return echo(value, attempt)

    source = ListSource([(0.0, list(range(10))), (1.5, [10])])
    scenario = Scenario({"a": script}, source=source, api={"batch": {"size": 2}, "limit": 5})
    results = await scenario.play()
    assert [result["a"].body for result in results] == [{"n": i} for i in range(11)]
    assert next(v for at, v in scenario.transports["a"].sent_at if at >= 1.5) == [10]
    assert all(isinstance(n, int) for _, value in scenario.transports["a"].sent_at for n in value)


async def test_lost_records_are_in_no_half(autojump_clock: object) -> None:
    """Records lost to another API meanwhile are left out when their batch is halved."""
    scenario = Scenario(
        {
            "a": lambda value, attempt: Answer(2.0, 413) if len(value) > 1 else Answer(2.0),
            "b": lambda value, attempt: Answer(1.0 if value < 3 else 50.0),
        },
        [1, 2, 3, 4],
        each={"a": {"batch": {"size": 4}}},
        join="first",
    )
    await scenario.play()
    first, *halves = [value for _, value in scenario.transports["a"].sent_at]
    assert first == [1, 2, 3, 4]
    assert sorted(halves) == [[3], [4]]


def enveloped(value: Any, attempt: int) -> Answer:
    """Answer each item of an envelope but those called `lost`, with its id as text."""
    items = [{"id": str(each["id"])} for each in value["input"] if not each.get("lost")]
    return Answer(0.1, body=json.dumps({"out": items}).encode())


async def test_an_envelope_is_filled_and_emptied(autojump_clock: object) -> None:
    """Items that the response leaves out fail their own records, which may have been applied."""
    records = [{"id": 1}, {"id": 2, "lost": True}, {"id": 3}]
    batch = {"size": 9, "wrap": "{model: 'm', input: @}", "items": "out", "key": "id"}
    scenario = Scenario({"a": enveloped}, records, api={"batch": batch})
    results = await scenario.play()
    assert scenario.transports["a"].sent_at == [(0.0, {"model": "m", "input": records})]
    assert [result["a"].body for result in results] == [{"id": "1"}, None, {"id": "3"}]
    assert scenario.errors("a") == [None, "protocol", None]
    error = results[1]["a"].error
    assert error is not None
    assert error.ambiguous
    assert error.message == "of 2 items that came back, none has this record's id: 2"


async def test_rules_hold_for_each_item_of_an_envelope(autojump_clock: object) -> None:
    """Only the item that `ok_when` rejects, and `retry_when` sends again, goes out twice."""
    seen: dict[int, int] = {}

    def script(value: Any, attempt: int) -> Answer:
        ids = [each["id"] for each in value["input"]]
        for each in ids:
            seen[each] = seen.get(each, 0) + 1
        items = [{"id": each, "ok": each != 2 or seen[each] > 1} for each in ids]
        return Answer(0.1, body=json.dumps({"out": items}).encode())

    batch = {"size": 9, "wrap": "{input: @}", "items": "out", "key": "id"}
    rules = {"ok_when": "body.ok", "retry_when": "body.ok == `false`", "idempotent": True}
    records = [{"id": n} for n in range(4)]
    scenario = Scenario({"a": script}, records, api={"batch": batch, **rules})
    results = await scenario.play()
    assert [result["a"].attempts for result in results] == [1, 1, 2, 1]
    assert all(result.ok for result in results)


async def test_batches_stay_below_their_size_in_bytes(autojump_clock: object) -> None:
    """A record that no request can hold fails alone, and is not sent."""
    records = ["x" * 10, "y" * 10, "z" * 100, "u" * 10, "v" * 10]
    scenario = Scenario({"a": echo}, records, api={"batch": {"size": 50, "bytes": 30}})
    await scenario.play()
    assert scenario.errors("a") == [None, None, "too_large", None, None]
    assert sizes(scenario) == [2, 2]


async def test_an_envelope_that_a_whole_batch_does_not_fit_sends_nothing(
    autojump_clock: object,
) -> None:
    """Where `wrap` accepts each item but not all of them, they fail with kind `template`."""
    batch = {"size": 9, "wrap": "{input: @, first: max(@)}"}
    scenario = Scenario({"a": echo}, [1, "b", 2], api={"batch": batch, "limit": 1})
    await scenario.play()
    assert scenario.errors("a") == ["template"] * 3
    assert scenario.transports["a"].sent_at == []
