"""Prices, and the money that attempts cost.

Money is counted in whole trillionths of the currency, whichever that is, so that sums are exact:
a budget of 1 is enough for 100 calls at 0.01, and not for one more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid, nearest, show_key

_PARTS = 10**12
_AMOUNT = r"(\d{1,9}(?:\.\d{1,12})?|\.\d{1,12})"
_MONEY = re.compile(rf"\s*{_AMOUNT}\s*", re.ASCII)
_PRICE = re.compile(rf"\s*{_AMOUNT}\s*(?:/\s*(1M|1K|1)\s*)?", re.ASCII | re.IGNORECASE)
_COUNT = {"1M": 10**6, "1K": 10**3, "1": 1}
_KEYS = ("input", "output", "call")
_NO_TABLE = 'not a table: use one such as { input = "2.50/1M", output = "10/1M", call = "0.01" }'


class Amount(NamedTuple):
    """What attempts have spent.

    Attributes:
        calls: how many they are.  A share of one for each record, where records share requests.
        input, output: units.
    """

    calls: float = 0.0
    input: float = 0.0
    output: float = 0.0

    def plus(self, other: Amount) -> Amount:
        """Return both together."""
        return Amount(
            self.calls + other.calls, self.input + other.input, self.output + other.output
        )

    def rounded(self) -> Amount:
        """Return it without the errors that sums of parts have."""
        return Amount(*(round(each, 6) for each in self))

    def part(self, number: int) -> Amount:
        """Return one of a number of equal parts."""
        return Amount(self.calls / number, self.input / number, self.output / number)


class Price(NamedTuple):
    """The money for a unit of input, a unit of output, and a call, in trillionths."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    call: Decimal = Decimal(0)

    def of(self, amount: Amount) -> int:
        """Return the money for an amount, in trillionths."""
        calls, units_in, units_out = map(Decimal, amount.rounded())
        total = self.input * units_in + self.output * units_out + self.call * calls
        return int(total.to_integral_value())


def parse_price(value: object) -> Price:
    """Return the price under `price`.

    Raises:
        ConfigError: it is no table, a key is unknown, or an amount cannot be used.
    """
    if isinstance(value, Price):
        return value
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(_NO_TABLE)
    for key in value:
        if key not in _KEYS:
            raise ConfigError(f"unknown key {show_key(str(key))}: {nearest(str(key), _KEYS)}")
    return Price(**{key: _parse_amount(key, each) for key, each in value.items()})


def _parse_amount(key: str, value: object) -> Decimal:
    match = _PRICE.fullmatch(_as_text(value))
    if match is None or (key != "call" and not match[2] and float(match[1])):
        use = "an amount such as 0.01" if key == "call" else "an amount per units, such as 2.50/1M"
        raise ConfigError(invalid("price", value, use), key=key)
    count = _COUNT[match[2].upper()] if match[2] else 1
    return Decimal(match[1]) * _PARTS / count


def show_price(value: object) -> dict[str, str]:
    """Return a price as the table that `parse_price` reads."""
    price = parse_price(value)
    shown = {
        "input": f"{show_money(price.input * 10**6)}/1M",
        "output": f"{show_money(price.output * 10**6)}/1M",
        "call": show_money(price.call),
    }
    return {key: shown[key] for key in _KEYS if getattr(price, key)} or {"call": "0"}


def parse_max_cost(value: object) -> int:
    """Return an amount of money, in trillionths, from a number or text such as `25` or `0.50`.

    Raises:
        ConfigError: it is neither.
    """
    match = _MONEY.fullmatch(_as_text(value))
    if match is None:
        raise ConfigError(invalid("amount of money", value, "a number such as 25 or 0.50"))
    return int(Decimal(match[1]) * _PARTS)


def show_money(trillionths: int | Decimal) -> str:
    """Return an amount of money, exactly, without digits that say nothing."""
    return f"{money(trillionths):f}"


def money(trillionths: int | Decimal) -> Decimal:
    """Return an amount of money in the currency."""
    amount = (Decimal(trillionths) / _PARTS).normalize()
    return amount if amount != amount.to_integral_value() else amount.quantize(Decimal(1))


def _as_text(value: object) -> str:
    """Return a number as it was written; "" for what is neither number nor text."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return value if isinstance(value, str) else f"{Decimal(repr(value)):f}"
