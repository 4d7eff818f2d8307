"""What this process tells others of endpoints, and hears from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import trio
from msgspec.structs import replace

from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.tallies import Key
from tmux_fanout.engine.calls.endpoint import EndpointState
from tmux_fanout.engine.calls.hosts.callers import AnyCaller

_PACE_STEP = 0.1  # share of a pace by which it changes before others are told


class _Told(NamedTuple):
    """What others know of an endpoint, in the times of this process."""

    paused_until: float
    down_since: float | None
    probe_at: float
    failing_since: float | None
    pace: float

    @property
    def is_well(self) -> bool:
        """Whether it is not down, and does not seem so."""
        return self.down_since is None and self.failing_since is None

    def differs_from(self, other: _Told) -> bool:
        if self[:-1] != other[:-1]:
            return True
        return abs(self.pace - other.pace) > _PACE_STEP * min(self.pace, other.pace)


class SharedConditions:
    """Collects what others should know of the endpoints of a run, and takes over what they know."""

    def __init__(self) -> None:
        self._callers: Sequence[AnyCaller] = ()
        self._told: dict[Key, _Told] = {}
        self._untold: dict[Key, None] = {}
        self._earlier: list[Condition] = []  # heard before there were callers

    def __repr__(self) -> str:
        return f"<SharedConditions: {len(self._untold)} endpoints to tell of>"

    def open(self, callers: Sequence[AnyCaller]) -> None:
        """Observe the endpoints of these APIs, which are in the order of the plan."""
        self._callers = callers
        for index, caller in enumerate(callers):
            for endpoint, state in enumerate(caller.endpoints.states):
                self._told[index, endpoint] = _told(state)
        self.hear(self._earlier)
        self._earlier = []

    def close(self) -> None:
        """Take over nothing any more."""
        self._callers = ()

    def note(self, key: Key) -> bool:
        """Return whether there is something to tell of an endpoint."""
        if self._callers and key not in self._untold:
            api, endpoint = key
            state = self._callers[api].endpoints.states[endpoint]
            if _told(state).differs_from(self._told[key]):
                self._untold[key] = None
                return True
        return False

    def take(self) -> list[Condition]:
        """Return what others do not know yet."""
        now = trio.current_time()
        found = []
        for api, endpoint in self._untold if self._callers else ():
            state = self._callers[api].endpoints.states[endpoint]
            before, after = self._told[api, endpoint], _told(state)
            self._told[api, endpoint] = after
            has_recovered = after.is_well and not before.is_well
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
        breaker.failing_since if breaker else None,
        health.throttle.pace,
    )
