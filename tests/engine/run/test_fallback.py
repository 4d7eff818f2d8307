"""An API that is called where another one is not ok, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import Answer, ListSource, Scenario, Script, TasklessScripted, answers

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.results.output_line import parse_written

OK = answers(Answer(0.1))
DOWN = answers(
    Answer(0.5, failure=TransportError("connect", "refused", sent=False, transient=True))
)


def status(code: int, delay: float = 1.0) -> Script:
    return answers(Answer(delay, code))


LOST = TransportError("protocol", "cut off", sent=True, transient=True)
REFUSED = TransportError("connect", "refused", sent=False, transient=True)
ANSWERS = {
    "ok": Answer(0.1),
    "busy": Answer(0.1, 429),
    "down": Answer(0.1, 503),
    "broken": Answer(0.1, 500),
    "wrong": Answer(0.1, 404),
    "lost": Answer(0.1, failure=LOST),
    "refused": Answer(0.1, failure=REFUSED),
}
APPLIED = {"ok", "broken", "lost"}  # at worst


def scenario(
    scripts: dict[str, Script], values: Any = ("r",), *, each: Any = None, **options: Any
) -> Scenario:
    """Return a run in which b is the fallback of a, and c that of b, as far as they exist."""
    links = {"b": {"fallback_of": "a"}, "c": {"fallback_of": "b"}}
    own = {name: {**links.get(name, {}), **(each or {}).get(name, {})} for name in scripts}
    api = {"retries": 0, **options.pop("api", {})}
    return Scenario(scripts, values, each=own, api=api, **options)


def only(played: Scenario) -> Outcome:
    (result,) = played.sink.results
    (outcome,) = result.outcomes
    return outcome


async def test_a_fallback_is_not_called_where_all_is_ok(autojump_clock: trio.abc.Clock) -> None:
    played = scenario({"a": OK, "b": OK}, range(3))
    await played.play()
    assert played.plan.names == ("a",)
    assert [result["a"].via for result in played.sink.results] == ["", "", ""]
    assert played.transports["b"].sent_at == []
    assert played.run.statistics.apis[1].calls == 0


@pytest.mark.parametrize("transport", [None, TasklessScripted])
async def test_one_outcome_with_all_attempts(
    autojump_clock: trio.abc.Clock, transport: Any
) -> None:
    """a's own retries come first; time runs from its first attempt to the outcome."""
    options = {"transport": transport} if transport else {}
    played = scenario(
        {"a": status(503), "b": OK},
        api={"retries": 1},
        **options,
    )
    await played.play()
    outcome = only(played)
    assert (outcome.ok, outcome.status, outcome.via, outcome.attempts) == (True, 200, "b", 3)
    (began, _), _ = played.transports["a"].sent_at
    ended = played.transports["b"].sent_at[0][0] + 0.1
    assert outcome.seconds == pytest.approx(ended - began)
    a, b = played.run.statistics.apis
    assert (a.calls, a.attempts, dict(a.errors)) == (1, 2, {"status": 1})
    assert (b.calls, b.attempts, dict(b.errors)) == (1, 1, {})
    assert b.latency.max == pytest.approx(0.1)
    assert played.run.statistics.ok == 1


async def test_other_failures_stand(autojump_clock: trio.abc.Clock) -> None:
    """A 404 is an answer; it is not looked for elsewhere unless `fallback_on` has it."""
    played = scenario({"a": status(404), "b": OK})
    await played.play()
    assert (only(played).status, only(played).via) == (404, "")
    played = scenario({"a": status(404), "b": OK}, each={"b": {"fallback_on": [404]}})
    await played.play()
    assert (only(played).status, only(played).via) == (200, "b")


async def test_the_last_failure_of_a_chain_says_what_came_before(
    autojump_clock: trio.abc.Clock,
) -> None:
    played = scenario({"c": status(500), "a": DOWN, "b": status(429)})
    await played.play()
    outcome = only(played)
    assert outcome.error
    assert outcome.error.kind == "status"
    assert outcome.error.message.startswith("HTTP 500")
    assert outcome.error.message.endswith("; before that, b: HTTP 429; before that, a: refused")
    assert (outcome.via, outcome.attempts, outcome.error.ambiguous) == ("c", 3, True)
    assert outcome.seconds == pytest.approx(2.5)
    line = envelope_encoder(played.plan.names)(played.sink.results[0])
    assert parse_written(line).names == ("a",)


