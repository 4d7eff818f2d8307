"""Which of several endpoints an attempt goes to."""

from __future__ import annotations

from collections.abc import Sequence

from tmux_fanout.core.settings import Balance


def choose(balance: Balance, in_flight: Sequence[int], turn: int, avoid: int | None) -> int:
    """The place of the endpoint to take.

    Args:
        in_flight: attempts under way at each endpoint.
        turn: where to begin looking: the place after the one taken last, or for `failover` the
            one that has not failed of late.
        avoid: where this call has just failed, or None; taken only if there is no other.
    """
    count = len(in_flight)
    places = [(turn + step) % count for step in range(count)]
    if count > 1 and avoid is not None:
        places.remove(avoid)
    if balance == "least-in-flight":
        return min(places, key=lambda place: in_flight[place])
    return places[0]
