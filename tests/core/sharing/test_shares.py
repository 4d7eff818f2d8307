"""Shares: whatever happens to members and messages, limits and rates hold for all together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tmux_fanout.core.policy.rate import Pacer, RateSettings
from tmux_fanout.core.sharing.holder import Amount, Holder
from tmux_fanout.core.sharing.lease import Amounts, Ask, Grant, Lease

SECONDS, GRACE = 10.0, 2.0


class Limits(NamedTuple):
    """What members share.

    Attributes:
        slots: attempts at the same time.
        burst: attempts at once, which are the parts of the rate.
        rate: attempts per second.
        budget: attempts in all.
    """

    slots: int
    burst: int
    rate: float
    budget: int


WORLDS = (Limits(6, 60, 600, 10_000), Limits(100, 5, 20, 10_000), Limits(8, 20, 100, 25))


class Member:
    """A process that begins every attempt that it may."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.lease = Lease(3)
        self.parts = limits.burst
        self.pacer = Pacer(RateSettings(limits.rate, burst=limits.burst / limits.rate))
        self.ends: list[float] = []  # of attempts in flight
        self.spent = 0
        self.is_stopped = False

    def change_pace(self, now: float) -> None:
        self.pacer.change(self.lease.amounts[1] / self.parts, now)

    def ask(self, now: float) -> Ask:
        self.ends = [end for end in self.ends if end > now]
        return self.lease.ask(now, (len(self.ends), 0, self.spent))

    def take(self, grant: Grant, now: float) -> None:
        if now >= self.lease.until and not grant.is_new:
            self.pacer.change(0.0, now)
        if self.lease.take(grant):
            self.change_pace(now)

    def may_begin(self, now: float) -> bool:
        slots, parts, budget = self.lease.amounts
        self.ends = [end for end in self.ends if end > now]
        is_allowed = len(self.ends) < slots and parts and self.spent < budget
        return now < self.lease.until and bool(is_allowed) and self.pacer.wait(now) <= 0


class World:
    """Members, a holder, messages on their way, and the server, which checks the limits."""

    def __init__(self, limits: Limits) -> None:
        slots, burst, _, budget = self.limits = limits
        amounts = (Amount(slots), Amount(burst), Amount(budget, is_budget=True))
        self.holder = Holder[Member](amounts, seconds=SECONDS, grace=GRACE)
        self.now = 1000.0
        self.members: list[Member] = []
        self.asks: list[tuple[Member, Ask]] = []
        self.grants: list[tuple[Member, Grant]] = []
        self.ends: list[float] = []
        self.begun: list[float] = []

    def act(self, action: str, number: int) -> None:
        """Do one thing, and then let all members begin what they may."""
        if action == "join":
            self.join(asked=bool(number % 2))
        elif action == "advance":
            self.now += (0.01, 0.5, 1.0, 3.0, 6.0)[number % 5]
        elif action in ("answer", "lose ask"):
            self.answer(number, is_lost=action != "answer")
        elif action in ("grant", "lose grant"):
            self.deliver(number, is_lost=action != "grant")
        elif self.members:
            self.act_on(self.members[number % len(self.members)], action)
        for member in self.members:
            self.begin(member)

    def join(self, *, asked: bool) -> None:
        member = Member(self.limits, self.now)
        self.members.append(member)
        if not asked:
            self.holder.join(member)
            first = self.holder.first(member, self.now)
            if not first.is_new:
                member.pacer.change(0.0, self.now)
            member.lease = Lease(3, first, self.now)
            member.change_pace(self.now)

    def answer(self, number: int, *, is_lost: bool) -> None:
        if self.asks:
            member, ask = self.asks.pop(number % len(self.asks))
            if not is_lost and member in self.members:
                self.grants.append((member, self.holder.answer(member, ask, self.now)))

    def deliver(self, number: int, *, is_lost: bool) -> None:
        open_ = [each for each in self.grants if not each[0].is_stopped]
        if open_:
            member, grant = open_[number % len(open_)]
            self.grants.remove((member, grant))
            if not is_lost:
                member.take(grant, self.now)

    def act_on(self, member: Member, action: str) -> None:
        if action == "kill":
            self.members.remove(member)
            self.holder.leave(member, self.now)
        elif action == "stop":
            member.is_stopped = not member.is_stopped
        elif not member.is_stopped:
            ask = member.ask(self.now)
            if action == "ask":
                self.asks.append((member, ask))
            else:
                member.take(self.holder.answer(member, ask, self.now), self.now)

    def begin(self, member: Member) -> None:
        while not member.is_stopped and member.may_begin(self.now):
            member.pacer.take(self.now)
            end = self.now + (GRACE if len(self.begun) % 2 else 0.05)
            member.ends.append(end)
            member.spent += 1
            self.ends.append(end)
            self.begun.append(self.now)
            self.check()

    def check(self) -> None:
        self.ends = [end for end in self.ends if end > self.now]
        assert len(self.ends) <= self.limits.slots
        assert len(self.begun) <= self.limits.budget
        for number, began in enumerate(reversed(self.begun), 1):
            seconds = self.now - began
            assert number <= self.limits.burst + self.limits.rate * seconds + 1e-6
            if seconds > SECONDS:
                break


