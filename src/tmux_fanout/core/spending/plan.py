"""How the spending of an API is known, from its settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.requests.streams.reader import StreamReader
from tmux_fanout.core.spending.prices import Price, parse_max_cost
from tmux_fanout.core.spending.units import CostReader, SpentReader

_MAX_UNITS_SECONDS = 86400  # nothing may cost more than the rate allows in this time
_ADVICE = 'add cost = "chars/4", or spent with the place in the response, such as "usage.total"'


class SpendingPlan(msgspec.Struct, frozen=True):
    """How the spending of an API is known; None where it is not set.

    Attributes:
        cost: what an attempt will spend, by its request.
        spent: what it has spent, by its response.
        price: what that costs.
    """

    cost: CostReader | None = None
    spent: SpentReader | None = None
    price: Price | None = None


def plan_spending(
    cost: str | None,
    spent: str | None,
    price: Price | None,
    tokens: float | None,
    of_endpoints: Sequence[float] = (),
    *,
    stream: StreamReader | None = None,
) -> SpendingPlan | None:
    """Return how the spending of an API is known; None if it is not counted.

    Args:
        cost, spent, price: of the API.
        tokens: the units per second that the rate of the API allows, or None.
        of_endpoints: those of its endpoints.  No attempt may take more than each allows in a day.
        stream: reads its responses if they are streams, or None.

    Raises:
        ConfigError: an expression is invalid, or nothing tells the units that something else needs.
    """
    limits = [*of_endpoints] if tokens is None else [tokens, *of_endpoints]
    if cost is None and spent is None:
        if limits:
            key = "endpoints" if tokens is None else "rate"
            raise ConfigError(f"nothing tells how many tokens a call takes: {_ADVICE}", key=key)
        if price and (price.input or price.output):
            why = f"nothing tells how many units a call takes: {_ADVICE}"
            raise ConfigError(why, key="price")
        if price is None:
            return None
    max_units = min(limits, default=math.inf) * _MAX_UNITS_SECONDS
    return SpendingPlan(
        None if cost is None else CostReader(cost, max_units),
        None if spent is None else SpentReader(spent, max_units, stream),
        price,
    )


def plan_max_cost(max_cost: object, apis: Sequence[SpendingPlan | None]) -> int | None:
    """Return how much the calls of a run may cost, in trillionths; None: unlimited.

    Raises:
        ConfigError: no API has a price.
    """
    if max_cost is None:
        return None
    if not any(api and api.price for api in apis):
        why = 'no API has a price: add one to an API, such as price = { call = "0.01" }'
        raise ConfigError(why, key="max_cost")
    return parse_max_cost(max_cost)
