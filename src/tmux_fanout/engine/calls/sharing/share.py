"""The share that this process has of the limits of a run."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.dealing.shares import SharedLimit, shared_limits
from tmux_fanout.core.policy.rate import Pacer
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.lease import Amounts
from tmux_fanout.core.sharing.tallies import Key
from tmux_fanout.core.spending.budget import Budget
from tmux_fanout.engine.calls.hosts.callers import AnyCaller
from tmux_fanout.engine.calls.sharing.conditions import SharedConditions
from tmux_fanout.engine.calls.sharing.fence import Fence
from tmux_fanout.engine.calls.sharing.others import KnownOthers
from tmux_fanout.engine.calls.sharing.tallies import SharedTallies
from tmux_fanout.engine.calls.slots import TotalLimit

_MAX_USED = 2**63 - 1  # that a message can hold


class Share:
    """Keeps a run to its share of the limits; nothing begins before there is one.

    Args:
        plan: of the whole run.

    Attributes:
        fence: keeps attempts from beginning when the share is over.
        amounts: the share, in the order of `shared_limits`.
        conditions: what is known of endpoints, here and elsewhere.
        tallies: what is counted at those that are in trouble.
        others: of each API, what is known of the calls of other processes.
        has_news: unparked when there is something to tell others.
    """

    def __init__(self, plan: RunPlan) -> None:
        self._limits = shared_limits(plan)
        self.fence = Fence()
        self.amounts: Amounts = (0,) * len(self._limits)
        self.others = [KnownOthers() for _ in plan.apis]
        self.has_news = ParkingLot()
        self.tallies = SharedTallies(self.others)
        self.conditions = SharedConditions()
        self._parts: Sequence[_Part] = ()
        self._pacers: Sequence[Pacer] = ()
        self._may_owe = False
        self._has_changed = False
        self._is_new = False  # whether bursts are full when calls begin
        self._budget: Budget | None = None
        self._start: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<Share: {self.amounts}, {self.fence!r}>"

    def open(
        self,
        callers: Sequence[AnyCaller],
        pacers: Mapping[str, Pacer],
        total: TotalLimit | None,
        budget: Budget | None,
        start: Callable[[], object],
    ) -> None:
        """Keep calls to the share from now on.

        Args:
            callers: of the APIs, in the order of the plan.
            pacers: of their rates, by the names of the APIs.
            total: the slots that they share, or None.
            budget: of the run, or None.
            start: starts the calls that may start.
        """
        self._parts = [_part(each, callers, pacers, total, budget) for each in self._limits]
        if self._has_changed:
            if not self._is_new:
                self._empty_bursts()
            self._change(self.amounts)
        self._pacers = [part.pacer for part in self._parts if part.pacer]
        self._allow_debt(self._may_owe)
        self._budget = budget
        if budget:
            budget.may_grow = True
        self._start = start
        self.tallies.open(callers)
        self.conditions.open(callers)
        for index, caller in enumerate(callers):
            caller.endpoints.watch = partial(self._learned, index)

    def _learned(self, api: int, endpoint: int) -> None:
        """Note that something was learned about an endpoint of an API."""
        key = api, endpoint
        if self.tallies.follow(key) | self.conditions.note(key):
            self.has_news.unpark_all()

    def hear(self, conditions: Sequence[Condition]) -> None:
        """Take over what other processes have found out about endpoints."""
        self.conditions.hear(conditions)
        for each in conditions:
            self._learned(each.api, each.endpoint)

    def asked(self, keys: Sequence[Key]) -> None:
        """Count for other processes what becomes of attempts at endpoints."""
        self.tallies.asked(keys)
        self.has_news.unpark_all()

    def close(self) -> None:
        """Start no calls any more."""
        self._start = None
        self.conditions.close()
        self.tallies.close()

    def change(
        self,
        amounts: Amounts,
        until: float,
        *,
        is_new: bool = False,
        is_all: bool = False,
        may_owe: bool = False,
    ) -> None:
        """Keep to another share, and start what it allows.

        Args:
            amounts: of each limit, what this process may use.
            until: when that is over.
            is_new: whether nobody has had these amounts before.
            is_all: whether the run is over if the budget is too small even now.
            may_owe: whether an attempt may pass the burst of a rate; otherwise it is saved up for.
        """
        is_over = trio.current_time() >= self.fence.until
        if is_over and not is_new:
            self._empty_bursts()  # others may have had all of it meanwhile
        if self._has_changed:
            has_more = any(map(operator.gt, amounts, self.amounts))
            self._is_new = self._is_new and not (is_over or has_more)
        else:
            self._is_new = is_new
        self._has_changed = True
        self._change(amounts)
        self._allow_debt(may_owe)
        self.fence.move(until)
        if self._budget:
            self._budget.may_grow = not is_all
        if self._start:
            self._start()
        if self._budget:
            self._budget.may_grow = True  # others may leave some until this is spent, too

    def suspend(self) -> None:
        """Let nothing begin before `change`."""
        self.fence.move(-math.inf)

    def _empty_bursts(self) -> None:
        for limit, part in zip(self._limits, self._parts):
            if limit.kind == "rate":
                part.change(0)

    def _change(self, amounts: Amounts) -> None:
        self.amounts = amounts
        for part, amount in zip(self._parts, amounts):
            part.change(amount)

    def _allow_debt(self, may_owe: bool) -> None:
        self._may_owe = may_owe
        for pacer in self._pacers:
            pacer.allow_debt(is_allowed=may_owe)

    @property
    def has_budget(self) -> bool:
        """Whether there is a budget."""
        return self._budget is not None

    @property
    def is_short_of_budget(self) -> bool:
        """Whether an attempt waits for a larger part of the budget."""
        return self._budget is not None and self._budget.is_short

    def in_use(self) -> Amounts:
        """Return what is in flight of each limit, or spent of a budget."""
        return tuple(part.in_use() for part in self._parts) or (0,) * len(self._limits)


class _Part(NamedTuple):
    """The share of one limit: how to change it, how much of it is in use, and what paces it."""

    change: Callable[[int], object]
    in_use: Callable[[], int]
    pacer: Pacer | None = None


def _part(
    limit: SharedLimit,
    callers: Sequence[AnyCaller],
    pacers: Mapping[str, Pacer],
    total: TotalLimit | None,
    budget: Budget | None,
) -> _Part:
    caller = callers[limit.api]
    endpoint = None if limit.endpoint is None else caller.endpoints.states[limit.endpoint]
    if limit.kind == "rate":
        pacer = endpoint.pacer if endpoint else pacers[caller.plan.name]
        assert pacer is not None  # its limit is in the plan
        return _Part(partial(_pace, pacer, limit.amount.whole), _nothing, pacer)
    if limit.kind == "slots":
        if endpoint:
            return _Part(endpoint.change_limit, lambda: endpoint.in_flight)
        return _Part(caller.change_limit, lambda: caller.limiter.borrowed_tokens)
    if limit.kind == "total":
        assert total is not None
        return _Part(total.change, lambda: total.limiter.borrowed_tokens)
    assert budget is not None
    unit = limit.unit
    return _Part(
        lambda amount: budget.change(amount * unit),
        lambda: min(-(-budget.used // unit), _MAX_USED),
    )


def _pace(pacer: Pacer, whole: int, parts: int) -> None:
    pacer.change(parts / whole, trio.current_time())


def _nothing() -> int:
    return 0
