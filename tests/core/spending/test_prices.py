"""Prices, exact sums of money, and the budget."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.spending.budget import Budget
from tmux_fanout.core.spending.prices import (
    Amount,
    money,
    parse_max_cost,
    parse_price,
    show_money,
    show_price,
)
from tmux_fanout.core.spending.spending import Spending


@pytest.mark.parametrize(
    ("written", "amount", "cost"),
    [
        ({"input": "2.50/1M", "output": "10/1M"}, Amount(1, 1000, 100), "0.0035"),
        ({"input": "0.0375/1M"}, Amount(1, 1, 0), "0.0000000375"),
        ({"input": "1/1k"}, Amount(1, 5, 0), "0.005"),
        ({"output": "0.5/1"}, Amount(1, 0, 3), "1.5"),
        ({"call": "0.01"}, Amount(3, 5, 5), "0.03"),
        ({"call": 0.1}, Amount(3, 5, 5), "0.3"),
        ({"call": 2}, Amount(0.5, 5, 5), "1"),
        ({"call": "2/1K"}, Amount(1, 0, 0), "0.002"),
        ({"input": 0, "call": "0"}, Amount(9, 9, 9), "0"),
    ],
)
def test_price_of_an_amount(written: dict[str, object], amount: Amount, cost: str) -> None:
    """Prices are decimal and exact, and `check` shows them so that they mean the same."""
    price = parse_price(written)
    assert money(price.of(amount)) == Decimal(cost)
    assert parse_price(show_price(written)) == price


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("2.50/1M", "not a table: use one such as "),
        ({}, "not a table: use one such as "),
        ({"inputs": "1/1M"}, "unknown key 'inputs': did you mean input?"),
        ({"input": "2.50"}, "input: invalid price '2.50': use an amount per units, such as"),
        ({"input": 2.5}, "input: invalid price 2.5: use an amount per units, such as"),
        ({"input": "2.50/M"}, "input: invalid price '2.50/M': use"),
        ({"input": "-1/1M"}, "input: invalid price '-1/1M': use"),
        ({"call": "$1"}, r"call: invalid price '\$1': use an amount such as 0.01"),
        ({"call": True}, "call: invalid price true: use"),
        ({"call": float("nan")}, "call: invalid price nan: use"),
        ({"call": ["1"]}, r"call: invalid price \(a value of type list\): use"),
        ({"call": "1" * 4000}, "call: invalid price '1111"),
    ],
)
def test_prices_that_cannot_be(written: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_price(written)


@pytest.mark.parametrize(
    ("value", "shown"), [(25, "25"), ("0.50", "0.5"), (0.1, "0.1"), (1e-7, "0.0000001"), (0, "0")]
)
def test_max_cost(value: object, shown: str) -> None:
    assert show_money(parse_max_cost(value)) == shown


@pytest.mark.parametrize("value", ["", "25 USD", "-1", -1, True, None, float("inf"), "1e3", [1]])
def test_max_cost_that_cannot_be(value: object) -> None:
    with pytest.raises(ConfigError, match=r"invalid amount of money .*: use a number such as 25"):
        parse_max_cost(value)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60), st.booleans()), max_size=60))
def test_budget_is_never_passed_by_what_costs_no_more_than_reserved(
    attempts: list[tuple[int, int, bool]],
) -> None:
    """Whatever begins and ends when, spent and reserved never exceed the limit."""
    budget, open_, total = Budget(100), [], 0
    for reserved, spent, ends in attempts:
        if budget.fits(reserved):
            budget.begin(reserved, is_paid=True)
            open_.append((reserved, min(spent, reserved)))
        else:
            assert total + sum(each for each, _ in open_) + reserved > 100
            assert budget.give_up(reserved) is not bool(open_)
            if not open_:
                return
        if ends and open_:
            first = open_.pop(0)
            budget.end(*first, is_paid=True)
            total += first[1]
        assert total + sum(each for each, _ in open_) <= 100


def test_budget_waits_for_free_attempts_before_it_ends_the_run() -> None:
    """Once a call cannot be paid for, nothing begins, and the last attempt ends the run."""
    budget = Budget(10)
    budget.begin(0, is_paid=False)
    assert not budget.give_up(11)
    assert not budget.fits(0)
    budget.end(0, 0, is_paid=False)
    assert budget.give_up(11)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_parts_add_up(numbers: list[int]) -> None:
    """Amounts that were divided among records come out whole."""
    spending = Spending()
    for number in numbers:
        for _ in range(number):
            spending.add("useful", Amount(1, 100, 7).part(number))
    count = len(numbers)
    assert spending.total == Amount(count, 100 * count, 7 * count)
    assert money(spending.cost(parse_price({"call": "0.01"}))) == Decimal("0.01") * count
