"""Which of several endpoints an attempt goes to."""

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
    """The place of the endpoint to take.

    Args:
        in_flight: attempts under way at each endpoint.
        turn: the place after the one taken last.
        usable: whether each is neither paused nor broken.
        avoid: where this call has just failed, or None.

    What is not usable, or to be avoided, is taken only if there is nothing else.
    """
    count = len(in_flight)
    start = 0 if balance == "failover" else turn
    places = [(start + step) % count for step in range(count)]
    places = [place for place in places if usable[place]] or places
    places = [place for place in places if place != avoid] or places
    if balance == "least-in-flight":
        return min(places, key=lambda place: in_flight[place])
    return places[0]
