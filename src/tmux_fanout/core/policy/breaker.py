"""The circuit breaker of one endpoint.

    closed ----- `failures` in a row -----> open
    open ------- its time has passed -----> one attempt goes out as a probe
    probe ------ succeeds ----------------> closed
    probe ------ fails -------------------> open, for twice as long
    probe ------ tells nothing -----------> open, and another may go at once

While it is open, calls wait.  (Nygard, "Release It!", chapter 5.)
"""

from __future__ import annotations

import math

import msgspec


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When an endpoint is left alone; durations in seconds.

    Attributes:
        failures: in a row, after which it is.
        open: how long at first.
        max_open: how long at most, as each failed probe doubles it.
        wait: how long a call waits for it to come back, before it fails.
    """

    failures: int = 5
    open: float = 1.0
    max_open: float = 30.0
    wait: float = 60.0


class Breaker:
    """Decides whether an endpoint may be tried, from what it is told of attempts there.

    Args:
        failures: in a row, that open it.
        duration: seconds that it is open at first.
        longest: seconds that it is open at most.

    Attributes:
        open_since: when it left the closed state; None while closed.
    """

    def __init__(self, failures: int, duration: float, longest: float) -> None:
        self._most_failures = failures
        self._duration = duration
        self._longest = longest
        self._failures = 0
        self._opened = 0  # times in a row
        self._probe_at = 0.0
        self._probing = False
        self.open_since: float | None = None

    def __repr__(self) -> str:
        state = "closed" if self.open_since is None else "probing" if self._probing else "open"
        return f"<Breaker: {state}, {self._failures} failures in a row>"

    @property
    def is_calm(self) -> bool:
        """Whether nothing has failed since the last success."""
        return not self._failures

    def wait(self, now: float) -> float:
        """Seconds until an attempt may begin; infinite while a probe is under way."""
        if self.open_since is None:
            return 0.0
        return math.inf if self._probing else max(0.0, self._probe_at - now)

    def begin(self) -> bool:
        """An attempt begins.  Returns whether it is a probe."""
        if self.open_since is None:
            return False
        self._probing = True
        return True

    def withdraw_probe(self) -> None:
        """Let another probe go at once: this one told nothing of the endpoint."""
        self._probing = False

    def succeeded(self) -> None:
        """The endpoint answered."""
        self._failures = self._opened = 0
        self._probing = False
        self.open_since = None

    def failed(self, now: float, *, is_probe: bool) -> None:
        """An attempt found no server, or one that said it cannot serve."""
        self._failures += 1
        is_open = self.open_since is not None
        if is_probe or (not is_open and self._failures >= self._most_failures):
            self._probe_at = now + min(self._longest, self._duration * 2.0**self._opened)
            self._opened += 1
            self._probing = False
            if self.open_since is None:
                self.open_since = now
