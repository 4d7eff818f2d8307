"""Units and money: what attempts reserve and spend, in virtual time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from support.scripted import Answer, Scenario, Script, answers

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.spending.prices import Amount

CALL = {"price": {"call": "0.01"}}


def usage(spent: str, delay: float = 0.1, status: int = 200) -> Answer:
    return Answer(delay, status, body=b'{"usage":%b}' % spent.encode())


def paid(**keys: Any) -> dict[str, Any]:
    """Return the keys of an API with a price, which says what it spends."""
    return {"spent": "usage", "price": {"input": "1/1K", "output": "2/1K"}, **keys}


def starts(play: Scenario, name: str = "a") -> list[float]:
    return [round(at, 3) for at, _ in play.transports[name].sent_at]


async def test_tokens_are_reserved_by_cost(autojump_clock: object) -> None:
    """Calls of 50 units go two a second under a rate of 100, whatever else is free."""
    api = {"rate": {"tokens": "100/s"}, "cost": "tokens"}
    play = Scenario({"a": answers(Answer(0.1))}, [{"tokens": 50}] * 5, api=api)
    await play.play()
    assert starts(play) == [0.0, 0.5, 1.0, 1.5, 2.0]


async def test_spent_corrects_the_reservation(autojump_clock: object) -> None:
    """Calls that turn out to spend twice their cost go half as fast."""
    api = {"rate": {"tokens": "100/s"}, "cost": "tokens", "spent": "usage", "limit": 1}
    play = Scenario({"a": answers(usage("100"))}, [{"tokens": 50}] * 4, api=api)
    await play.play()
    assert starts(play) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("odd", ["null", "-1", "true", '"x"', "1e300", '{"input":-1}', "[1]"])
async def test_odd_values_of_spent_let_the_reservation_stand(
    odd: str, autojump_clock: object
) -> None:
    api = {"rate": {"tokens": "100/s"}, "cost": "tokens", "spent": "usage", "limit": 1}
    play = Scenario({"a": answers(usage(odd))}, [{"tokens": 50}] * 3, api=api)
    results = await play.play()
    assert all(result.ok for result in results)
    assert starts(play) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("odd", [None, -1, True, "5", [1], {"output": None}, 1e300, 1e8])
async def test_odd_costs_fail_their_record_alone(odd: object, autojump_clock: object) -> None:
    api = {"rate": {"tokens": "100/s"}, "cost": "tokens"}
    values = [{"tokens": 10}, {"tokens": odd}, {"tokens": 10}]
    play = Scenario({"a": answers(Answer(0.1))}, values, api=api)
    await play.play()
    assert play.errors("a") == [None, "template", None]
    assert len(starts(play)) == 2


async def test_a_refused_attempt_gives_its_reservation_back(autojump_clock: object) -> None:
    """After refusals the rate is free at once; after a 500 it is not."""
    for status, second in ((503, 0.5), (500, 10.0)):
        api = {"rate": {"tokens": "10/s"}, "cost": "`100`", "limit": 1, "retries": 0}

        def script(value: Any, attempt: int, status: int = status) -> Answer:
            return Answer(0.1, status if value == 0 else 200)

        play = Scenario({"a": script}, [0, 1], api=api)
        await play.play()
        assert starts(play)[1] - starts(play)[0] <= second
        assert (starts(play)[1] - starts(play)[0] < 1) is (status == 503)


@pytest.mark.parametrize("status", [401, 402, 407])
async def test_a_denied_attempt_spends_nothing(status: int, autojump_clock: object) -> None:
    """A wrong key or an unpaid bill costs nothing: not of the rate, and not of the budget."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.1, status) if value == 0 else usage("100")

    api = paid(rate={"tokens": "100/s"}, cost="`100`", limit=1)
    play = Scenario({"a": script}, [0, 1], api=api, max_cost="0.1")
    await play.play()
    assert play.errors("a") == ["status", None]
    assert starts(play)[1] < 0.5
    amounts = play.run.statistics.apis[0].spending.amounts()
    assert amounts["useful"] == Amount(1, 100, 0)
    assert amounts["retried"] == amounts["lost"] == Amount()