ACTIONS = ["join", "kill", "stop", "advance", "advance", "advance", "advance"]
ACTIONS += ["exchange", "exchange", "exchange", "exchange", "ask", "ask", "ask"]
ACTIONS += ["answer", "answer", "lose ask", "grant", "grant", "lose grant"]
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 9)), min_size=20, max_size=100)


def play(limits: Limits, steps: Sequence[tuple[str, int]]) -> None:
    world = World(limits)
    world.join(asked=False)
    world.join(asked=True)
    for action, number in steps:
        world.act(action, number)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(WORLDS), STEPS)
def test_limits_hold_whatever_happens(limits: Limits, steps: Sequence[tuple[str, int]]) -> None:
    """Members join, die, stand still and continue, and messages are late and lost."""
    play(limits, steps)


class Mutant(NamedTuple):
    """A mistake in a method."""

    of: type
    method: str
    wrong: Callable[..., object]


def _lease_twice_as_long() -> Mutant:
    take = Lease.take

    def wrong(self: Lease, grant: Grant) -> bool:
        asked = self._asked.get(grant.seq)
        is_taken = take(self, grant)
        if is_taken and asked is not None:
            self.until = asked + 2 * grant.seconds
        return is_taken

    return Mutant(Lease, "take", wrong)


def _old_grants_taken() -> Mutant:
    def wrong(self: Lease, grant: Grant) -> bool:
        asked = self._asked.get(grant.seq)
        if asked is None:
            return False
        self._applied, self.amounts = max(self._applied, grant.seq), grant.amounts
        self.until = max(self.until, asked + grant.seconds)
        return True

    return Mutant(Lease, "take", wrong)


def _only_the_last_grant_counted() -> Mutant:
    grant = Holder._grant

    def wrong(self: Holder[Member], mine: object, now: float) -> Grant:
        granted: Grant = grant(self, mine, now)  # type: ignore[arg-type]
        mine.counted = granted.amounts  # type: ignore[attr-defined]
        return granted

    return Mutant(Holder, "_grant", wrong)


def _no_quarantine() -> Mutant:
    leave = Holder.leave

    def wrong(self: Holder[Member], member: Member, now: float) -> None:
        leave(self, member, now)
        self._leaving.clear()

    return Mutant(Holder, "leave", wrong)


def _no_quarantine_of_the_silent() -> Mutant:
    forget = Holder.forget_the_silent

    def wrong(self: Holder[Member], now: float) -> list[Member]:
        leaving = list(self._leaving)
        silent = forget(self, now)
        self._leaving = leaving
        return silent

    return Mutant(Holder, "forget_the_silent", wrong)


def _counted_before_it_is_applied() -> Mutant:
    answer = Holder.answer

    def wrong(self: Holder[Member], member: Member, ask: Ask, now: float) -> Grant:
        mine = self._members.get(member)
        pretended = Ask(ask.seq, mine.seq if mine else 0, ask.in_use)
        return answer(self, member, pretended, now)

    return Mutant(Holder, "answer", wrong)


def _flights_not_counted() -> Mutant:
    ask = Lease.ask

    def wrong(self: Lease, now: float, in_use: Amounts) -> Ask:
        return ask(self, now, (0, 0, in_use[2]))

    return Mutant(Lease, "ask", wrong)


def _money_of_the_dead_not_counted() -> Mutant:
    leave = Holder.leave

    def wrong(self: Holder[Member], member: Member, now: float) -> None:
        leave(self, member, now)
        self._lost = [0, 0, 0]

    return Mutant(Holder, "leave", wrong)


