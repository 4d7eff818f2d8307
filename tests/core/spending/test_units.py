"""Units: what requests cost and responses say was spent."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.spending.plan import plan_max_cost, plan_spending
from tmux_fanout.core.spending.prices import Price
from tmux_fanout.core.spending.units import (
    Cost,
    CostReader,
    Mean,
    SpentReader,
    Units,
    Worst,
    parse_units,
)

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["input", "output"]), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("value", "cost"),
    [
        (5, Cost(5, None)),
        (0, Cost(0, None)),
        (2.5, Cost(2.5, None)),
        ({"input": 1, "output": 2}, Cost(1, 2)),
        ({"input": 1, "output": None}, Cost(1, 0)),
        ({"output": 2, "more": "x"}, Cost(0, 2)),
        ({}, None),
        ({"input": None}, None),
        ({"input": 1, "output": "2"}, None),
        ({"input": 1, "output": -2}, None),
        (None, None),
        (True, None),
        ("5", None),
        ([5], None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
    ],
)
def test_parse_units(value: Any, cost: Cost | None) -> None:
    assert parse_units(value) == cost


@given(ANY)
def test_units_are_never_odd(value: Any) -> None:
    """Whatever an expression finds, units are numbers of at least 0, or there are none."""
    cost = parse_units(value)
    assert cost is None or (0 <= cost.input <= 1e12 and 0 <= (cost.output or 0) <= 1e12)


@pytest.mark.parametrize(
    ("text", "body", "cost"),
    [
        ("chars/4", b'{"text":"12345678"}', Cost(19 / 4, None)),
        ("chars/4", '"äöü"'.encode(), Cost(5 / 4, None)),
        (" chars / 1 ", b"12", Cost(2, None)),
        ("chars/4", None, Cost(0, None)),
        ("max_tokens", b'{"max_tokens":7}', Cost(7, None)),
        ("{input: a, output: b}", b'{"a":1,"b":2}', Cost(1, 2)),
        ("`3`", None, Cost(3, None)),
    ],
)
def test_cost_of_a_request(text: str, body: bytes | None, cost: Cost) -> None:
    """It is found in the body, or estimated by its characters."""
    assert CostReader(text).read(body, is_json=True) == cost


def test_cost_sees_other_bodies_as_text() -> None:
    assert CostReader("length(@)").read(b"q=1", is_json=False) == Cost(3, None)


@pytest.mark.parametrize(
    ("text", "body", "message"),
    [
        ("a", b"{}", "cost: null is no number of units: use an expression that gives a number"),
        ("a", b'{"a":"x"}', "cost: 'x' is no number of units: use "),
        ("a", b'{"a":[1]}', "cost: a value of type list is no number of units: use "),
        ("a", b'{"a":11}', "cost: 11 units are more than the rate allows in a day"),
        ("length(a)", b"{}", "cost: "),
    ],
)
def test_cost_that_cannot_be_is_an_error(text: str, body: bytes, message: str) -> None:
    """The record fails with one clear line."""
    found = CostReader(text, max_units=10).read(body, is_json=True)
    assert isinstance(found, ErrorInfo)
    assert found.kind == "template"
    assert found.message.startswith(message)


@pytest.mark.parametrize("body", [b"", b"no", b"{}", b'{"u":-1}', b'{"u":true}', b'{"u":1e9}'])
def test_spent_that_is_not_told_is_none(body: bytes) -> None:
    assert SpentReader("u", max_units=1000).read(Response(200, (), body, 0)) is None


def test_spent_is_read_from_any_response() -> None:
    response = Response(500, (), json.dumps({"u": {"input": 3}}).encode(), 0)
    assert SpentReader("u").read(response) == Units(3, 0)


def test_mean_fills_what_cost_leaves_open() -> None:
    """It is known once an attempt has ended, even if that did not tell what it spent."""
    mean = Mean()
    assert not mean.is_known
    mean.add(None)
    assert mean.is_known
    mean.add(Units(10, 100))
    mean.add(Units(20, 200))
    assert mean.fill(None) == Units(15, 150)
    assert mean.fill(Cost(1, None)) == Units(1, 150)
    assert mean.fill(Cost(1, 2)) == Units(1, 2)


def test_worst_makes_up_for_costs_that_are_too_low() -> None:
    """A cost is taken times the largest factor seen, and the rest is the most that was spent."""
    worst = Worst()
    assert worst.fill(Cost(8, None)) == Units(8, 0)
    worst.add(Cost(10, None), Units(5, 70))
    assert worst.fill(Cost(8, None)) == Units(8, 70)
    worst.add(Cost(10, 10), Units(30, 20))
    assert worst.fill(Cost(8, None)) == Units(24, 70)
    assert worst.fill(Cost(8, 1)) == Units(24, 2)
    assert worst.fill(None) == Units(30, 70)


@pytest.mark.parametrize(
    ("price", "tokens", "of_endpoints", "key"),
    [
        (None, 1.0, (), "rate"),
        (None, None, [1.0], "endpoints"),
        (Price(output=Decimal(1)), None, (), "price"),
    ],
)
def test_units_that_nothing_tells_are_a_mistake(
    price: Any, tokens: Any, of_endpoints: Any, key: str
) -> None:
    with pytest.raises(ConfigError, match=f"{key}: nothing tells how many .*add cost"):
        plan_spending(None, None, price, tokens, of_endpoints)


def test_no_call_may_take_more_than_each_rate_allows_in_a_day() -> None:
    plan = plan_spending("a", None, None, 2.0, [1.0, 3.0])
    assert plan
    assert plan.cost
    assert plan.cost.read(b'{"a":86400}', is_json=True) == Cost(86400, None)
    assert isinstance(plan.cost.read(b'{"a":86401}', is_json=True), ErrorInfo)


def test_spending_is_not_planned_where_nothing_asks_for_it() -> None:
    assert plan_spending(None, None, None, None) is None
    assert plan_spending(None, None, Price(call=Decimal(1)), None)


def test_a_budget_needs_a_price() -> None:
    with pytest.raises(ConfigError, match="max_cost: no API has a price: add one"):
        plan_max_cost(25, [None, plan_spending("a", None, None, None)])
    assert plan_max_cost(None, [None]) is None
