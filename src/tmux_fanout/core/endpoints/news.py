"""What the user is told about one endpoint while a run lasts: one line for each change.

    score refuses (HTTP 429): pacing at 96/s
    score is paused until 14:03:20, as it asked
    score is not available (HTTP 503); calls wait for it
    score serves again, after 12s

An outage that is over within a second is not worth a line, nor are a pause of a second and each
step of a pace that is being found.  What began before it was worth a line counts from then on.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Literal

from tmux_fanout.core.units import show_duration, show_pace

_SETTLING = 2.0  # seconds until the pace of an endpoint that refuses is worth a line
_BRIEF = 1.0  # seconds of an outage that needs no line
_LONG_PAUSE = 2.0  # seconds of a pause that needs one
_TO_THE_SECOND = 10.0  # seconds of a wait from which on fractions say nothing

_Told = Literal["", "paced", "paused", "down"]


class News:
    """Find what has changed for the user.

    Args:
        endpoint: name of the endpoint, or "" if the API has only one.
        api: name of the API.
        fallback: name of the API that takes the calls while all endpoints are down, or "".
    """

    def __init__(self, endpoint: str, api: str, *, fallback: str = "") -> None:
        self._fallback = fallback
        self._name = f"{api}: {endpoint}" if endpoint else api
        self._told: _Told = ""
        self._told_at = 0.0
        self._paced_since: float | None = None
        self._is_starting_anew = False  # carefully: its pace says nothing of the endpoint

    def __repr__(self) -> str:
        return f"<News of {self._name}: {self._told or 'nothing'}>"

    def update(
        self,
        now: float,
        clock: datetime,
        *,
        pace: float,
        paused_until: float,
        down_since: float | None,
        failure: str,
        lost_at: float,
        serves: bool,
    ) -> str:
        """Return a line for the user, or "".

        Args:
            now: the time.
            clock: the same, by the clock of the user.
            pace: attempts per second; infinite if they are not paced.
            paused_until: when the endpoint may be called again.
            down_since: since when it has been down, or None.
            failure: a description of its last failure.
            lost_at: when waiting for it will end; infinite if others serve.
            serves: whether it has just served.
        """
        if not serves:
            self._is_starting_anew = False
        if pace == math.inf or self._is_starting_anew:
            self._paced_since = None
        elif self._paced_since is None:
            self._paced_since = now
        if down_since is not None:
            if self._told != "down" and now - down_since >= _BRIEF:
                what = self._where_calls_go(lost_at - down_since)
                return self._tell("down", down_since, f"is not available ({failure}); {what}")
        elif self._is_paused(paused_until - now):
            if self._told != "paused":
                until = f"{clock + timedelta(seconds=paused_until - now):%H:%M:%S}"
                why = f" ({failure})" if failure else ""
                return self._tell("paused", now, f"is paused until {until}, as it asked{why}")
        elif self._told == "down" or (self._told == "paused" and serves):
            self._paced_since = None
            self._is_starting_anew = True
            return self._tell_recovery(now)
        elif self._paced_since is not None:
            if self._told != "paced" and now - self._paced_since >= _SETTLING:
                what = f"refuses ({failure}): pacing at {show_pace(pace)}"
                return self._tell("paced", self._paced_since, what)
        elif self._told:
            return self._tell_recovery(now)
        return ""

    def _is_paused(self, left: float) -> bool:
        """Return whether it is paused, for so many seconds, and the user knows or should."""
        return left >= _LONG_PAUSE or (left > 0 and self._told == "paused")

    def _where_calls_go(self, patience: float) -> str:
        if patience == math.inf:
            return "calls go elsewhere"
        if self._fallback:
            return f"calls go to {self._fallback}"
        seconds = round(max(0.0, patience), 1 if patience < _TO_THE_SECOND else None)
        return f"calls wait up to {show_duration(seconds)} for it"

    def _tell_recovery(self, now: float) -> str:
        seconds = round(now - self._told_at, 1)
        return self._tell("", now, f"serves again, after {show_duration(seconds)}")

    def _tell(self, what: _Told, since: float, text: str) -> str:
        if not self._told:
            self._told_at = since
        self._told = what
        return f"{self._name} {text}"