def _larger_share_comes_full() -> Mutant:
    change = Pacer.change

    def wrong(self: Pacer, share: float, now: float) -> None:
        change(self, share, now)
        if self._requests and share:
            self._requests._full_at = now

    return Mutant(Pacer, "change", wrong)


def _share_that_was_over_comes_full() -> Mutant:
    def wrong(self: Member, grant: Grant, now: float) -> None:
        if self.lease.take(grant):
            self.change_pace(now)

    return Mutant(Member, "take", wrong)


def _share_of_others_taken_for_new() -> Mutant:
    answer = Holder.answer

    def wrong(self: Holder[Member], member: Member, ask: Ask, now: float) -> Grant:
        return replace(answer(self, member, ask, now), is_new=ask.seq == 1)

    return Mutant(Holder, "answer", wrong)


MUTANTS = [
    _lease_twice_as_long,
    _old_grants_taken,
    _only_the_last_grant_counted,
    _no_quarantine,
    _no_quarantine_of_the_silent,
    _counted_before_it_is_applied,
    _flights_not_counted,
    _money_of_the_dead_not_counted,
    _larger_share_comes_full,
    _share_that_was_over_comes_full,
    _share_of_others_taken_for_new,
]


@pytest.mark.parametrize("make", MUTANTS, ids=lambda make: make.__name__.strip("_"))
def test_the_check_catches_mistakes(make: Callable[[], Mutant]) -> None:
    """The property above fails for each of these mistakes."""
    mutant = make()

    def find() -> None:
        for seed in range(3000):
            random = Random(seed)
            steps = [(random.choice(ACTIONS), random.randrange(10)) for _ in range(100)]
            play(random.choice(WORLDS), steps)

    with patch.object(mutant.of, mutant.method, mutant.wrong), pytest.raises(AssertionError):
        find()


def asked(holder: Holder[str], lease: Lease, name: str, now: float, *in_use: int) -> Grant:
    """Have a member ask for its share, and use it."""
    grant = holder.answer(name, lease.ask(now, in_use or (0,), is_idle=False), now)
    lease.take(grant)
    return grant


def settle(holder: Holder[str], leases: dict[str, Lease], now: float) -> dict[str, int]:
    """Have all members ask until nothing changes, and return their shares of the first amount."""
    for _ in range(4):
        for name, lease in leases.items():
            asked(holder, lease, name, now)
    return {name: lease.amounts[0] for name, lease in leases.items()}


@pytest.mark.parametrize(
    ("whole", "number", "shares"),
    [(10, 3, [4, 3, 3]), (3, 3, [1, 1, 1]), (2, 4, [1, 1, 0, 0]), (64, 1, [64])],
)
def test_shares_are_equal_by_order_of_joining(whole: int, number: int, shares: list[int]) -> None:
    """The first to join get what cannot be divided, and others stand by."""
    holder = Holder[str]([Amount(whole)])
    leases = {name: Lease(1) for name in "abcd"[:number]}
    assert list(settle(holder, leases, 0.0).values()) == shares


def test_first_grants_need_no_question() -> None:
    """Members that are known from the start begin with their shares."""
    holder = Holder[str]([Amount(7), Amount(100, is_budget=True)])
    for name in "ab":
        holder.join(name)
    grants = [holder.first(name, 0.0) for name in "ab"]
    assert [(grant.amounts, grant.is_new) for grant in grants] == [((4, 50), True), ((3, 50), True)]
    holder.leave("a", 1.0)
    holder.join("c")
    assert not holder.first("c", 2.0).is_new


def test_share_of_a_dead_member_goes_to_the_others_after_the_grace() -> None:
    """Until then its attempts may still be under way at the server."""
    holder = Holder[str]([Amount(8)], grace=0.5)
    leases = {name: Lease(1) for name in "ab"}
    settle(holder, leases, 0.0)
    holder.leave("b", 1.0)
    assert asked(holder, leases["a"], "a", 1.4).amounts == (4,)
    assert asked(holder, leases["a"], "a", 1.5).amounts == (8,)
    holder.join("c")
    assert holder.first("c", 1.6).amounts == (0,)
    assert asked(holder, leases["a"], "a", 1.7).amounts == (4,)
    leases["c"] = Lease(1)
    del leases["b"]
    assert settle(holder, leases, 1.8) == {"a": 4, "c": 4}


