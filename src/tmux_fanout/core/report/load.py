"""What an API has to do now, and the condition of its endpoints, for reports on a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

EndpointCondition = Literal["ready", "throttled", "paused", "down"]  # from good to bad

_FROM_GOOD_TO_BAD: Sequence[EndpointCondition] = ("ready", "throttled", "paused", "down")


class EndpointLoad(msgspec.Struct, frozen=True, array_like=True):
    """One endpoint at one moment.

    Attributes:
        name: of the endpoint; empty if its API has only one.
        in_flight: number of attempts under way.
        condition: whether it is well, refuses, asked not to be called for a while, or is down.
        seconds: until it may be called; None: as soon as the probe under way has ended.
        pace: attempts per second that it is kept to, as it refuses more; None: any.
        why: such as `Retry-After`, or its last failure; may be empty.
    """

    name: str
    in_flight: int
    condition: EndpointCondition = "ready"
    seconds: float | None = 0.0
    pace: float | None = None
    why: str = ""


class Load(msgspec.Struct, frozen=True, array_like=True):
    """One API at one moment.

    Attributes:
        queued: number of calls that wait for their turn.
        endpoints: of the API; none once no more calls are made.
    """

    queued: int = 0
    endpoints: Sequence[EndpointLoad] = ()


def add_loads(loads: Iterable[Load]) -> Load:
    """Return the load of one API over several processes; the worst condition counts."""
    known = list(loads)
    by_name: dict[str, list[EndpointLoad]] = {}
    for load in known:
        for endpoint in load.endpoints:
            by_name.setdefault(endpoint.name, []).append(endpoint)
    return Load(sum(load.queued for load in known), list(map(_add_endpoints, by_name.values())))


def _add_endpoints(parts: Sequence[EndpointLoad]) -> EndpointLoad:
    worst = max(parts, key=lambda each: _FROM_GOOD_TO_BAD.index(each.condition))
    paces = [each.pace for each in parts if each.pace is not None]
    return msgspec.structs.replace(
        worst,
        in_flight=sum(each.in_flight for each in parts),
        pace=sum(paces) if len(paces) == len(parts) else None,
    )
