"""The choice of an endpoint."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.policy.balance import DECAY, Balance, Balancer, Latency

OK = [True, True, True]


def choose(
    balance: Balance,
    in_flight: list[int],
    turn: int,
    usable: list[bool],
    avoid: int | None = None,
) -> int:
    """Return the choice of a balancer whose turn has come to an endpoint."""
    balancer = Balancer(balance, [1.0] * len(in_flight))
    for _ in range(turn):
        balancer.choose([0] * len(in_flight), 0.0, usable=OK, avoid=None)
    return balancer.choose(in_flight, 0.0, usable=usable, avoid=avoid)


@pytest.mark.parametrize(
    ("balance", "in_flight", "turn", "usable", "avoid", "expected"),
    [
        ("round-robin", [9, 0, 0], 0, OK, None, 0),
        ("round-robin", [0, 0, 9], 2, OK, None, 2),
        ("round-robin", [0, 0, 0], 1, OK, 1, 2),
        ("round-robin", [0, 0, 0], 1, [True, False, False], None, 0),
        ("round-robin", [0, 0, 0], 1, [False, True, False], 1, 1),
        ("least-in-flight", [2, 1, 3], 0, OK, None, 1),
        ("least-in-flight", [1, 1, 1], 2, OK, None, 2),
        ("least-in-flight", [0, 5, 6], 0, OK, 0, 1),
        ("least-in-flight", [0, 5, 6], 0, [False, False, True], None, 2),
        ("failover", [9, 0, 0], 2, OK, None, 0),
        ("failover", [9, 0, 0], 0, OK, 0, 1),
        ("failover", [0, 0, 0], 0, [False, True, True], None, 1),
        ("failover", [0, 0, 0], 0, [False, True, True], 1, 2),
        ("failover", [0, 0, 0], 0, [False, False, False], None, 0),
    ],
)
def test_choose(
    balance: Balance,
    in_flight: list[int],
    turn: int,
    usable: list[bool],
    avoid: int | None,
    expected: int,
) -> None:
    """It is the least busy, the next or the first usable one, not the one that just failed."""
    assert choose(balance, in_flight, turn, usable, avoid) == expected


def test_round_robin_goes_by_weight_and_spreads_the_turns() -> None:
    """Weights of 3, 1 and 1 make no five turns alike, but all of them fair."""
    balancer = Balancer("round-robin", [3.0, 1.0, 1.0])
    turns = [balancer.choose([0, 0, 0], 0.0, usable=OK, avoid=None) for _ in range(10)]
    assert turns[:5] == [0, 1, 0, 2, 0]
    assert Counter(turns) == {0: 6, 1: 2, 2: 2}


def test_least_in_flight_goes_by_weight() -> None:
    """An endpoint of three times the weight has three times as many attempts in flight."""
    balancer = Balancer("least-in-flight", [3.0, 1.0])
    in_flight = [0, 0]
    for _ in range(40):
        in_flight[balancer.choose(in_flight, 0.0, usable=OK[:2], avoid=None)] += 1
    assert in_flight == [30, 10]


def test_latency_rises_at_once_and_falls_bit_by_bit() -> None:
    """After `DECAY` seconds a shorter latency counts for 63 %."""
    latency = Latency()
    latency.served(0.1, 0.0)
    latency.served(2.0, 1.0)
    assert latency.seconds == 2.0
    latency.served(0.1, 1.0 + DECAY)
    assert latency.seconds == pytest.approx(0.1 + 1.9 / 2.71828, rel=1e-4)


def test_failures_are_no_latency_and_double_the_load() -> None:
    """Not even a refusal in a microsecond makes an endpoint attractive."""
    latency = Latency()
    latency.served(1.0, 0.0)
    for failures in range(1, 10):
        latency.failed(0.0)
        assert latency.seconds == 1.0
        assert latency.load(0, fastest=0.5, now=0.0) == 2.0 ** min(failures, 6)
    latency.served(1.0, 0.0)
    assert latency.load(0, fastest=0.5, now=0.0) == 1.0


def test_a_new_endpoint_is_as_fast_as_the_fastest() -> None:
    """It gets attempts at once, and not all of them."""
    assert Latency().load(0, fastest=0.3, now=5.0) == 0.3
    assert Latency().load(3, fastest=0.3, now=5.0) == pytest.approx(1.2)


def test_a_cancelled_attempt_shows_that_an_endpoint_hangs() -> None:
    """It has taken at least that long; a short one says nothing."""
    latency = Latency()
    latency.cancelled(0.001, 0.0)
    assert latency.seconds is None
    latency.served(1.0, 0.0)
    latency.cancelled(0.5, 1.0)
    assert latency.seconds == 1.0
    latency.cancelled(30.0, 31.0)
    assert latency.seconds == 30.0


def test_an_idle_endpoint_gets_one_attempt_after_a_while() -> None:
    """Its load nears that of the fastest, and is its own as soon as one is in flight."""
    latency = Latency()
    latency.served(50.0, 0.0)
    idle = [latency.load(0, fastest=0.1, now=now) for now in (0.0, DECAY, 10 * DECAY)]
    assert idle == [50.0, pytest.approx(18.457, rel=1e-3), pytest.approx(0.1, rel=0.05)]
    assert latency.load(1, fastest=0.1, now=10 * DECAY) == 100.0


def simulate(delays: list[float], refuses: set[int], calls: int, limit: int) -> Counter[int]:
    """Return how many calls each endpoint of a busy API serves, each refusing none or all."""
    balancer = Balancer("least-in-flight", [1.0] * len(delays))
    in_flight = [0] * len(delays)
    under_way: list[tuple[float, float, int]] = []
    attempts: Counter[int] = Counter()
    waiting, now, avoid = deque(range(calls)), 0.0, None
    while waiting or under_way:
        while waiting and len(under_way) < limit:
            waiting.popleft()
            chosen = balancer.choose(in_flight, now, usable=[True] * len(delays), avoid=avoid)
            avoid = None
            in_flight[chosen] += 1
            attempts[chosen] += 1
            under_way.append((now + delays[chosen], now, chosen))
        under_way.sort()
        now, began, index = under_way.pop(0)
        in_flight[index] -= 1
        if index in refuses:
            balancer.latency(index).failed(now)
            waiting.appendleft(0)
            avoid = index
        else:
            balancer.latency(index).served(now - began, now)
    return attempts


def test_one_that_is_slow_gets_the_fewer_attempts_the_slower_it_is() -> None:
    """Attempts spread as the servers' speeds do, without a slot that waits for the slow one."""
    attempts = simulate([0.1, 0.1, 1.0], set(), 3000, limit=30)
    assert attempts[0] > 1000
    assert attempts[2] < 300


def test_one_that_refuses_at_once_gets_few_attempts() -> None:
    """Without its failures it would be the least busy one by far, and get nearly all."""
    attempts = simulate([0.1, 0.001], {1}, 1000, limit=10)
    assert attempts[1] < 150


@given(
    st.sampled_from(["least-in-flight", "round-robin", "failover"]),
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5),
    st.data(),
)
def test_choose_never_takes_one_that_is_not_usable(
    balance: Balance, weights: list[float], data: st.DataObject
) -> None:
    """That holds whatever happened, as long as there is another."""
    balancer = Balancer(balance, weights)
    count = len(weights)
    now = 0.0
    for _ in range(10):
        usable = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
        in_flight = data.draw(st.lists(st.integers(0, 500), min_size=count, max_size=count))
        chosen = balancer.choose(in_flight, now, usable=usable, avoid=None)
        assert usable[chosen] or not any(usable)
        now += data.draw(st.floats(0, 1e5))
        latency = balancer.latency(chosen)
        if data.draw(st.booleans()):
            latency.failed(now)
        else:
            latency.served(0.0, now)
        latency.cancelled(now, now)
