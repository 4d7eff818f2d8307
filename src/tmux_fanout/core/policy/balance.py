"""The choice of an endpoint for an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Balance = Literal["least-in-flight", "round-robin", "failover"]


def choose(
    balance: Balance,
    in_flight: Sequence[int],
    turn: int,
    *,
    usable: Sequence[bool],
    avoid: int | None,
) -> int:
    """Return the index of the endpoint to use.

    One that is not usable, or is to be avoided, is chosen only if there is no other.

    Args:
        balance: the strategy.
        in_flight: number of attempts under way at each endpoint.
        turn: the index after the one chosen last.
        usable: for each endpoint, whether it is neither paused nor broken.
        avoid: index of the endpoint where this call has just failed, or None.
    """
    count = len(in_flight)
    start = 0 if balance == "failover" else turn
    indexes = [(start + step) % count for step in range(count)]
    indexes = [index for index in indexes if usable[index]] or indexes
    indexes = [index for index in indexes if index != avoid] or indexes
    if balance == "least-in-flight":
        return min(indexes, key=lambda index: in_flight[index])
    return indexes[0]
