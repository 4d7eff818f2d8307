"""What members tell each other of endpoints."""

from __future__ import annotations

import math

import pytest

from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.endpoints.health import Health
from tmux_fanout.core.policy.answers import Says
from tmux_fanout.core.sharing.conditions import Board, Condition, Failure

PAUSED = Condition(0, 0, paused=10.0, paused_by="Retry-After")
DOWN = Condition(0, 1, down=2.0, probe=1.0, failure=Failure(503))


def test_pause_is_told_and_kept_for_those_that_join() -> None:
    """As much of it as is left then."""
    board = Board[str]()
    assert board.current(0.0) == []
    assert board.add("a", [PAUSED], 0.0) == [PAUSED]
    assert board.current(4.0) == [Condition(0, 0, paused=6.0, paused_by="Retry-After")]
    assert board.current(10.0) == []


def test_shorter_pause_does_not_end_a_longer_one() -> None:
    board = Board[str]()
    board.add("a", [PAUSED], 0.0)
    board.add("b", [Condition(0, 0, paused=1.0), Condition(0, 1)], 2.0)
    assert board.current(2.0) == [Condition(0, 0, paused=8.0, paused_by="Retry-After")]


def test_outage_is_probed_by_the_first_that_reports_it() -> None:
    """Others are told of its probes only; another takes over if it dies, or says no more."""
    board = Board[str]()
    assert board.add("a", [DOWN], 0.0) == [DOWN]
    assert board.add("b", [DOWN], 0.1) == []
    assert board.add("a", [DOWN], 1.0) == [DOWN]
    assert board.add("b", [DOWN], 3.9) == []
    assert board.add("b", [DOWN], 4.1) == [DOWN]
    assert board.add("a", [DOWN], 4.2) == []
    board.leave("b")
    assert board.add("a", [DOWN], 4.3) == [DOWN]


def test_outage_lasts_until_one_is_served_again() -> None:
    """A member that has not noticed the outage does not end it."""
    board = Board[str]()
    board.add("a", [DOWN], 0.0)
    assert board.add("b", [Condition(0, 1)], 1.0) == []
    assert [each.down for each in board.current(1.0)] == [3.0]
    served = Condition(0, 1, serves_again=True)
    assert board.add("b", [served], 2.0) == [served]
    assert board.current(2.0) == []


def test_paces_are_told_to_those_that_join_only() -> None:
    """Each finds its own pace, and a new member starts with their mean."""
    board = Board[str]()
    assert board.add("a", [Condition(0, 0, pace=30.0)], 0.0) == []
    assert board.add("b", [Condition(0, 0, pace=10.0)], 0.0) == []
    assert board.current(0.0) == [Condition(0, 0, pace=20.0)]
    board.leave("a")
    assert board.current(0.0) == [Condition(0, 0, pace=10.0)]
    board.add("b", [Condition(0, 0)], 1.0)
    assert board.current(1.0) == []


def health() -> Health:
    return Health(BreakerSettings(), 64, 300.0)


def test_pause_of_others_is_kept_to() -> None:
    """It is a pause as any other, and no longer than the API's own may be."""
    own = health()
    own.hear(PAUSED, 100.0)
    assert own.wait(100.0) == 10.0
    assert own.held_by(100.0) == "paused"
    own.hear(Condition(0, 0, paused=1e9), 100.0)
    assert own.wait(100.0) == 300.0


def test_outage_of_others_opens_the_breaker() -> None:
    """The first probe is theirs; if it is never reported, one is made here."""
    own = health()
    own.hear(DOWN, 100.0)
    assert own.is_down
    assert 1.0 < own.wait(100.0) < 2.0
    own.hear(Condition(0, 1, down=5.0, probe=2.0), 103.0)
    assert 2.0 < own.wait(103.0) < 3.0
    assert own.begin(106.0)
    own.hear(Condition(0, 1, serves_again=True), 106.1)
    assert not own.is_down
    assert own.has_served


def test_own_service_refutes_the_outage_of_others() -> None:
    """Others may have lost their way to an endpoint that is well."""
    own = health()
    own.learn(Says.SERVES, began=98.9, now=99.0, is_probe=False, pause=None)
    own.hear(DOWN, 100.0)
    assert not own.is_down
    assert own.wait(100.0) == 0.0