async def test_without_cost_the_first_call_tells_what_to_reserve(autojump_clock: object) -> None:
    """One call goes alone; then each reserves the mean of what calls have spent."""
    api = {"rate": {"tokens": "100/s"}, "spent": "usage"}
    play = Scenario({"a": answers(usage("50", delay=0.3))}, list(range(4)), api=api)
    await play.play()
    assert starts(play) == [0.0, 0.8, 1.3, 1.8]


async def test_apis_of_a_group_share_one_rate_in_turns(autojump_clock: object) -> None:
    """Two APIs under 10 a second together make five calls a second each."""
    each = {"a": {"rate": "10/s", "rate_group": "g"}, "b": {"rate_group": "g"}}
    scripts = {name: answers(Answer(0.01)) for name in each}
    play = Scenario(scripts, list(range(20)), each=each)
    await play.play()
    every = sorted(starts(play) + starts(play, "b"))
    assert every == pytest.approx([n / 10 for n in range(40)], abs=0.002)
    assert len([at for at in starts(play) if at < 2]) in (9, 10, 11)


async def test_what_a_group_gives_back_lets_the_others_go(autojump_clock: object) -> None:
    """A refusal at one API frees what another one waits for, and that one notices."""
    rate = {"tokens": "10/s"}
    each: dict[str, dict[str, Any]] = {
        "a": {"rate": rate, "rate_group": "g", "cost": "`1000`", "retries": 0},
        "b": {"rate_group": "g", "cost": "`1`"},
    }
    play = Scenario({"a": answers(Answer(1.0, 503)), "b": answers(Answer())}, [0], each=each)
    await play.play()
    assert max(starts(play, "b")) <= 1.1


async def test_spending_is_told_by_what_came_of_it(autojump_clock: object) -> None:
    """An attempt that is repeated, a call that fails, and one that is ok are counted apart."""

    def script(value: Any, attempt: int) -> Answer:
        if value == "twice" and attempt == 1:
            return usage('{"input":1,"output":2}', status=500)
        if value == "bad":
            return usage('{"input":10,"output":20}', status=400)
        return usage('{"input":100,"output":200}')

    play = Scenario({"a": script}, ["twice", "bad", "good"], api=paid(idempotent=True))
    await play.play()
    api = play.run.statistics.apis[0]
    assert api.spending.amounts() == {
        "useful": Amount(2, 200, 400),
        "retried": Amount(1, 1, 2),
        "hedged": Amount(),
        "lost": Amount(1, 10, 20),
    }
    assert api.cost == play.run.statistics.cost == Decimal("1.055")


async def test_the_losing_attempt_of_a_hedge_is_counted_as_hedged(autojump_clock: object) -> None:
    """It was cancelled, so what it had reserved stands."""
    slow = answers(usage("7", delay=5.0), usage("5", delay=0.1))
    api = paid(idempotent=True, hedge="1s", cost="`3`")
    play = Scenario({"a": slow}, list(range(30)), api=api, each={})
    await play.play()
    spending = play.run.statistics.apis[0].spending
    assert spending.hedged == Amount(1.0 * spending.hedged.calls, 3 * spending.hedged.calls, 0)
    assert spending.hedged.calls >= 1
    assert spending.useful.calls == 30


async def test_lost_and_unsent_attempts(autojump_clock: object) -> None:
    """What was sent and got no answer may have been spent; what was not sent was not."""
    sent = TransportError("protocol", "lost", sent=True, transient=True)
    unsent = TransportError("connect", "refused", sent=False, transient=True)

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.1, failure=sent if value else unsent)

    api = paid(cost="`5`", retries=0, idempotent=True)
    play = Scenario({"a": script}, [0, 1], api=api)
    await play.play()
    assert play.run.statistics.apis[0].spending.total == Amount(1, 5, 0)


