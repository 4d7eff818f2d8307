"""Hedges: second attempts beside slow ones, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario, Script, answers

from tmux_fanout.core.errors import TransportError

GET = {"method": "PUT", "hedge": 0.2}
LOST = TransportError("protocol", "lost", sent=True, transient=True)


def first_slow(slow: set[int], *sequence: Answer) -> Script:
    """Return a script that is slow for the first attempts of some records, else takes 0.1 s."""
    slowly, quickly = answers(*sequence, Answer(0.1)), answers(Answer(0.1))
    return lambda value, attempt: (slowly if value in slow else quickly)(value, attempt)


async def play(script: Script, count: int = 40, **api: Any) -> Scenario:
    scenario = Scenario({"a": script}, list(range(count)), api={**GET, **api})
    await scenario.play()
    return scenario


async def test_a_slow_attempt_gets_another_beside_it(autojump_clock: object) -> None:
    """The second attempt answers after 0.2 + 0.1 s, and the first one is cancelled."""
    scenario = await play(first_slow({39}, Answer(10.0)))
    outcome = scenario.sink.results[39]["a"]
    assert (outcome.ok, outcome.attempts) == (True, 2)
    assert outcome.seconds == pytest.approx(0.3)
    assert trio.current_time() == pytest.approx(0.3)
    assert scenario.transports["a"].in_flight == 0
    assert scenario.run.statistics.apis[0].hedges == 1
    assert scenario.run.statistics.apis[0].attempts == 41


async def test_the_first_may_still_win(autojump_clock: object) -> None:
    """The first attempt answers at 0.25 s, and the second one is cancelled."""
    scenario = await play(first_slow({39}, Answer(0.25), Answer(10.0)))
    assert scenario.sink.results[39]["a"].seconds == pytest.approx(0.25)
    assert trio.current_time() == pytest.approx(0.25)
    assert scenario.transports["a"].in_flight == 0


async def test_hedges_are_a_twentieth_at_most(autojump_clock: object) -> None:
    """If all attempts are slow, 100 of them allow 5 hedges."""
    scenario = await play(answers(Answer(5.0)), 100, limit=110)
    assert scenario.run.statistics.apis[0].hedges == 5
    assert len(scenario.transports["a"].sent_at) == 105


async def test_what_must_not_be_sent_twice_is_not_hedged(autojump_clock: object) -> None:
    """Hedging such an API is refused as a mistake in the configuration."""
    with pytest.raises(ValueError, match="hedge: a second POST may be applied twice"):
        Scenario({"a": answers()}, api={"hedge": 0.2})


@pytest.mark.parametrize(
    ("first", "second", "ok", "attempts", "seconds"),
    [
        (Answer(0.25, failure=LOST), Answer(0.2), True, 2, 0.4),
        (Answer(0.25, 500), Answer(0.2, 404), False, 2, 0.4),
        (Answer(5.0), Answer(0.2, 404), False, 2, 0.4),
        (Answer(0.5), Answer(0.1, failure=LOST), True, 2, 0.5),
        (Answer(0.5), Answer(0.1, 503), True, 2, 0.5),
        (Answer(0.25, 404), Answer(0.2), False, 2, 0.25),
    ],
    ids=["first lost", "first 500, second 404", "404", "second lost", "second 503", "first 404"],
)
async def test_first_response_wins(
    autojump_clock: object, first: Answer, second: Answer, ok: bool, attempts: int, seconds: float
) -> None:
    """A response that is worth a retry does not win while the other attempt is under way."""
    scenario = await play(first_slow({39}, first, second))
    outcome = scenario.sink.results[39]["a"]
    assert (outcome.ok, outcome.attempts) == (ok, attempts)
    assert outcome.seconds == pytest.approx(seconds)
    assert scenario.transports["a"].in_flight == 0


async def test_both_failed_is_retried(autojump_clock: object) -> None:
    """After both have failed the call is retried; the hedge does not count as a retry."""
    scenario = await play(first_slow({39}, Answer(0.25, failure=LOST), Answer(0.2, 503)), retries=1)
    outcome = scenario.sink.results[39]["a"]
    assert (outcome.ok, outcome.attempts) == (True, 3)
    assert outcome.seconds > 0.4 + 0.1


async def test_a_hedge_goes_to_another_endpoint(autojump_clock: object) -> None:
    """The hedge avoids the endpoint that is slow."""
    bases = ["http://one.test", "http://two.test"]
    script = first_slow({39}, Answer(10.0))
    scenario = await play(script, url="/", endpoints=bases, balance="failover")
    assert scenario.transports["a"].urls[-1] == "http://two.test/"


async def test_p95_is_learnt(autojump_clock: object) -> None:
    """After 20 calls, one that takes longer than 95 % of them is hedged."""
    script: Script = lambda value, attempt: Answer(  # noqa: E731
        10.0 if (value, attempt) == (30, 1) else 0.1 + value % 20 / 1000
    )
    scenario = await play(script, hedge="p95", limit=1)
    assert scenario.run.statistics.apis[0].hedges == 0  # for which there was no slot
    scenario = await play(script, hedge="p95", limit=2)
    assert scenario.run.statistics.apis[0].hedges in (1, 2)
    assert scenario.sink.results[30]["a"].seconds == pytest.approx(0.12 + 0.11, abs=0.02)


async def test_head_hedges_what_others_wait_for(autojump_clock: object) -> None:
    """Of two slow calls, the second is hedged only when it blocks the output."""
    slow = {100, 150}
    scenario = Scenario(
        {"a": first_slow(slow, Answer(3.0))},
        list(range(200)),
        api={"method": "PUT", "hedge": "head", "limit": 20},
        window=60,
    )
    await scenario.play()
    sent = scenario.transports["a"].sent_at
    again = {value: [at for at, other in sent if other == value] for value in slow}
    assert all(len(times) == 2 for times in again.values())
    assert again[150][1] > again[100][1]
    assert trio.current_time() < 3.0


async def test_hedges_hold_slots(autojump_clock: object) -> None:
    """Hedges count towards the limit of attempts in flight."""
    scenario = Scenario(
        {"a": lambda value, attempt: Answer(2.0 if value % 10 == 0 and attempt == 1 else 0.1)},
        list(range(300)),
        api={**GET, "limit": 5},
    )
    results = await scenario.play()
    assert all(result.ok for result in results)
    assert scenario.transports["a"].peak == 5
    assert scenario.run.statistics.apis[0].hedges > 5


async def test_hedges_are_cut_short_with_their_calls(autojump_clock: object) -> None:
    """The deadline ends both attempts at once."""
    scenario = Scenario(
        {"a": first_slow({39}, Answer(9.0), Answer(9.0))}, list(range(40)), api=GET, deadline=1.0
    )
    results = await scenario.play()
    assert results[39]["a"].attempts == 2
    assert scenario.errors("a")[39] == "deadline"
    assert trio.current_time() == 1.0
    assert scenario.transports["a"].in_flight == 0


async def test_a_status_that_is_ok_is_final(autojump_clock: object) -> None:
    """A status listed in ok_status is not waited on, even if it is usually retried."""
    first = await play(first_slow({39}, Answer(0.25, 503), Answer(9.0)), ok_status=["2xx", 503])
    assert first.sink.results[39]["a"].seconds == pytest.approx(0.25)
    second = await play(first_slow({39}, Answer(9.0), Answer(0.1, 503)), ok_status=["2xx", 503])
    assert second.sink.results[39]["a"].ok
    assert second.sink.results[39]["a"].seconds == pytest.approx(0.3)


async def test_a_hedge_that_begins_as_the_first_attempt_fails(autojump_clock: object) -> None:
    """The call ends with the first failure once the hedge has failed as well."""
    script = first_slow({39}, Answer(connect=0.2, failure=LOST), Answer(connect=1000.0))
    for _ in range(20):  # trio runs tasks in random order
        began = trio.current_time()
        with trio.fail_after(10):
            scenario = await play(script, retries=0, timeout=0.5)
        assert scenario.errors("a")[39] == "protocol"
        assert trio.current_time() - began <= 0.5 + 1e-6
