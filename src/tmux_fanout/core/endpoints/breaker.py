"""The circuit breaker of one endpoint.

    closed ----- `failures` or more, and no success for a second -----> open
    open ------- its time has passed ---------------------------------> one attempt goes as a probe
    probe ------ succeeds --------------------------------------------> closed
    probe ------ fails -----------------------------------------------> open
    probe ------ is inconclusive -------------------------------------> the next may go at once

While it is open, calls wait.  (Nygard, "Release It!", chapter 5.)  With many attempts in flight a
few failures in a row are chance, and say nothing without the time.  The gap between probes is a
fifth of the time that the endpoint has been down, so that an outage is overrun by at most that.

An endpoint that denies every request (an expired key, an unpaid bill) is treated as one that is
down: each record sent to it would be lost.
"""

from __future__ import annotations

import math

import msgspec

_QUIET = 1.0  # seconds without a success
_GAP = 0.2  # between probes, as a share of the time since the last success
_CHANCE = -4.6  # ln(0.01): how improbable a series of failures is if the endpoint is as before
MAX_DENIALS = 20  # in a row


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When an endpoint is not called; durations in seconds.

    Attributes:
        failures: number of failures in a row that open the breaker.
        open: minimum time between probes.
        max_open: maximum time between probes.
        wait: how long calls wait for the endpoint to recover; None: 5 minutes, or one minute as
            long as it has never served.
    """

    failures: int = 5
    open: float = 1.0
    max_open: float = 30.0
    wait: float | None = None

    def patience(self, *, has_served: bool) -> float:
        """Return how long calls wait for the endpoint to recover."""
        if self.wait is not None:
            return self.wait
        return 300.0 if has_served else 60.0


class Breaker:
    """Decide whether an endpoint may be called, from the results of past attempts.

    Args:
        settings: when it opens and for how long.

    Attributes:
        failing_since: since when the endpoint has served nothing, if that is no chance, and it is
            not known yet whether it is down; None: it is not so.
        open_since: when the endpoint ceased to serve; None while closed.
        probes: number of probes since then.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._denials = 0
        self._denied_at: float | None = None
        self._failing_since = 0.0
        self._probe_at = 0.0
        self._probing = False
        self.failing_since: float | None = None
        self.open_since: float | None = None
        self.probes = 0

    def __repr__(self) -> str:
        state = "closed" if self.open_since is None else "probing" if self._probing else "open"
        return f"<Breaker: {state}, {self._failures} failures in a row>"

    @property
    def is_calm(self) -> bool:
        """Whether there was no failure since the last success."""
        return not self._failures and self._denied_at is None

    @property
    def is_suspicious(self) -> bool:
        """Whether it is not clear yet if all requests are denied.

        A success clears that up if its attempt began after the first denial: those that began
        before it may have been served just before a key expired.
        """
        return self._denied_at is not None and self.open_since is None

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin; infinite while a probe is under way."""
        if self.open_since is None:
            return 0.0
        return math.inf if self._probing else max(0.0, self._probe_at - now)

    @property
    def probe_at(self) -> float:
        """When the next probe may go, if it is open."""
        return self._probe_at

    def open_for_others(self, now: float, since: float, probe_in: float) -> None:
        """Open, or stay open for longer, as others have found that the endpoint is down.

        They go on probing; if they cease to, the probes are made here.

        Args:
            now: the time.
            since: since when it has been down.
            probe_in: seconds until others make the next probe.
        """
        if self.open_since is None:
            self.open_since = since
            self.failing_since = None
            self._probing = False
        gap = max(self._settings.open, _GAP * (now - self.open_since))
        self._probe_at = max(self._probe_at, now + probe_in + min(gap, self._settings.max_open) / 2)

    def begin(self) -> bool:
        """Record that an attempt begins; return whether it is a probe."""
        if self.open_since is None:
            return False
        self._probing = True
        self.probes += 1
        return True

    def withdraw_probe(self) -> None:
        """Let the next probe go at once, as this one was inconclusive."""
        self._probing = False

    def succeeded(self, began: float) -> None:
        """Record that an attempt was served, and close the breaker.

        Args:
            began: when the attempt began.
        """
        if self._denied_at is not None and began >= self._denied_at:
            self._denied_at = None
        self._failures = self._denials = self.probes = 0
        self._probing = False
        self.failing_since = self.open_since = None

    def failed(
        self, now: float, *, since: float, is_probe: bool, served_share: float = 1.0
    ) -> None:
        """Record an attempt that was refused, or found no server or one that cannot serve.

        Args:
            now: the time, in seconds.
            since: when the endpoint last served, or the attempt began if that was later.
            is_probe: whether the attempt was a probe.
            served_share: share of the attempts that it served until then.
        """
        if not self._failures:
            self._failing_since = since
        self._failures += 1
        by_chance = self._failures * math.log1p(-min(served_share, 0.99)) > _CHANCE
        is_many = self._failures >= self._settings.failures and not by_chance
        is_down = is_many and now - self._failing_since >= _QUIET
        if is_many and self.open_since is None:
            self.failing_since = self._failing_since
        self._open(now, is_probe=is_probe, is_down=is_down)

    def denied(self, now: float, *, is_probe: bool) -> None:
        """Record an attempt that was denied for a reason that holds for all; see `failed`."""
        if not self._denials:
            self._failing_since = now
        if self._denied_at is None:
            self._denied_at = now
        self._denials += 1
        self._open(now, is_probe=is_probe, is_down=self._denials >= MAX_DENIALS)

    def _open(self, now: float, *, is_probe: bool, is_down: bool) -> None:
        if is_probe or (is_down and self.open_since is None):
            if self.open_since is None:
                self.open_since = self._failing_since
            self.failing_since = None
            gap = _GAP * (now - self.open_since)
            self._probe_at = now + min(max(self._settings.open, gap), self._settings.max_open)
            self._probing = False