async def test_a_batch_is_divided_among_its_records(autojump_clock: object) -> None:
    """A batch reserves what its records cost, and each record gets its share of what it spent."""
    body = b'{"usage":90,"items":[1,2,3]}'
    api = paid(batch={"size": 3, "items": "items"}, cost="@", rate={"tokens": "60/s"})
    play = Scenario({"a": answers(Answer(0.1, body=body))}, [10, 20, 30] * 2, api=api)
    await play.play()
    assert starts(play) == [0.0, 1.5]
    assert play.run.statistics.apis[0].spending.useful == Amount(2, 180, 0)


async def test_max_cost_begins_nothing_that_would_pass_it(autojump_clock: object) -> None:
    """A budget for 100 calls makes 100, ends as given up, and sends the others nowhere."""
    play = Scenario({"a": answers(Answer(0.1))}, list(range(250)), api=CALL, max_cost=1)
    await play.play()
    assert play.run.ending is Ending.COST_LIMIT
    assert play.errors("a") == [None] * 100 + ["cancelled"] * 150
    assert [result["a"].attempts for result in play.sink.results] == [1] * 100 + [0] * 150
    assert play.run.statistics.cost == 1
    error = play.sink.results[-1]["a"].error
    assert error
    assert error.message == "the run was given up: --max-cost is reached; not sent"


@pytest.mark.parametrize("transport_limit", [1, 64])
async def test_max_cost_uses_what_reservations_leave(
    transport_limit: int, autojump_clock: object
) -> None:
    """Calls that reserve ten times what they spend go on until it is really spent."""
    api = paid(cost="`1000`", limit=transport_limit)
    play = Scenario({"a": answers(usage("100"))}, list(range(300)), api=api, max_cost="10")
    await play.play()
    assert play.run.ending is Ending.COST_LIMIT
    assert play.run.statistics.cost <= 10
    assert play.run.statistics.cost > 9


async def test_max_cost_holds_without_cost(autojump_clock: object) -> None:
    """The mean is reserved, and the first call goes alone: a small budget is not passed."""
    play = Scenario({"a": answers(usage("100"))}, list(range(300)), api=paid(), max_cost="2")
    await play.play()
    assert play.run.statistics.cost == 2
    assert len(starts(play)) == 20


async def test_max_cost_counts_all_apis_and_drains(autojump_clock: object) -> None:
    """A free API stops with the others, and what is under way then ends well."""
    each: dict[str, dict[str, Any]] = {"a": CALL, "b": {}, "c": {"price": {"call": 0.02}}}
    slow = {"a": answers(Answer(0.1)), "b": answers(Answer(3.0)), "c": answers(Answer(0.2))}
    play = Scenario(slow, list(range(500)), each=each, max_cost=0.3)
    await play.play()
    assert play.run.statistics.cost <= Decimal("0.3")
    assert play.run.statistics.cost > Decimal("0.27")
    assert play.run.ending is Ending.COST_LIMIT
    for name in each:
        for result in play.sink.results:
            assert result[name].ok or not result[name].attempts


async def test_max_cost_that_suffices_changes_nothing(autojump_clock: object) -> None:
    play = Scenario({"a": answers(Answer(0.1))}, list(range(100)), api=CALL, max_cost=1)
    await play.play()
    assert play.run.ending is Ending.FINISHED
    assert all(result.ok for result in play.sink.results)


async def test_max_cost_limits_batches(autojump_clock: object) -> None:
    """Records join a batch only as far as the budget goes."""
    api = {
        **paid(batch={"size": 10, "items": "usage"}, cost="@"),
        "spent": "length(usage) && sum(usage)",
    }

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.1, body=b'{"usage":%b}' % str(value).encode())

    play = Scenario({"a": script}, [1000] * 25, api=api, max_cost=12)
    await play.play()
    assert play.run.statistics.cost == 12
    assert play.errors("a") == [None] * 12 + ["cancelled"] * 13


async def test_ends_well_while_retries_wait(autojump_clock: object) -> None:
    """A call whose retry is too expensive ends with the run, not after it."""
    script: Script = answers(Answer(0.1, 500))
    api = {"price": {"call": "1"}, "idempotent": True, "retries": 9, "timeout": 1000}
    play = Scenario({"a": script}, [0, 1], api=api, max_cost=3)
    await play.play()
    assert play.run.ending is Ending.COST_LIMIT
    assert len(starts(play)) == 3
    assert play.errors("a") == ["cancelled", "cancelled"]


