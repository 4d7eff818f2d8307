"""What makes the calls of each API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.engine.calls.batching import BatchCaller
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.caller import Caller
from tmux_fanout.engine.calls.hedging import HedgingCaller
from tmux_fanout.engine.calls.total_limit import TotalLimit
from tmux_fanout.transports.base import Transport


def make_callers(
    plans: Sequence[ApiPlan],
    transports: Sequence[Transport],
    total: TotalLimit | None,
    statistics: Sequence[ApiStatistics],
    *,
    nursery: trio.Nursery,
    scope: trio.CancelScope,
    may_start: Callable[[Call], bool],
    settled: Callable[[Call, int], None],
    kept: Callable[[int], None],
    tell: Callable[[str], None],
    random: Random,
) -> list[Caller]:
    """One for each API, with its transport and its statistics; for the rest see `Caller`."""
    return [
        _kind_for(plan)(
            plan,
            transport,
            total,
            counted,
            nursery=nursery,
            scope=scope,
            may_start=may_start,
            settled=settled,
            kept=kept,
            tell=tell,
            random=random,
        )
        for plan, transport, counted in zip(plans, transports, statistics)
    ]


def _kind_for(plan: ApiPlan) -> type[Caller]:
    if plan.batch:
        return BatchCaller
    return HedgingCaller if plan.hedge else Caller
