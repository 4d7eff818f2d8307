"""Counts of calls by host, for APIs whose hosts come from their records.

The number of hosts is unlimited, so only the busiest are counted to the end: whenever there are too
many, those with the fewest calls so far are dropped.  A host that is among the busiest all along is
counted exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest

import msgspec

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.results.outcome import Outcome

_MAX_COUNTED = 2000
_KEPT = 1000
_SHOWN = 20


class HostCalls(msgspec.Struct, array_like=True):
    """The calls of one host.

    Attributes:
        host: its origin.
        calls: number of calls settled.
        not_ok: number of those that are not ok.
        attempts: number of requests of these calls, redirects from other hosts included.
        seconds: from the first attempt of each call to its outcome, added up.
    """

    host: str
    calls: int = 0
    not_ok: int = 0
    attempts: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """The mean duration of a call, in seconds."""
        return self.seconds / self.calls if self.calls else 0.0


class HostCounts:
    """The calls of an API by host."""

    def __init__(self) -> None:
        self._by_origin: dict[Origin | str, HostCalls] = {}

    def __repr__(self) -> str:
        return f"<HostCounts: {len(self._by_origin)} hosts>"

    def add(self, origin: Origin, outcome: Outcome) -> None:
        """Count a call that has its outcome."""
        calls = self._calls_of(origin)
        calls.calls += 1
        calls.not_ok += not outcome.ok
        calls.attempts += outcome.attempts
        calls.seconds += outcome.seconds

    def include(self, others: Iterable[HostCalls]) -> None:
        """Add what another process counted."""
        for other in others:
            calls = self._calls_of(other.host)
            calls.calls += other.calls
            calls.not_ok += other.not_ok
            calls.attempts += other.attempts
            calls.seconds += other.seconds

    def _calls_of(self, origin: Origin | str) -> HostCalls:
        calls = self._by_origin.get(origin)
        if calls is None:
            if len(self._by_origin) >= _MAX_COUNTED:
                busiest = nlargest(_KEPT, self._by_origin.items(), lambda item: item[1].calls)
                self._by_origin = dict(busiest)
            calls = self._by_origin[origin] = HostCalls(str(origin))
        return calls

    def busiest(self, number: int = _SHOWN) -> list[HostCalls]:
        """Return the hosts with the most calls, the busiest first."""
        return nlargest(number, self._by_origin.values(), lambda calls: calls.calls)
