"""What the user is told about one endpoint while a run lasts: one line for each change.

    score refuses (HTTP 429): pacing at 96/s
    score is paused until 14:03:20, as it asked
    score is not available (HTTP 503); calls wait for it
    score serves again, after 12s

What is over within a second is not worth a line, nor is each step of a pace that is being found.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Literal

from tmux_fanout.core.units import show_duration

_SETTLING = 2.0  # seconds until the pace of an endpoint that refuses is worth a line
_BRIEF = 1.0  # seconds of a pause or an outage that needs no line

_Told = Literal["", "paced", "paused", "down"]


class News:
    """Find what has changed for the user.

    Args:
        endpoint: name of the endpoint, or "" if the API has only one.
        api: name of the API.
    """

    def __init__(self, endpoint: str, api: str) -> None:
        self._name = f"{api}: {endpoint}" if endpoint else api
        self._told: _Told = ""
        self._told_at = 0.0
        self._paced_since: float | None = None

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
        """
        if pace == math.inf:
            self._paced_since = None
        elif self._paced_since is None:
            self._paced_since = now
        if down_since is not None:
            if self._told != "down" and now - down_since >= _BRIEF:
                wait = f"calls wait up to {show_duration(max(0.0, lost_at - down_since))} for it"
                what = "calls go elsewhere" if lost_at == math.inf else wait
                return self._tell("down", down_since, f"is not available ({failure}); {what}")
        elif paused_until - now >= _BRIEF:
            if self._told != "paused":
                until = clock + timedelta(seconds=paused_until - now)
                return self._tell(
                    "paused", now, f"is paused until {until:%H:%M:%S}, as it asked ({failure})"
                )
        elif self._paced_since is not None:
            if self._told != "paced" and now - self._paced_since >= _SETTLING:
                at = f"{pace:.0f}/s" if pace >= 10 else f"{pace:.2g}/s"
                return self._tell("paced", now, f"refuses ({failure}): pacing at {at}")
        elif self._told:
            seconds = now - self._told_at
            return self._tell("", now, f"serves again, after {show_duration(seconds)}")
        return ""

    def _tell(self, what: _Told, since: float, text: str) -> str:
        if not self._told:
            self._told_at = since
        self._told = what
        return f"{self._name} {text}"
