"""The endpoints of one API, while a run lasts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tmux_fanout.core.balance import choose
from tmux_fanout.core.errors import Failure
from tmux_fanout.core.http import Endpoint, Request, RequestHead
from tmux_fanout.core.settings import Balance


class Endpoints:
    """Spreads attempts.

    Args:
        endpoints: at least two.
        balance: how.

    Attributes:
        in_flight: attempts under way, by endpoint.
    """

    def __init__(self, endpoints: Sequence[Endpoint], balance: Balance) -> None:
        self._endpoints = endpoints
        self._balance = balance
        self._turn = 0
        self.in_flight = [0] * len(endpoints)

    def __repr__(self) -> str:
        return f"<Endpoints: {self.in_flight} in flight>"

    def enter(self, avoid: int | None) -> int:
        """Choose an endpoint for an attempt; `leave` it afterwards.

        Args:
            avoid: where the call has just failed.
        """
        place = choose(self._balance, self.in_flight, self._turn, avoid)
        if self._balance != "failover":
            self._turn = (place + 1) % len(self._endpoints)
        self.in_flight[place] += 1
        return place

    def leave(self, place: int, failure: Failure | None) -> None:
        """An attempt is over; where no connection was made, `failover` turns to the next."""
        self.in_flight[place] -= 1
        is_down = failure is not None and failure.kind in ("connect", "tls")
        if self._balance == "failover" and is_down and place == self._turn:
            self._turn = (place + 1) % len(self._endpoints)

    def route(self, request: Request, place: int) -> Request:
        """A request, which was built for the first endpoint, for another one."""
        if place == 0:
            return request
        return Request(
            _moved(request.head, self._endpoints[0], self._endpoints[place]), request.body
        )


@lru_cache(maxsize=256)
def _moved(head: RequestHead, old: Endpoint, new: Endpoint) -> RequestHead:
    """The same head for the same pair, since transports prepare heads once as well."""
    return head.moved(old, new)