async def test_what_when_rules_out_is_passed_over(autojump_clock: trio.abc.Clock) -> None:
    """The outcome before stands; the next fallback of the chain has its turn with that."""
    never = {"b": {"when": "`false`"}}
    played = scenario({"a": status(503), "b": OK}, each=never)
    await played.play()
    assert (only(played).status, only(played).via, only(played).attempts) == (503, "", 1)
    played = scenario({"a": status(503), "b": OK, "c": status(429)}, each=never)
    await played.play()
    outcome = only(played)
    assert (outcome.status, outcome.via, outcome.attempts) == (429, "c", 2)
    assert outcome.error
    assert outcome.error.message.endswith("; before that, a: HTTP 503")


@pytest.mark.parametrize(
    ("settings", "via"),
    [
        ({}, ""),
        ({"idempotent": True}, "b"),
        ({"method": "PUT"}, "b"),
        ({"idempotency_key": True}, ""),
        ({"idempotency_key": True, "idempotent": True}, "b"),
    ],
)
@pytest.mark.parametrize(
    "script",
    [
        status(500),
        answers(Answer(60.0)),
        answers(Answer(failure=TransportError("timeout", "late", sent=True, transient=True))),
    ],
)
async def test_what_may_have_been_applied_is_not_sent_elsewhere(
    autojump_clock: trio.abc.Clock, script: Script, settings: dict[str, Any], via: str
) -> None:
    played = scenario({"a": script, "b": OK}, each={"a": settings})
    await played.play()
    outcome = only(played)
    assert outcome.via == via
    assert len(played.transports["b"].sent_at) == bool(via)
    if not via:
        assert outcome.error
        assert "b was not called, as the request may have been applied" in outcome.error.message


async def test_calls_fail_over_while_every_breaker_is_open(autojump_clock: trio.abc.Clock) -> None:
    """After a second of failures the rest goes to b at once, and does not wait for a."""
    notices: list[str] = []
    played = scenario({"a": DOWN, "b": OK}, range(40), api={"limit": 5}, notify=notices.append)
    await played.play()
    assert notices[0] == "a is not available (refused); calls go to b"
    assert [result["a"].via for result in played.sink.results] == ["b"] * 40
    assert len(played.transports["a"].sent_at) == 10
    assert trio.current_time() < 2
    assert {result["a"].attempts for result in played.sink.results} == {1, 2}
    assert played.run.statistics.apis[0].errors["breaker_open"] == 30


async def test_calls_go_back_once_the_breaker_closes(autojump_clock: trio.abc.Clock) -> None:
    """Traffic probes: the record that probes successfully stays at a, and so do later ones."""

    def down_for_3_s(value: Any, attempt: int) -> Answer:
        return Answer(0.1, 200 if trio.current_time() > 3 else 503)

    source = ListSource([(0.5, [number]) for number in range(20)])
    played = scenario(
        {"a": down_for_3_s, "b": OK}, source=source, each={"a": {"breaker": {"failures": 2}}}
    )
    await played.play()
    via = [result["a"].via for result in played.sink.results]
    assert via[:5] == ["b"] * 5
    assert via[-5:] == [""] * 5


async def test_a_retry_fails_over_too(autojump_clock: trio.abc.Clock) -> None:
    """A call that waits for its next attempt does not wait for the breaker."""
    played = scenario(
        {"a": DOWN, "b": OK}, range(8), api={"retries": 9, "limit": 4, "timeout": 600}
    )
    await played.play()
    assert [result["a"].via for result in played.sink.results] == ["b"] * 8
    assert trio.current_time() < 5


