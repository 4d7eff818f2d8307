"""The budget of one of several processes."""

from __future__ import annotations

from tmux_fanout.core.spending.budget import Budget


def test_share_of_a_budget_may_grow() -> None:
    """The run is over only if there is no more to come, and stays so."""
    budget = Budget(10)
    budget.may_grow = True
    assert not budget.give_up(20)
    assert budget.is_short
    budget.change(30)
    assert not budget.is_short
    assert budget.fits(20)
    budget.begin(0, is_paid=False)
    budget.may_grow = False
    assert not budget.give_up(40)  # not while anything is under way
    budget.may_grow = True
    budget.end(0, 0, is_paid=False)
    assert budget.give_up(40)
    assert not budget.fits(1)
