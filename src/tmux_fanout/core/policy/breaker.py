"""The circuit breaker of one endpoint.

    closed ----- `failures` in a row -----> open
    open ------- its time has passed -----> one attempt goes out as a probe
    probe ------ succeeds ----------------> closed
    probe ------ fails -------------------> open, for twice as long
    probe ------ is inconclusive ---------> open, and the next probe may go at once

While it is open, calls wait.  (Nygard, "Release It!", chapter 5.)
"""

from __future__ import annotations

import math

import msgspec


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When an endpoint is not called; durations in seconds.

    Attributes:
        failures: number of failures in a row that open the breaker.
        open: how long it stays open at first.
        max_open: maximum time that it stays open; each failed probe doubles the time.
        wait: how long a call waits for the endpoint to recover before it fails.
    """

    failures: int = 5
    open: float = 1.0
    max_open: float = 30.0
    wait: float = 60.0


class Breaker:
    """Decide whether an endpoint may be called, from the results of past attempts.

    Args:
        failures: number of failures in a row that open it.
        duration: seconds that it stays open at first.
        max_duration: maximum number of seconds that it stays open.

    Attributes:
        open_since: when it left the closed state; None while closed.
    """

    def __init__(self, failures: int, duration: float, max_duration: float) -> None:
        self._max_failures = failures
        self._duration = duration
        self._max_duration = max_duration
        self._failures = 0
        self._opened = 0  # how many times in a row
        self._probe_at = 0.0
        self._probing = False
        self.open_since: float | None = None

    def __repr__(self) -> str:
        state = "closed" if self.open_since is None else "probing" if self._probing else "open"
        return f"<Breaker: {state}, {self._failures} failures in a row>"

    @property
    def is_calm(self) -> bool:
        """Whether there was no failure since the last success."""
        return not self._failures

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin; infinite while a probe is under way."""
        if self.open_since is None:
            return 0.0
        return math.inf if self._probing else max(0.0, self._probe_at - now)

    def begin(self) -> bool:
        """Record that an attempt begins; return whether it is a probe."""
        if self.open_since is None:
            return False
        self._probing = True
        return True

    def withdraw_probe(self) -> None:
        """Let the next probe go at once, as this one was inconclusive."""
        self._probing = False

    def succeeded(self) -> None:
        """Record that the endpoint answered, and close the breaker."""
        self._failures = self._opened = 0
        self._probing = False
        self.open_since = None

    def failed(self, now: float, *, is_probe: bool) -> None:
        """Record an attempt that found no server, or one that cannot serve.

        Args:
            now: the time, in seconds.
            is_probe: whether the attempt was a probe.
        """
        self._failures += 1
        is_open = self.open_since is not None
        if is_probe or (not is_open and self._failures >= self._max_failures):
            self._probe_at = now + min(self._max_duration, self._duration * 2.0**self._opened)
            self._opened += 1
            self._probing = False
            if self.open_since is None:
                self.open_since = now
