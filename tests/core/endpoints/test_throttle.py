"""The throttle, against endpoints that refuse by rate or by chance."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.endpoints.throttle import Throttle

SLOTS = 64
LATENCY = 0.02  # so that 3,200 attempts a second are possible


class Ended(NamedTuple):
    """An attempt."""

    began: float
    is_served: bool


class Bucket:
    """An endpoint that serves `rate` attempts per second, and `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._time = 0.0

    def __call__(self, now: float) -> bool:
        earned = (now - self._time) * self._rate
        self._tokens, self._time = min(self._burst, self._tokens + earned), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def drive(throttle: Throttle, serves: Callable[[float], bool], seconds: float) -> list[Ended]:
    """Make attempts as fast as slots and the throttle allow."""
    now, ended = 0.0, []
    flying: list[tuple[float, float, bool]] = []
    while now < seconds:
        while len(flying) < SLOTS and throttle.wait(now) <= 1e-9:
            throttle.begin(now)
            heapq.heappush(flying, (now + LATENCY, now, serves(now)))
        may_begin = now + throttle.wait(now) if len(flying) < SLOTS else math.inf
        now = min(may_begin, flying[0][0] if flying else math.inf)
        while flying and flying[0][0] <= now:
            _, began, is_served = heapq.heappop(flying)
            if is_served:
                throttle.served(now)
            else:
                throttle.refused(began, now, len(flying) + 1)
            ended.append(Ended(began, is_served))
    return ended


def rates(ended: list[Ended], begin: float, end: float) -> tuple[float, float]:
    """Return attempts served and refused per second."""
    some = [each.is_served for each in ended if begin <= each.began < end]
    return some.count(True) / (end - begin), some.count(False) / (end - begin)


def test_throttle_is_off_until_the_first_refusal() -> None:
    throttle = Throttle(SLOTS)
    served, _ = rates(drive(throttle, lambda now: True, 1.0), 0.0, 0.9)
    assert served == pytest.approx(SLOTS / LATENCY, rel=0.01)
    assert (throttle.is_on, throttle.pace, throttle.served_share) == (False, math.inf, 1.0)


@pytest.mark.parametrize(("rate", "burst"), [(1000, 100), (100, 100), (100, 10), (10, 10)])
def test_throttle_finds_the_pace_of_a_limit(rate: float, burst: float) -> None:
    """It serves what the endpoint can, and wastes little, whatever the limit."""
    served, refused = rates(drive(Throttle(SLOTS), Bucket(rate, burst), 60), 20, 60)
    assert served >= 0.9 * rate
    assert refused <= 0.15 * rate


def test_throttle_finds_a_slow_pace() -> None:
    served, refused = rates(drive(Throttle(SLOTS), Bucket(1, 1), 120), 60, 120)
    assert served >= 0.5
    assert refused <= 0.5


def test_throttle_follows_a_limit_that_rises() -> None:
    """Growth is slow near the old limit, and bold beyond it."""
    low, high = Bucket(50, 10), Bucket(400, 40)
    throttle = Throttle(SLOTS)
    ended = drive(throttle, lambda now: low(now) if now < 30 else high(now), 90)
    assert rates(ended, 20, 30)[0] >= 45
    assert rates(ended, 60, 90)[0] >= 300


@pytest.mark.parametrize(("share", "at_least"), [(0.1, 0.8), (0.3, 0.25), (0.6, 0.15)])
def test_throttle_tells_chance_from_a_limit(share: float, at_least: float) -> None:
    """Slowing down would not help, so most of what could be served is."""
    random = Random(1)
    ended = drive(Throttle(SLOTS), lambda now: random.random() >= share, 60)
    served, _ = rates(ended, 10, 60)
    assert served >= at_least * (1 - share) * SLOTS / LATENCY


def test_throttle_holds_to_its_pace() -> None:
    """Attempts that were late may go sooner, by 0.03 s at most."""
    throttle = Throttle(SLOTS)
    throttle.refused(0.0, 0.1)
    throttle.resume(1.0)  # as after an outage before which nothing was learned
    assert throttle.pace == SLOTS
    begun = 0
    while throttle.wait(11.0) == 0:
        throttle.begin(11.0)
        begun += 1
    assert begun == 2  # of which the first is due, and the other was lost to the pace
    assert throttle.wait(11.0) == pytest.approx(2 / SLOTS - 0.03)


def test_throttle_starts_again_carefully_after_an_outage() -> None:
    """At half the known rate, up to twice that; what is known is halved by another outage soon."""
    throttle = Throttle(SLOTS)
    drive(throttle, Bucket(100, 10), 30)
    throttle.freeze(30.0)
    throttle.resume(60.0)
    first = throttle.pace
    assert 35 <= first <= 60
    throttle.freeze(65.0)
    throttle.resume(95.0)
    assert throttle.pace == pytest.approx(first / 2)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "served", "refused", "pause", "resume", "freeze"]),
            st.floats(0, 10) | st.just(0.0),
            st.floats(0, 5),
        ),
        max_size=300,
    ),
    st.integers(1, 1000),
)
def test_no_sequence_stops_the_throttle_for_good(
    sequence: list[tuple[str, float, float]], limit: int
) -> None:
    """Nothing lowers the pace below an attempt in ten seconds; no wait is longer than that."""
    throttle, now = Throttle(limit), 0.0
    for what, seconds, took in sequence:
        now += seconds
        if what == "begin":
            now += throttle.wait(now)
            throttle.begin(now)
        elif what == "refused":
            throttle.refused(now - min(took, now), now)
        else:
            getattr(throttle, what)(now)
        assert throttle.pace >= 0.1
        assert 0 <= throttle.wait(now) <= 10.001
        assert 0 <= throttle.served_share <= 1


def test_no_attempt_begins_until_it_is_known_what_becomes_of_those_under_way() -> None:
    """After a first storm of refusals, attempts wait for two refusal times, then are paced."""
    throttle = Throttle(500)
    for left in range(500, 100, -1):
        throttle.refused(0.0, 0.02, left)
    assert throttle.wait(0.02) == pytest.approx(0.04)
    assert throttle.wait(0.05) == pytest.approx(0.01)
    throttle.wait(0.06)
    assert throttle.pace < 3000


def test_a_first_refusal_by_chance_holds_no_attempts() -> None:
    """The hold is for storms: one refusal among many attempts does not end an epoch."""
    throttle = Throttle(64)
    throttle.refused(0.0, 0.02, 64)
    assert throttle.wait(0.03) == 0.0
    assert throttle.pace == math.inf
