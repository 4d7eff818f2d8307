"""What members tell each other of endpoints: pauses, outages, and the pace that one found.

Times are relative, as no clocks are compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from tmux_fanout.core.errors import ErrorKind

M = TypeVar("M", bound=Hashable)

_PATIENCE = 1.0  # seconds that a report on a probe may take
_TEST = 1.5  # seconds, within which a member that suspects an outage is sure of it


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
        serves_again: whether it was down or seemed so, and has served since.
        pace: attempts per second that a member keeps to, as it refuses more; None: it does not.
        failing: seconds for which it has served nothing, if it may be down; None: it serves.
        left: seconds for which it is left to another member that finds out whether it is down.
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
    failing: float | None = None
    left: float = 0.0


class _Prober(NamedTuple, Generic[M]):
    """The member that tries an endpoint that is or may be down, for all of them.

    Attributes:
        member: the member.
        until: when another one may take its place, as it has not reported.
    """

    member: M
    until: float


class Board(Generic[M]):
    """Decides what members are told, and keeps that for those that join later.

    An endpoint that is down is probed by the member that reported it first: after each probe the
    others are told to wait for the next one.  So it is before that is certain: the first member
    that suspects an outage goes on, and the others leave the endpoint to it for a short time.
    """

    def __init__(self) -> None:
        self._testers: dict[tuple[int, int], _Prober[M]] = {}
        self._probers: dict[tuple[int, int], _Prober[M]] = {}
        self._known: dict[tuple[int, int], tuple[float, Condition]] = {}  # with the time
        self._paces: dict[tuple[int, int], dict[M, float]] = {}

    def __repr__(self) -> str:
        return f"<Board: {len(self._known)} endpoints>"

    def add(self, member: M, conditions: Iterable[Condition], now: float) -> list[Condition]:
        """Note what a member reports, and return what the others have to know."""
        return [told for each in conditions if (told := self._add(member, each, now))]

    def leave_to_others(
        self, member: M, conditions: Iterable[Condition], now: float
    ) -> list[Condition]:
        """Return what a member itself has to know: the endpoints that others try already."""
        return [
            Condition(each.api, each.endpoint, failing=each.failing, left=tester.until - now)
            for each in conditions
            if each.failing is not None
            and (tester := self._testers.get((each.api, each.endpoint)))
            and tester.member != member
            and now < tester.until
        ]

    def _add(self, member: M, condition: Condition, now: float) -> Condition | None:
        key = condition.api, condition.endpoint
        paces = self._paces.setdefault(key, {})
        paces.pop(member, None)
        if condition.pace is not None:
            paces[member] = condition.pace
        told = replace(condition, pace=None, failing=None)
        self._known[key] = (now, self._combined(self._at(key, now), told))
        if told.serves_again:
            self._probers.pop(key, None)
            self._testers.pop(key, None)
        if told.down is not None and not self._is_prober(key, member, told.probe, now):
            told = replace(told, down=None, failure=None)
        if condition.failing is not None and self._is_tester(key, member, now):
            told = replace(told, failing=condition.failing, left=_TEST)
        has_news = told.paused or told.left or told.down is not None or told.serves_again
        return told if has_news else None

    def _is_tester(self, key: tuple[int, int], member: M, now: float) -> bool:
        """Return whether a member is the first to suspect an outage, and remember that."""
        tester = self._testers.get(key)
        if tester and now < tester.until:
            return False
        self._testers[key] = _Prober(member, now + _TEST)
        return True

    def _combined(self, known: Condition | None, condition: Condition) -> Condition:
        """Return a condition, with what was known before and its member has not noticed."""
        if known and known.paused > condition.paused:
            condition = replace(condition, paused=known.paused, paused_by=known.paused_by)
        if known and condition.down is None and not condition.serves_again:
            condition = replace(
                condition, down=known.down, probe=known.probe, failure=known.failure
            )
        return replace(condition, serves_again=False)

    def _is_prober(self, key: tuple[int, int], member: M, probe: float, now: float) -> bool:
        """Return whether a member probes an endpoint for all, and remember when it should again."""
        prober = self._probers.get(key)
        if prober and prober.member != member and now < prober.until:
            return False
        self._probers[key] = _Prober(member, now + 2 * probe + _PATIENCE)
        return True

    def leave(self, member: M) -> None:
        """Forget the paces and the probes of a member that is gone."""
        for paces in self._paces.values():
            paces.pop(member, None)
        for probers in (self._probers, self._testers):
            for key, prober in list(probers.items()):
                if prober.member == member:
                    del probers[key]

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
