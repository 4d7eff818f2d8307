"""What the attempts of one API take: of its rate, and of the budget of the run.

An attempt reserves units when it begins.  When it has ended, the reservation is replaced:

    it was refused or denied, or not sent      nothing was spent
    the response says what was spent           that was
    otherwise (lost, timed out, cancelled)     the reservation stands

What an attempt spent is pending until it is known what came of it: another attempt makes it
`retried`, and the outcome of its call `useful` or `lost`.  Of two attempts at the same time, the
one that does not settle the call is `hedged`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import Repeatable, is_denied, repeatable
from tmux_fanout.core.policy.rate import Pacer
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.spending.budget import Budget
from tmux_fanout.core.spending.plan import SpendingPlan
from tmux_fanout.core.spending.prices import Amount
from tmux_fanout.core.spending.spending import Spending, Use
from tmux_fanout.core.spending.units import Cost, Mean, Reservation, Units, Worst

_CUT_SHORT = frozenset({"lost", "cancelled", "deadline"})


class MeteredCall(Protocol):
    """What a meter knows of a call; `cost` is only read where the API has `cost`."""

    @property
    def cost(self) -> Cost: ...
    @property
    def members(self) -> Sequence[MeteredCall]: ...
    @property
    def outcome(self) -> Outcome | None: ...


class MeteredAttempt(Protocol):
    """What a meter knows of an attempt, and what it notes there."""

    reserved: Reservation

    @property
    def call(self) -> MeteredCall: ...
    @property
    def is_hedge(self) -> bool: ...
    @property
    def sent(self) -> bool: ...


class Meter:
    """Decide when attempts may begin, by rate and budget, and count what they spend.

    Args:
        pacer: of the rate, which other APIs may share; or None.
        plan: how spending is known; None: units and money are not counted.
        budget: of the run, which all APIs share; or None.
        spending: where the amounts are added up.
        limits_tokens: whether the rate, or that of an endpoint, limits units.
    """

    def __init__(
        self,
        pacer: Pacer | None,
        plan: SpendingPlan | None,
        budget: Budget | None,
        spending: Spending,
        *,
        limits_tokens: bool = False,
    ) -> None:
        self._pacer = pacer
        self._plan = plan or SpendingPlan()
        self._budget = budget
        self._spending = spending
        self._mean = Mean()
        self._worst = Worst()
        self._in_flight = 0
        self._pending: dict[MeteredCall, Amount] = {}
        self._carried: dict[MeteredCall, Amount] = {}  # of requests before the current ones
        self._free: set[MeteredCall] = set()
        self._starts_with_one = _starts_with_one(self._plan, budget, limits_tokens=limits_tokens)
        self.is_counting = plan is not None or budget is not None

    def __repr__(self) -> str:
        return f"<Meter: {self._pacer!r}, {self._budget!r}, {self._mean!r}>"

    @property
    def pacer(self) -> Pacer | None:
        """The pacer of the rate."""
        return self._pacer

    def wait(self, call: MeteredCall, now: float) -> float:
        """Return the seconds until an attempt may begin; infinite if others have to end first."""
        if not self.is_counting:
            return self._pacer.wait(now) if self._pacer else 0.0
        if self._waits_for_others(call):
            return math.inf
        return self._pacer.wait(now, self.units_of(call)) if self._pacer else 0.0

    def _waits_for_others(self, call: MeteredCall) -> bool:
        """Return whether others have to end before an attempt may begin, to know what is left."""
        if call in self._free:
            return False
        if self._starts_with_one and self._in_flight and not self._mean.is_known:
            return True
        return self._budget is not None and not self._budget.fits(
            self._money(self._cost(call.members or (call,)))
        )

    def units_of(self, call: MeteredCall) -> float:
        """Return the units that an attempt would reserve; only to be called if `is_counting`."""
        if call in self._free:
            return 0.0
        return self._mean.fill(self._cost(call.members or (call,))).total

    def is_waiting_for_budget(self, call: MeteredCall) -> bool:
        """Return whether an attempt waits as those under way may use up the budget."""
        return self._budget is not None and self._waits_for_others(call)

    def gives_up(self, call: MeteredCall) -> bool:
        """Return whether the run is over, since an attempt will never fit into the budget."""
        if call in self._free:
            return False
        return self._budget is not None and self._budget.give_up(
            self._money(self._cost(call.members or (call,)))
        )

    def has_room_for(self, calls: Sequence[MeteredCall]) -> bool:
        """Return whether one attempt for all of these calls fits into the budget."""
        if self._budget is None:
            return True
        return self._budget.fits(self._money(self._cost(calls)))

    def take(self, attempt: MeteredAttempt, now: float) -> None:
        """Record that an attempt begins."""
        if not self.is_counting:
            if self._pacer:
                self._pacer.take(now)
            return
        call = attempt.call
        if call in self._free:
            units, money = attempt.reserved = Reservation(Units(0.0, 0.0), 0)
        else:
            cost = self._cost(call.members or (call,))
            units, money = attempt.reserved = Reservation(self._mean.fill(cost), self._money(cost))
        self._in_flight += 1
        if self._pacer:
            self._pacer.take(now, units.total)
        if self._budget:
            is_paid = self._plan.price is not None
            self._budget.begin(money, is_paid=is_paid)
        if self._pending and not attempt.is_hedge:
            for member in call.members or (call,):
                if member in self._pending:
                    self._spending.add("retried", self._pending.pop(member))

    def end(
        self, attempt: MeteredAttempt, answer: Response | TransportError | None, now: float
    ) -> float:
        """Record that an attempt has ended; only to be called if `is_counting`.

        Returns:
            The units that it has spent beyond those that it reserved; negative if it spent less.
        """
        units, money = attempt.reserved
        self._in_flight -= 1
        spent = self._spent(attempt, answer)
        amount = Amount() if spent is None else Amount(1.0, spent.input, spent.output)
        more = amount.input + amount.output - units.total
        if self._pacer:
            self._pacer.correct(now, more)
        if self._budget:
            is_paid = self._plan.price is not None
            self._budget.end(money, self._price_of(amount), is_paid=is_paid)
        if spent is not None:
            self._assign(attempt.call, amount)
        return more

    def go_on(self, call: MeteredCall, *, is_free: bool) -> None:
        """Record that a call was served, and makes another request; only if `is_counting`.

        Args:
            call: the call.
            is_free: whether its requests from now on cost nothing.
        """
        before = self._carried.get(call, Amount())
        self._carried[call] = before.plus(self._pending.pop(call, Amount()))
        if is_free and call not in self._free:
            self._free.add(call)
            if self._budget:
                self._budget.open_jobs += 1

    def settled(self, call: MeteredCall) -> None:
        """Record that a call has its outcome; only to be called if `is_counting`."""
        amount = self._pending.pop(call, None)
        if call in self._carried:
            amount = self._carried.pop(call).plus(amount or Amount())
        if call in self._free:
            self._free.remove(call)
            if self._budget:
                self._budget.open_jobs -= 1
        if amount:
            is_ok = call.outcome is not None and call.outcome.ok
            self._spending.add("useful" if is_ok else "lost", amount)

    def _assign(self, call: MeteredCall, amount: Amount) -> None:
        """Divide what an attempt has spent among the records that it was made for."""
        members = call.members or (call,)
        share = amount.part(len(members)) if len(members) > 1 else amount
        for member in members:
            if member.outcome is not None:  # settled without this attempt
                self._spending.add(_late_use(member.outcome), share)
                continue
            if member in self._pending:
                self._spending.add("hedged", self._pending[member])
            self._pending[member] = share

    def _spent(
        self, attempt: MeteredAttempt, answer: Response | TransportError | None
    ) -> Units | None:
        """Return what an attempt has spent; None if it was turned away, and cost nothing at all."""
        if attempt.call in self._free:
            return None
        if self._plan.spent and isinstance(answer, Response):
            found = self._plan.spent.read(answer)
            if found is not None:
                self._mean.add(found)
                if self._budget:
                    self._worst.add(self._cost(attempt.call.members or (attempt.call,)), found)
                return found
        if not attempt.sent or (answer is not None and _was_turned_away(answer)):
            return None
        self._mean.add(None)
        return attempt.reserved.units

    def _cost(self, calls: Sequence[MeteredCall]) -> Cost | None:
        if self._plan.cost is None:
            return None
        cost = calls[0].cost
        for call in calls[1:]:
            cost = cost.plus(call.cost)
        return cost

    def _money(self, cost: Cost | None) -> int:
        """Return what to reserve of the budget for an attempt."""
        if self._budget is None or self._plan.price is None:
            return 0
        return self._price_of(Amount(1.0, *self._worst.fill(cost)))

    def _price_of(self, amount: Amount) -> int:
        return self._plan.price.of(amount) if self._plan.price else 0


def _was_turned_away(answer: Response | TransportError) -> bool:
    """Return whether nothing was processed: the attempt was refused, or denied for its key."""
    return repeatable(answer) is Repeatable.ALWAYS or is_denied(answer)


def _late_use(outcome: Outcome) -> Use:
    """Return what came of an attempt that ends after its call."""
    return "lost" if outcome.error and outcome.error.kind in _CUT_SHORT else "hedged"


def _starts_with_one(plan: SpendingPlan, budget: Budget | None, *, limits_tokens: bool) -> bool:
    """Return whether the first response is needed to know what to reserve for the others.

    A budget asks for that even where `cost` is known, since that may be much too low.
    """
    if plan.spent is None:
        return False
    if budget is not None and plan.price is not None:
        return True
    return plan.cost is None and limits_tokens
