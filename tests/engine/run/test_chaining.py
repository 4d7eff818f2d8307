"""APIs that depend on others (`after`), in virtual time."""

from __future__ import annotations

from typing import Any

from support.scripted import Answer, ListSource, Scenario

Body = dict[str, Any]


def slow(value: Any, attempt: int) -> Answer:
    return Answer(1.0)


def quick(value: Any, attempt: int) -> Answer:
    return Answer(0.25)


async def test_after_waits_for_the_outcome_and_sees_it(autojump_clock: object) -> None:
    """`b` is called once `a` is settled, with a body made of both; `c` is independent."""
    body = "{record: id, heard: _results.a.body.id, status: _results.a.status}"
    scenario = Scenario(
        {"b": quick, "a": slow, "c": quick},
        [{"id": 7}],
        each={"b": {"after": ["a"], "body": body}},
    )
    [result] = await scenario.play()
    assert result.ok
    assert result["b"].body == {"record": 7, "heard": 7, "status": 200}
    times = {name: transport.sent_at[0][0] for name, transport in scenario.transports.items()}
    assert times == {"a": 0.0, "b": 1.0, "c": 0.0}


async def test_after_several_waits_for_the_last(autojump_clock: object) -> None:
    """In a diamond, the last call is made once, when both before it are settled."""
    scenario = Scenario(
        {"a": quick, "b": slow, "c": quick, "d": quick},
        [1, 2],
        each={"b": {"after": ["a"]}, "c": {"after": ["a"]}, "d": {"after": ["b", "c"]}},
    )
    results = await scenario.play()
    assert [result.ok for result in results] == [True, True]
    assert [time for time, _ in scenario.transports["d"].sent_at] == [1.25, 1.25]


async def test_calls_after_a_failure_are_skipped_with_the_reason(
    autojump_clock: object,
) -> None:
    """So is the whole chain behind them; the record counts under the failure itself."""
    scenario = Scenario(
        {"c": quick, "b": quick, "a": lambda value, attempt: Answer(0.1, 404)},
        [1],
        each={"b": {"after": ["a"]}, "c": {"after": ["b"]}},
    )
    [result] = await scenario.play()
    assert [result[name].skipped for name in "cba"] == [True, True, False]
    assert result.first_error is not None
    assert result.first_error.kind == "status"
    assert scenario.lines[0].startswith(
        b'{"index":0,"record":1,"ok":false,"results":{'
        b'"c":{"ok":false,"skipped":true,'
        b'"error":{"kind":"template","message":"not called, since b is not ok"},"attempts":0},'
    )
    assert not scenario.transports["b"].sent_at
    assert not scenario.transports["c"].sent_at


async def test_after_a_skipped_call_when_can_ask_for_it(autojump_clock: object) -> None:
    """A call that `when` ruled out is no failure: later calls see that it has no body."""
    scenario = Scenario(
        {"a": quick, "b": quick, "c": quick},
        [{"id": 1}, {"id": 2}],
        each={
            "a": {"when": "id == `1`"},
            "b": {"after": ["a"], "when": "_results.a.body"},
            "c": {"after": ["a"], "body": "{got: _results.a.body.id}"},
        },
    )
    first, second = await scenario.play()
    assert [first[name].skipped for name in "abc"] == [False, False, False]
    assert [second[name].skipped for name in "ab"] == [True, True]
    assert second["c"].error is not None
    assert second["c"].error.message == (
        "the record has no field _results.a.body.id: _results.a has no body"
    )


async def test_a_full_window_does_not_stop_the_head_of_the_line(autojump_clock: object) -> None:
    """It moves even if responses overfill the window and later records are first in the queue."""

    def first_is_late(value: Any, attempt: int) -> Answer:
        return Answer(5.0 if value["id"] == 0 else 0.1, body=b'"' + b"x" * 1000 + b'"')

    scenario = Scenario(
        {"a": first_is_late, "b": quick},
        [{"id": i} for i in range(10)],
        each={"b": {"after": ["a"], "limit": 1}},
        window_bytes=2000,
    )
    results = await scenario.play()
    assert [result.ok for result in results] == [True] * 10
    assert scenario.sink.indexes == list(range(10))


async def test_cut_short_in_the_middle_of_a_chain(autojump_clock: object) -> None:
    """At the deadline, a call that was never queued is reported as not sent."""
    scenario = Scenario(
        {"a": slow, "b": slow},
        source=ListSource([(0.0, [1])]),
        each={"b": {"after": ["a"]}},
        deadline=0.5,
    )
    [result] = await scenario.play()
    assert result["a"].error is not None
    assert result["b"].error is not None
    assert (result["a"].error.kind, result["b"].error.kind) == ("deadline", "deadline")
    assert result["b"].error.message.endswith("passed; not sent")


async def test_a_sibling_that_settles_at_once_submits_nobody_twice(autojump_clock: object) -> None:
    """`a` is skipped while the record is admitted: `b` is sent once, and `c` after it."""
    scenario = Scenario(
        {"a": quick, "b": quick, "c": quick},
        [{"id": i} for i in range(3)],
        each={"a": {"when": "go"}, "c": {"after": ["a"]}},
    )
    results = await scenario.play()
    assert [result.ok for result in results] == [True] * 3
    assert len(scenario.transports["b"].sent_at) == 3
    assert len(scenario.transports["c"].sent_at) == 3