async def test_a_long_pause_is_not_waited_out(autojump_clock: trio.abc.Clock) -> None:
    headers = ((b"retry-after", b"50"),)
    played = scenario(
        {"a": answers(Answer(0.1, 429, headers=headers)), "b": OK}, range(9), api={"limit": 1}
    )
    await played.play()
    assert [result["a"].via for result in played.sink.results] == ["b"] * 9
    assert len(played.transports["a"].sent_at) == 1
    assert trio.current_time() < 5


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(
    ("on", "answer"),
    [
        ([429], Answer(0.1, 429)),
        ([503], Answer(0.1, 503)),
        (["5xx"], Answer(0.1, 502)),
        (["timeout"], Answer(1e6)),
        (["connect"], Answer(0.1, failure=REFUSED)),
    ],
)
async def test_calls_go_to_the_fallback_at_once_while_the_api_fails_as_it_is_for(
    autojump_clock: trio.abc.Clock, on: list[Any], answer: Answer, retries: int
) -> None:
    """What has opened the breaker is among its `fallback_on`, though `unreachable` is not."""
    played = scenario(
        {"a": answers(answer), "b": OK},
        range(100),
        api={"limit": 5, "retries": retries, "attempt_timeout": 0.5, "idempotent": True},
        each={"b": {"fallback_on": on}},
    )
    await played.play()
    assert [result["a"].via for result in played.sink.results] == ["b"] * 100
    assert trio.current_time() < 4
    assert set(played.run.statistics.apis[0].errors) == {
        "timeout" if on == ["timeout"] else "connect" if on == ["connect"] else "status"
    }


async def test_calls_that_others_keep_from_the_fallback_wait(
    autojump_clock: trio.abc.Clock,
) -> None:
    """It was a 503 that opened the breaker, and the fallback is for 429 only."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.1, 503 if trio.current_time() < 20 else 200)

    played = scenario(
        {"a": script, "b": OK},
        range(30),
        api={"limit": 5, "retries": 2},
        each={"b": {"fallback_on": [429]}},
    )
    await played.play()
    assert [result["a"].via for result in played.sink.results] == [""] * 30
    assert all(result.ok for result in played.sink.results)


async def test_a_breaker_is_waited_for_where_the_fallback_is_for_other_failures(
    autojump_clock: trio.abc.Clock,
) -> None:
    played = scenario(
        {"a": DOWN, "b": OK},
        range(40),
        api={"limit": 5, "breaker": {"failures": 5, "wait": "30s"}},
        each={"b": {"fallback_on": ["timeout"], "breaker": False}},
    )
    await played.play()
    assert played.transports["b"].sent_at == []
    assert played.run.ending is Ending.GIVEN_UP
    assert trio.current_time() == pytest.approx(30.0, abs=0.5)


async def test_a_dependent_api_sees_the_final_outcome(autojump_clock: trio.abc.Clock) -> None:
    played = scenario(
        {"d": OK, "a": status(503), "b": answers(Answer(1.0, body=b'"from b"'))},
        each={"d": {"after": ["a"], "body": "_results.a"}},
    )
    await played.play()
    assert played.plan.names == ("d", "a")
    ((_, sent),) = played.transports["d"].sent_at
    assert (sent["body"], sent["via"], sent["ok"]) == ("from b", "b", True)


async def test_a_fallback_sees_the_results_that_its_api_sees(
    autojump_clock: trio.abc.Clock,
) -> None:
    played = scenario(
        {"a": status(503), "b": OK, "d": OK},
        each={"a": {"after": ["d"]}, "b": {"body": "_results.d.status"}},
    )
    await played.play()
    assert [value for _, value in played.transports["b"].sent_at] == [200]
    assert played.sink.results[0]["a"].via == "b"


async def test_no_fallback_for_what_was_skipped(autojump_clock: trio.abc.Clock) -> None:
    """a is not called, since d is not ok: that is no failure of a."""
    played = scenario(
        {"a": OK, "b": OK, "d": status(503)},
        each={"a": {"after": ["d"]}, "b": {"fallback_on": ["status"]}},
    )
    await played.play()
    assert played.sink.results[0]["a"].skipped
    assert played.transports["b"].sent_at == []


async def test_a_stand_in_is_lost_to_the_winner(autojump_clock: trio.abc.Clock) -> None:
    """`first`: b, in the place of a, has its outcome cancelled as a would have."""
    played = scenario(
        {"a": status(503), "b": answers(Answer(50.0)), "x": answers(Answer(3.0))}, join="first"
    )
    await played.play()
    lost, won = played.sink.results[0].outcomes
    assert won.ok
    assert lost.error
    assert (lost.error.kind, lost.via, lost.attempts) == ("lost", "b", 2)
    assert lost.seconds == pytest.approx(3.0)
    assert played.transports["b"].in_flight == 0


async def test_a_fallback_can_win(autojump_clock: trio.abc.Clock) -> None:
    played = scenario({"a": status(503), "b": OK, "x": answers(Answer(9.0))}, join="first")
    await played.play()
    won, lost = played.sink.results[0].outcomes
    assert (won.ok, won.via) == (True, "b")
    assert lost.error
    assert lost.error.kind == "lost"
    assert lost.error.message.startswith("lost to a")


async def test_a_stop_in_the_middle_leaves_a_line_to_resume_from(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Waiting for b, or being with it, is cut short like any call; no other is begun for it."""
    played = scenario(
        {"a": status(503), "b": answers(Answer(50.0))}, range(3), deadline=5, api={"limit": 2}
    )
    await played.play()
    assert played.run.ending is Ending.DEADLINE
    outcomes = [result["a"] for result in played.sink.results]
    assert [outcome.error and outcome.error.kind for outcome in outcomes] == ["deadline"] * 3
    assert [outcome.via for outcome in outcomes] == ["b"] * 3
    assert [outcome.attempts for outcome in outcomes] == [2, 2, 1]
    assert [outcome.seconds for outcome in outcomes] == pytest.approx([5.0, 5.0, 4.0])


