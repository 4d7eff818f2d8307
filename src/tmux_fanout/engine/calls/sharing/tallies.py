"""What this process counts at endpoints that are in trouble, here or at another process."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import trio

from tmux_fanout.core.sharing.tallies import FRESH, Key, Tally
from tmux_fanout.engine.calls.endpoint import EndpointState
from tmux_fanout.engine.calls.hosts.callers import AnyCaller
from tmux_fanout.engine.calls.sharing.others import KnownOthers

_SOONEST, _LATEST = 0.02, 1.0  # seconds between two reports
_GATHERING = 0.1  # seconds of trouble in which calls come back to the queue
_GAP = 0.2  # between reports, as a share of the time since the trouble began


class _Account:
    """What others know of an endpoint.

    Attributes:
        refused, served: number of attempts that they were told of.
        since: since when they are told.
        told_at: when they were last told.
        asked_until: until when others want to know.
    """

    def __init__(self, refused: int, served: int, now: float) -> None:
        self.refused, self.served = refused, served
        self.since = now
        self.told_at = self.asked_until = -math.inf

    def next_at(self) -> float:
        """Return when others should be told again, if there is anything new."""
        gap = min(max(_SOONEST, _GAP * (self.told_at - self.since)), _LATEST)
        return self.told_at + gap


class SharedTallies:
    """Counts for others what becomes of attempts in trouble, and takes over what they count.

    Args:
        others: of each API, what is known of the calls of others.
    """

    def __init__(self, others: Sequence[KnownOthers]) -> None:
        self._others = others
        self._callers: Sequence[AnyCaller] = ()
        self._accounts: dict[Key, _Account] = {}
        self._refused: dict[Key, int] = {}  # that others were told of before the trouble

    def __repr__(self) -> str:
        return f"<SharedTallies: {len(self._accounts)} endpoints>"

    def open(self, callers: Sequence[AnyCaller]) -> None:
        """Count at the endpoints of these APIs, which are in the order of the plan."""
        self._callers = callers

    def close(self) -> None:
        """Count nothing any more."""
        self._callers = ()
        self._accounts.clear()

    def follow(self, key: Key) -> bool:
        """Count at an endpoint as long as it is in trouble; return whether that begins now."""
        if key in self._accounts or not self._callers:
            return False
        self._accounts[key] = _Account(
            self._refused.get(key, 0), self._state(key).served, trio.current_time()
        )
        return True

    def asked(self, keys: Iterable[Key]) -> None:
        """Count at endpoints for a while, as others are in trouble there."""
        for key in keys if self._callers else ():
            self.follow(key)
            self._accounts[key].asked_until = trio.current_time() + FRESH

    def _state(self, key: Key) -> EndpointState:
        api, endpoint = key
        return self._callers[api].endpoints.states[endpoint]

    def _is_troubled(self, key: Key, account: _Account, now: float) -> bool:
        if self._state(key).health.is_calm(now):
            return False
        # A call that has just failed is neither under way nor waiting yet.
        return now < account.since + _GATHERING or self._callers[key[0]].has_calls

    def take(self) -> tuple[Sequence[Tally], bool]:
        """Return what others should know, and whether this process wants to know their counts."""
        now = trio.current_time()
        found = []
        asks = False
        for key, account in list(self._accounts.items()):
            is_troubled = self._is_troubled(key, account, now)
            if not is_troubled and now > account.asked_until:
                self._refused[key] = self._accounts.pop(key).refused
            elif now >= account.next_at():
                found.append(self._tally(key, account, now))
                asks |= is_troubled
        return found, asks

    def _tally(self, key: Key, account: _Account, now: float) -> Tally:
        state = self._state(key)
        refused, served = state.health.refused, state.served
        tally = Tally(
            *key,
            refused - account.refused,
            served - account.served,
            state.health.has_served,
            not self._callers[key[0]].have_all_begun,
        )
        account.refused, account.served, account.told_at = refused, served, now
        return tally

    def due_in(self) -> float:
        """Return the seconds until `take` has something to tell; infinite while all is well."""
        if not self._accounts:
            return math.inf
        first = min(account.next_at() for account in self._accounts.values())
        return max(0.0, first - trio.current_time())

    def hear(self, tallies: Iterable[Tally], records: int | None) -> None:
        """Take over what others have counted, and how many records they have; None: not known."""
        now = trio.current_time()
        number = math.inf if records is None else float(records)
        heard: dict[int, list[Tally]] = {}
        for each in tallies if self._callers else ():
            self._state(each.key).hear_tally(each)
            heard.setdefault(each.api, []).append(each)
        for api, of_endpoints in heard.items():
            self._others[api].update(
                number,
                now,
                have_untried=any(each.has_untried for each in of_endpoints),
                are_partial=any(each.is_partial for each in of_endpoints),
            )
            self._callers[api].resume()