def test_endpoint_without_a_breaker_is_never_down() -> None:
    own = Health(None, 64, 300.0)
    own.hear(DOWN, 100.0)
    own.hear(Condition(0, 1, serves_again=True), 100.0)
    assert own.wait(100.0) == 0.0


def test_pace_of_others_is_where_a_new_member_starts() -> None:
    """It keeps to that from its first attempt, and goes on from there by what it finds."""
    own = health()
    own.hear(Condition(0, 0, pace=20.0), 100.0)
    assert own.throttle.pace == 20.0
    own.begin(100.0)
    assert own.wait(100.0) == pytest.approx(0.05, abs=0.035)
    own.hear(Condition(0, 0, pace=5.0), 100.0)
    assert own.throttle.pace == 20.0
    now = 100.0
    for _ in range(4000):
        now += own.wait(now)
        own.begin(now)
        own.learn(Says.SERVES, began=now, now=now, is_probe=False, pause=None)
    assert 20.0 < own.throttle.pace <= math.inf


FAILING = Condition(0, 0, failing=0.2)


def test_endpoint_that_seems_down_is_left_to_the_first_that_reports_it() -> None:
    """The others call it again once one is served, or if no result comes of it."""
    board = Board[str]()
    [told] = board.add("a", [FAILING], 0.0)
    assert (told.failing, told.left) == (0.2, 1.5)
    assert board.leave_to_others("a", [FAILING], 0.0) == []
    assert board.add("b", [FAILING], 0.5) == []
    [own] = board.leave_to_others("b", [FAILING], 0.5)
    assert (own.failing, own.left) == (0.2, 1.0)
    served = Condition(0, 0, serves_again=True)
    assert board.add("a", [served], 0.6) == [served]
    assert board.leave_to_others("b", [FAILING], 0.6) == []
    assert board.add("b", [FAILING], 0.7)[0].left == 1.5
    assert board.add("a", [FAILING], 2.3)[0].left == 1.5
    board.leave("a")
    assert board.add("b", [FAILING], 2.4)[0].left == 1.5
    assert board.current(2.4) == []


LEFT = Condition(0, 0, failing=0.2, left=1.5)


def fail(own: Health, *times: float) -> None:
    for now in times:
        own.learn(Says.FAILS, began=now, now=now, is_probe=False, pause=None)


def test_left_endpoint_is_not_called_until_it_serves_others() -> None:
    """If nothing is heard of it, it is called again soon."""
    own = health()
    own.hear(LEFT, 100.0)
    assert own.wait(100.0) == 1.5
    assert own.closed_for(100.0) == 1.5
    assert own.held_by(100.0) == "breaker"
    assert not own.is_down
    own.hear(Condition(0, 0, serves_again=True), 100.3)
    assert own.wait(100.3) == 0.0
    assert own.has_served
    own.hear(LEFT, 101.0)
    assert own.wait(102.6) == 0.0
    assert own.is_calm(102.6)


def test_own_service_speaks_against_leaving_an_endpoint_to_others() -> None:
    """Unless it seems down from here as well."""
    own = health()
    own.learn(Says.SERVES, began=99.9, now=99.95, is_probe=False, pause=None)
    own.hear(LEFT, 100.0)
    assert own.wait(100.0) == 0.0
    fail(own, 100.0, 100.01, 100.02, 100.03)
    own.hear(LEFT, 100.03)
    assert own.closed_for(100.03) == 0.0
    fail(own, 100.04)
    own.hear(LEFT, 100.04)
    assert own.closed_for(100.04) == 1.5
    own.learn(Says.SERVES, began=100.04, now=100.1, is_probe=False, pause=None)
    assert own.closed_for(100.1) == 0.0


def test_time_in_which_an_endpoint_is_left_to_others_is_no_part_of_its_pace() -> None:
    """The epoch under way goes on afterwards as if no time had passed."""
    paces = []
    for left in (0.0, 1.0):
        own = health()
        now = 100.0
        for number in range(400):
            if number == 60 and left:
                own.hear(Condition(0, 0, failing=now - own.served_at, left=left), now)
                now += left
            now += own.wait(now) + 0.005
            own.begin(now)
            says = Says.REFUSES if number % 3 else Says.SERVES
            own.learn(says, began=now, now=now, is_probe=False, pause=None, in_flight=1)
        paces.append(own.throttle.pace)
    assert paces[1] == pytest.approx(paces[0], rel=0.02)
