"""What an API's attempts have spent, by what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Literal, get_args

from tmux_fanout.core.spending.prices import Amount, Price

Use = Literal["useful", "retried", "hedged", "lost"]
USES: tuple[Use, ...] = get_args(Use)


class Spending:
    """Amounts by what came of them."""

    __slots__ = ("_amounts",)

    def __init__(self) -> None:
        self._amounts: dict[Use, Amount] = dict.fromkeys(USES, Amount())

    def __repr__(self) -> str:
        return f"<Spending: {self.amounts()}>"

    def add(self, use: Use, amount: Amount) -> None:
        """Add an amount."""
        self._amounts[use] = self._amounts[use].plus(amount)

    def include(self, amounts: Mapping[Use, Amount]) -> None:
        """Add amounts that another process has counted."""
        for use, amount in amounts.items():
            self.add(use, amount)

    def amounts(self) -> dict[Use, Amount]:
        """Return the amounts by their use."""
        return {use: amount.rounded() for use, amount in self._amounts.items()}

    @property
    def useful(self) -> Amount:
        """The amount of calls that ended ok."""
        return self._amounts["useful"].rounded()

    @property
    def retried(self) -> Amount:
        """The amount of attempts that were followed by another."""
        return self._amounts["retried"].rounded()

    @property
    def hedged(self) -> Amount:
        """The amount of the losing attempts of hedges."""
        return self._amounts["hedged"].rounded()

    @property
    def lost(self) -> Amount:
        """The amount of calls that ended not ok."""
        return self._amounts["lost"].rounded()

    @property
    def total(self) -> Amount:
        """All amounts together."""
        return reduce(Amount.plus, self._amounts.values()).rounded()

    def cost(self, price: Price) -> int:
        """Return the money for all of it, in trillionths."""
        return sum(price.of(amount) for amount in self._amounts.values())