async def test_batches_are_left_to_a_fallback_together(autojump_clock: trio.abc.Clock) -> None:
    """What one refused batch held goes out as one batch again."""
    played = scenario(
        {"a": status(503), "b": answers(Answer(0.1))},
        range(20),
        api={"batch": {"size": 10}, "limit": 4},
    )
    await played.play()
    assert [result["a"].body for result in played.sink.results] == list(range(20))
    assert {result["a"].via for result in played.sink.results} == {"b"}
    assert [len(sent) for _, sent in played.transports["b"].sent_at] == [10, 10]


async def test_the_window_is_empty_at_the_end(autojump_clock: trio.abc.Clock) -> None:
    """What is kept of a's answers while b is called is given back, whatever becomes of b."""
    big = b'"' + b"x" * 5000 + b'"'
    played = scenario(
        {
            "a": answers(Answer(0.1, 503, body=big)),
            "b": answers(Answer(0.1, 500, body=big)),
            "c": answers(Answer(0.1, body=big)),
        },
        [{"c": n % 2} for n in range(60)],
        api={"idempotent": True, "limit": 3},
        each={"b": {"when": "c == `1`"}},
        window_bytes="20KiB",
    )
    await played.play()
    assert {result["a"].via for result in played.sink.results} == {"c"}
    assert played.sink.indexes == list(range(60))
    assert played.run.window.bytes == 0


async def test_calls_that_waited_for_the_window_start_once_a_stand_in_is_settled(
    autojump_clock: trio.abc.Clock,
) -> None:
    """The failed answer that it replaces makes room, as a write does."""
    big = b'"' + b"x" * 3000 + b'"'
    played = scenario(
        {
            "a": lambda value, _: Answer(0.1, 200 if value else 500, body=None if value else big),
            "b": answers(Answer(1.0)),
        },
        range(6),
        each={"a": {"limit": 1, "retries": 0, "idempotent": True}},
        window_bytes=2000,
    )
    with trio.fail_after(100):
        await played.play()
    assert played.sink.indexes == list(range(6))
    assert trio.current_time() == pytest.approx(1.6)


async def test_unordered(autojump_clock: trio.abc.Clock) -> None:
    def half(value: Any, attempt: int) -> Answer:
        return Answer(0.1, 503 if value % 2 else 200)

    played = scenario({"a": half, "b": answers(Answer(9.0))}, range(10), unordered=True)
    await played.play()
    assert sorted(played.sink.indexes[:5]) == [0, 2, 4, 6, 8]
    assert sorted(played.sink.indexes[5:]) == [1, 3, 5, 7, 9]


