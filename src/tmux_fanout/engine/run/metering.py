"""The meters of a run's APIs, which share pacers and the budget.

APIs that share a pacer or a budget wait for each other's attempts.  When one of them may have made
room for another, all of them start what they can, each time in another order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.policy.rate import Pacer, RateSettings
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.spending.budget import Budget
from tmux_fanout.core.spending.meter import Meter


class Peers:
    """APIs that share something, each known by the function that starts its calls."""

    def __init__(self) -> None:
        self._members: deque[Callable[[], object]] = deque()

    def __repr__(self) -> str:
        return f"<Peers: {len(self._members)} APIs>"

    def add(self, start: Callable[[], object]) -> None:
        """Add an API."""
        self._members.append(start)

    def start(self) -> None:
        """Start the calls of all of them that may start."""
        self._members.rotate(-1)
        for start in tuple(self._members):
            start()


class Metering:
    """Make the meters of a run.

    Args:
        plan: the run.

    Attributes:
        budget: what all APIs may spend together, or None.
        pacers: of the APIs that have a rate, by their names; those of a group have the same.
    """

    def __init__(self, plan: RunPlan) -> None:
        self.budget = None if plan.max_cost is None else Budget(plan.max_cost)
        self._all = Peers() if self.budget else None
        self._of_groups: dict[str, Pacer] = {}
        self.pacers = {
            api.name: self._pacer(api.rate, api.rate_group) for api in plan.apis if api.rate
        }
        self._groups: dict[str, Peers] = {}

    def __repr__(self) -> str:
        return f"<Metering: {self.budget!r}, groups {list(self._groups)}>"

    def meter(self, plan: ApiPlan, statistics: ApiStatistics) -> Meter | None:
        """Return the meter of an API; None if it has no rate and nothing is counted."""
        pacer = self.pacers.get(plan.name)
        if pacer is None and plan.spending is None and self.budget is None:
            return None
        return Meter(pacer, plan.spending, self.budget, statistics.spending)

    def peers(self, plan: ApiPlan) -> Peers | None:
        """Return the APIs that an API shares something with; None if it shares nothing."""
        if self._all or plan.rate_group is None:
            return self._all
        return self._groups.setdefault(plan.rate_group, Peers())

    def _pacer(self, rate: RateSettings, group: str | None) -> Pacer:
        if group is None:
            return Pacer(rate)
        return self._of_groups.setdefault(group, Pacer(rate))
