"""All scenarios of the exam."""

from __future__ import annotations

from .held_out import held_out_scenarios
from .known import known_scenarios
from .scenario import Scenario


def all_scenarios() -> dict[str, Scenario]:
    """Return the scenarios by name."""
    scenarios = [*known_scenarios(), *held_out_scenarios()]
    by_name = {scenario.name: scenario for scenario in scenarios}
    assert len(by_name) == len(scenarios), "two scenarios have the same name"
    return by_name
