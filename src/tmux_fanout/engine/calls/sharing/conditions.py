"""What this process tells others of endpoints, and hears from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import trio
from msgspec.structs import replace
from trio.lowlevel import ParkingLot

from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.engine.calls.endpoint import EndpointState
from tmux_fanout.engine.calls.hosts.callers import AnyCaller

_PACE_STEP = 0.1  # share of a pace by which it changes before others are told


class _Told(NamedTuple):
    """What others know of an endpoint, in the times of this process."""

    paused_until: float
    down_since: float | None
    probe_at: float
    pace: float

    def differs_from(self, other: _Told) -> bool:
        if self[:3] != other[:3]:
            return True
        return abs(self.pace - other.pace) > _PACE_STEP * min(self.pace, other.pace)


class SharedConditions:
    """Collects what others should know of the endpoints of a run, and takes over what they know.

    Attributes:
        changed: unparked when there is something to tell.
    """

    def __init__(self) -> None:
        self.changed = ParkingLot()
        self._callers: Sequence[AnyCaller] = ()
        self._told: dict[tuple[int, int], _Told] = {}
        self._untold: dict[tuple[int, int], None] = {}
        self._earlier: list[Condition] = []  # heard before there were callers

    def __repr__(self) -> str:
        return f"<SharedConditions: {len(self._untold)} endpoints to tell of>"

    def open(self, callers: Sequence[AnyCaller]) -> None:
        """Observe the endpoints of these APIs, which are in the order of the plan."""
        self._callers = callers
        for index, caller in enumerate(callers):
            for endpoint, state in enumerate(caller.endpoints.states):
                self._told[index, endpoint] = _told(state)
            caller.endpoints.watch = partial(self._learned, index)
        self.hear(self._earlier)
        self._earlier = []

    def close(self) -> None:
        """Take over nothing any more."""
        self._callers = ()

    def _learned(self, api: int, endpoint: int) -> None:
        state = self._callers[api].endpoints.states[endpoint] if self._callers else None
        if state and _told(state).differs_from(self._told[api, endpoint]):
            self._untold[api, endpoint] = None
            self.changed.unpark_all()

    def take(self) -> list[Condition]:
        """Return what others do not know yet."""
        now = trio.current_time()
        found = []
        for api, endpoint in self._untold if self._callers else ():
            state = self._callers[api].endpoints.states[endpoint]
            before, after = self._told[api, endpoint], _told(state)
            self._told[api, endpoint] = after
            has_recovered = before.down_since is not None and after.down_since is None
            found.append(replace(state.condition(api, endpoint, now), serves_again=has_recovered))
        self._untold.clear()
        return found

    def hear(self, conditions: Iterable[Condition]) -> None:
        """Take over what others have found out."""
        for each in conditions:
            if not self._callers:
                self._earlier.append(each)
                continue
            caller = self._callers[each.api]
            caller.hear(each)
            key = each.api, each.endpoint
            if key not in self._untold:
                self._told[key] = _told(caller.endpoints.states[each.endpoint])


def _told(state: EndpointState) -> _Told:
    health = state.health
    breaker = health.breaker
    return _Told(
        health.paused_until,
        breaker.open_since if breaker else None,
        breaker.probe_at if breaker else 0.0,
        health.throttle.pace,
    )