async def test_calls_that_wait_for_the_budget_are_held_by_cost(autojump_clock: object) -> None:
    """What is left allows one call at a time: the others wait for it, and for no rate."""
    api = {"price": {"input": "1/1K"}, "cost": "`1000`", "spent": "usage"}
    play = Scenario({"a": answers(usage("100", delay=1.0))}, [1, 2, 3], api=api, max_cost="1.5")
    await play.play()
    held = play.run.statistics.apis[0].held.seconds
    assert (held["cost"], held["rate"]) == (2.0, 0.0)


def keys_of(**rate: str) -> dict[str, Any]:
    """Return an API with two endpoints of this rate each."""
    endpoints = [{"url": f"http://{host}.test", "rate": rate} for host in ("eu", "us")]
    return {"url": "", "endpoints": endpoints, "balance": "failover"}


async def test_tokens_are_limited_at_each_endpoint(autojump_clock: object) -> None:
    """Two keys of 100 tokens a second take four calls of 50 a second."""
    api = {**keys_of(tokens="100/s"), "cost": "tokens"}
    play = Scenario({"a": answers(Answer(0.1))}, [{"tokens": 50}] * 8, api=api)
    await play.play()
    assert starts(play) == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5]
    assert play.transports["a"].urls.count("http://eu.test/") == 4
    assert play.run.statistics.apis[0].held.seconds["rate"] == pytest.approx(1.5)


async def test_spent_corrects_the_endpoint_that_was_called(autojump_clock: object) -> None:
    """The one whose calls spend four times their cost gets fewer of them."""

    def script(value: Any, attempt: int) -> Answer:
        return usage("200" if "eu" in play.transports["a"].urls[-1] else "50")

    api = {**keys_of(tokens="100/s"), "cost": "tokens", "spent": "usage"}
    play = Scenario({"a": script}, [{"tokens": 50}] * 10, api=api)
    await play.play()
    urls = play.transports["a"].urls
    assert urls.count("http://eu.test/") == 2
    assert starts(play)[-1] == pytest.approx(3.5, abs=0.01)


async def test_a_refused_attempt_gives_back_what_it_reserved_there(autojump_clock: object) -> None:
    """It moves on to the other endpoint, and the first has all its tokens again."""

    def script(value: Any, attempt: int) -> Answer:
        is_refused = value["n"] == 0 and attempt == 1
        return Answer(0.1, 503 if is_refused else 200)

    api = {**keys_of(tokens="10/s"), "cost": "tokens", "limit": 1}
    values = [{"n": n, "tokens": 100} for n in range(2)]
    play = Scenario({"a": script}, values, api=api)
    await play.play()
    urls = play.transports["a"].urls
    assert urls == ["http://eu.test/", "http://eu.test/", "http://us.test/"]
    assert starts(play)[-1] < 1.0


async def test_the_first_response_tells_what_an_endpoint_reserves(autojump_clock: object) -> None:
    """Without `cost` one call goes first, and then as many as the tokens allow."""
    api = {**keys_of(tokens="100/s"), "spent": "usage"}
    play = Scenario({"a": answers(usage("50"))}, [0] * 5, api=api)
    await play.play()
    assert starts(play)[:2] == [0.0, 0.1]
    assert starts(play)[-1] > 0.5


@pytest.mark.parametrize("also", [{}, {"rate": {"tokens": "60/s"}}])
async def test_tokens_of_the_api_hold_for_all_its_endpoints(
    also: dict[str, Any], autojump_clock: object
) -> None:
    api = {**keys_of(tokens="100/s", requests="50/s"), "cost": "tokens", **also}
    play = Scenario({"a": answers(Answer(0.1))}, [{"tokens": 30}] * 9, api=api)
    await play.play()
    assert starts(play)[-1] == pytest.approx(4.0 if also else 1.2)