async def test_the_total_limit_covers_fallbacks(autojump_clock: trio.abc.Clock) -> None:
    played = scenario({"a": status(503, 0.1), "b": OK}, range(30), total_limit=2)
    await played.play()
    assert [result["a"].via for result in played.sink.results] == ["b"] * 30
    assert all(transport.peak <= 2 for transport in played.transports.values())


async def test_a_record_that_does_not_fit_the_fallback_fails_there(
    autojump_clock: trio.abc.Clock,
) -> None:
    played = scenario(
        {"a": status(503), "b": OK}, [{"x": 1}], each={"b": {"url": "http://b.test/{id}"}}
    )
    await played.play()
    outcome = only(played)
    assert outcome.error
    assert (outcome.error.kind, outcome.via, outcome.attempts) == ("template", "b", 1)
    assert outcome.seconds == pytest.approx(1.0)


async def test_the_head_is_described_by_who_is_called(autojump_clock: trio.abc.Clock) -> None:
    notices: list[str] = []
    played = scenario(
        {"a": status(503), "b": answers(Answer(20.0))},
        range(2),
        notify=notices.append,
        watch_head=True,
    )
    await played.play()
    assert any("b: attempt 1 is under way" in notice for notice in notices)


@given(
    plays=st.lists(
        st.tuples(*[st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=3)] * 3),
        min_size=1,
        max_size=12,
    ),
    keyed=st.booleans(),
    when=st.sampled_from(["`true`", "`false`", "id > `3`"]),
    deadline=st.sampled_from([None, 0.15, 0.35, 1.0]),
)
def test_whatever_fails_no_request_is_applied_twice(
    plays: list[tuple[list[str], list[str], list[str]]],
    keyed: bool,
    when: str,
    deadline: float | None,
) -> None:
    """A POST takes effect at one API at most, each record has its line, and nothing is left over.

    What an API does twice under its own key counts once.
    """
    effects: set[tuple[int, int]] = set()

    def script(api: int) -> Script:
        def answer(value: Any, attempt: int) -> Answer:
            name = plays[value["id"]][api][min(attempt, 3) % len(plays[value["id"]][api])]
            if name in APPLIED:
                effects.add((value["id"], api))
            return ANSWERS[name]

        return answer

    played = scenario(
        {name: script(api) for api, name in enumerate("abc")},
        [{"id": number} for number in range(len(plays))],
        each={
            "a": {"idempotency_key": keyed},
            "b": {"fallback_on": ["unreachable", "protocol", "status"], "when": when},
        },
        api={"retries": 2, "limit": 3, "breaker": {"failures": 2}},
        deadline=deadline,
    )
    trio.run(played.play, clock=trio.testing.MockClock(autojump_threshold=0))
    assert played.sink.indexes == list(range(len(plays)))
    assert len({number for number, _ in effects}) == len(effects)
    assert played.run.window.bytes == 0
    for caller in played.backends[0].callers:
        assert (caller.in_flight, caller.limiter.borrowed_tokens) == (0, 0)


async def test_a_run_ends_though_one_of_its_apis_stays_down(autojump_clock: trio.abc.Clock) -> None:
    """With `on_down = "fail"` all calls to that one fail, the one that probes last included."""
    played = scenario(
        {"d": OK, "a": DOWN},
        range(30),
        api={"limit": 5, "breaker": {"failures": 5, "wait": "3s"}},
        on_down="fail",
    )
    await played.play()
    assert all(result["d"].ok and not result["a"].ok for result in played.sink.results)
    assert len(played.sink.results) == 30


async def test_a_fallback_that_stays_down_fails_only_what_was_left_to_it(
    autojump_clock: trio.abc.Clock,
) -> None:
    """The run goes on with the API itself, which is well."""

    def mostly(value: Any, attempt: int) -> Answer:
        return Answer(0.1, 500 if value % 3 == 0 else 200)

    played = scenario(
        {"a": mostly, "b": DOWN}, range(30), each={"b": {"breaker": {"failures": 2, "wait": "3s"}}}
    )
    await played.play()
    assert [result.ok for result in played.sink.results] == [n % 3 != 0 for n in range(30)]
    assert played.run.reason == ""