def test_silent_member_loses_its_share_and_gets_one_again() -> None:
    """One that stood still for longer than its share was good for is like a new one."""
    holder = Holder[str]([Amount(8)], seconds=10.0, grace=0.5)
    leases = {name: Lease(1) for name in "ab"}
    settle(holder, leases, 0.0)
    assert asked(holder, leases["a"], "a", 9.0).amounts == (4,)
    assert asked(holder, leases["a"], "a", 11.0).amounts == (8,)
    assert settle(holder, leases, 30.0) == {"a": 4, "b": 4}


def test_idle_member_makes_way_where_limits_are_too_small_for_all() -> None:
    """So records that a member without a share holds are never stuck."""
    holder = Holder[str]([Amount(1), Amount(64)])
    leases = {name: Lease(2) for name in "ab"}
    settle_pair = [("a", False), ("b", False), ("a", False), ("b", False)]
    for name, is_idle in [*settle_pair, ("a", True), ("b", False), ("a", True), ("b", False)]:
        lease = leases[name]
        grant = holder.answer(name, lease.ask(0.0, (0, 0), is_idle=is_idle), 0.0)
        lease.take(grant)
    assert (leases["a"].amounts, leases["b"].amounts) == ((0, 0), (1, 64))


def test_members_ask_more_often_while_shares_move() -> None:
    """Nothing is to be gained from asking often once all have what is theirs."""
    holder = Holder[str]([Amount(8)], seconds=10.0)
    leases = {name: Lease(1) for name in "ab"}
    assert asked(holder, leases["a"], "a", 0.0).again == 2.0
    assert asked(holder, leases["b"], "b", 0.0).again == 0.25
    settle(holder, leases, 0.0)
    assert {asked(holder, lease, name, 0.0).again for name, lease in leases.items()} == {2.0}


def test_budget_that_is_left_is_divided_again() -> None:
    """What one has spent is gone, and what one that died may have spent as well."""
    holder = Holder[str]([Amount(4), Amount(100, is_budget=True)])
    leases = {name: Lease(2) for name in "ab"}
    for _ in range(3):
        for name in "ab":
            asked(holder, leases[name], name, 0.0, 0, 0)
    assert [lease.amounts[1] for lease in leases.values()] == [50, 50]
    for _ in range(3):  # a has spent 40, and so 30 are left for each
        asked(holder, leases["a"], "a", 0.0, 0, 40)
        asked(holder, leases["b"], "b", 0.0, 0, 0)
    assert [lease.amounts[1] for lease in leases.values()] == [70, 30]
    holder.leave("b", 1.0)
    assert asked(holder, leases["a"], "a", 1.0, 0, 40).amounts[1] == 70
    leases["c"] = Lease(2)
    for _ in range(3):
        asked(holder, leases["a"], "a", 9.0, 0, 40)
        asked(holder, leases["c"], "c", 9.0, 0, 0)
    assert (leases["a"].amounts[1], leases["c"].amounts[1]) == (55, 15)


@pytest.mark.parametrize("spent", [(60, 0), (110, 0), (60, 60), (300, 10)])
def test_budget_that_is_passed_is_settled(spent: tuple[int, int]) -> None:
    """An attempt may cost more than was reserved; members must learn that nothing more comes."""
    holder = Holder[str]([Amount(4), Amount(100, is_budget=True)])
    leases = {name: Lease(2) for name in "ab"}
    for name in "ab":
        holder.join(name)
    for _ in range(4):
        grants = [
            asked(holder, leases[name], name, 0.0, 0, used) for name, used in zip("ab", spent)
        ]
    assert [grant.is_settled for grant in grants] == [True, True]


def test_budget_of_those_that_leave() -> None:
    """What one has not spent is there again if it is known how much that is."""
    for is_settled, left in ((True, 90), (False, 45)):
        holder = Holder[str]([Amount(4), Amount(100, is_budget=True)])
        holder.answer("a", Ask(1, 0, (0, 0)), 0.0)
        holder.answer("b", Ask(1, 0, (0, 0)), 0.0)
        holder.answer("a", Ask(2, 1, (0, 10)), 1.0)
        holder.answer("a", Ask(3, 2, (0, 10)), 1.5)
        holder.answer("b", Ask(2, 1, (0, 0)), 2.0)
        holder.leave("a", 3.0, is_settled=is_settled)
        grant = holder.answer("b", Ask(3, 2, (0, 0)), 4.0)
        assert grant.amounts == (4, left), is_settled
