"""What members tell each other of endpoints: pauses, outages, and the pace that one found.

Times are relative, as no clocks are compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from tmux_fanout.core.errors import ErrorKind

M = TypeVar("M", bound=Hashable)


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """The result of an attempt that was not served.

    Attributes:
        status: of the response; None: there was none.
        kind, message: of the error otherwise.
    """

    status: int | None = None
    kind: ErrorKind = "connect"
    message: str = ""


class Condition(msgspec.Struct, frozen=True, array_like=True):
    """The condition of one endpoint, as one member has found it.

    Attributes:
        api: index of the API.
        endpoint: index of the endpoint.
        paused: seconds for which it asks not to be called.
        paused_by: the header that asks for that.
        down: seconds for which it has been down; None: it is not.
        probe: seconds until it is tried again, if it is down.
        failure: its last one.
        serves_again: whether it was down, and has served since.
        pace: attempts per second that a member keeps to, as it refuses more; None: it does not.
    """

    api: int
    endpoint: int
    paused: float = 0.0
    paused_by: str = ""
    down: float | None = None
    probe: float = 0.0
    failure: Failure | None = None
    serves_again: bool = False
    pace: float | None = None


class Board(Generic[M]):
    """Keeps what members have reported for those that join later."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[float, Condition]] = {}  # with the time
        self._paces: dict[tuple[int, int], dict[M, float]] = {}

    def __repr__(self) -> str:
        return f"<Board: {len(self._known)} endpoints>"

    def add(self, member: M, conditions: Iterable[Condition], now: float) -> list[Condition]:
        """Note what a member reports, and return what the others have to know."""
        told = []
        for each in conditions:
            key = each.api, each.endpoint
            paces = self._paces.setdefault(key, {})
            paces.pop(member, None)
            if each.pace is not None:
                paces[member] = each.pace
            heard = replace(each, pace=None)
            known = self._at(key, now)
            if known and known.paused > each.paused:
                heard = replace(heard, paused=known.paused, paused_by=known.paused_by)
            if known and each.down is None and not each.serves_again:  # it has just not noticed
                heard = replace(heard, down=known.down, probe=known.probe, failure=known.failure)
            self._known[key] = (now, replace(heard, serves_again=False))
            if each.paused or each.down is not None or each.serves_again:
                told.append(replace(each, pace=None))
        return told

    def leave(self, member: M) -> None:
        """Forget the paces of a member that is gone."""
        for paces in self._paces.values():
            paces.pop(member, None)

    def current(self, now: float) -> list[Condition]:
        """Return what a member that joins has to know; its paces are the mean of the others'."""
        found = []
        for key in self._known:
            condition = self._at(key, now)
            if condition is None:
                continue
            paces = self._paces[key].values()
            if paces:
                condition = replace(condition, pace=sum(paces) / len(paces))
            if condition.paused or condition.down is not None or condition.pace is not None:
                found.append(condition)
        return found

    def _at(self, key: tuple[int, int], now: float) -> Condition | None:
        """Return the condition of an endpoint as it is now, from what was reported earlier."""
        if key not in self._known:
            return None
        time, condition = self._known[key]
        passed = now - time
        return replace(
            condition,
            paused=max(0.0, condition.paused - passed),
            down=None if condition.down is None else condition.down + passed,
            probe=max(0.0, condition.probe - passed),
        )
