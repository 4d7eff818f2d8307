"""The health of one endpoint: when it may be called next, from how it answered so far.

Three things hold attempts back: a pause that the endpoint has asked for, its breaker, which is open
while it is down, and its throttle, which paces it while it refuses.
"""

from __future__ import annotations

import math
from typing import Literal

from tmux_fanout.core.endpoints.breaker import Breaker, BreakerSettings
from tmux_fanout.core.endpoints.throttle import Throttle
from tmux_fanout.core.policy.answers import Says
from tmux_fanout.core.sharing.conditions import Condition

_ABSENT_AFTER = 60.0  # seconds of failure, from which calls do not wait where there is no breaker
_OUTAGE = 3.0  # the same, from which the pace starts anew once it serves again
_SERVES_MOST = 0.8  # share of attempts served, from which a pause binds its own call only

Cause = Literal["paused", "breaker", "throttled"]


class Health:
    """Decide when an endpoint may be called.

    Args:
        breaker: when its breaker opens; None: never.
        limit: maximum number of attempts under way.
        max_pause: maximum seconds of a pause.

    Attributes:
        breaker: its circuit breaker, or None.
        throttle: its throttle.
        paused_until: when it may be called again.
        serves_others: whether it has ever served another process.
        served_at: when it last served; minus infinity if it never did.
        refused: number of attempts refused or failed.
        unserved: number of attempts that were not served, for whatever reason.
    """

    def __init__(self, breaker: BreakerSettings | None, limit: int, max_pause: float) -> None:
        self.breaker = Breaker(breaker) if breaker else None
        self.throttle = Throttle(limit)
        self._max_pause = max_pause
        self.paused_until = 0.0
        self.serves_others = False
        self._left_until: float | None = None  # to other processes, which find out if it is down
        self._left_at = 0.0
        self._is_resuming = False  # whether the throttle is to start again after a pause
        self.served_at = self._failing_since = -math.inf
        self._share_when_served = 1.0
        self.refused = 0
        self.unserved = 0

    def __repr__(self) -> str:
        return f"<Health: {self.breaker!r}, {self.throttle!r}>"

    @property
    def has_served(self) -> bool:
        """Whether it ever served."""
        return self.served_at > -math.inf or self.serves_others

    @property
    def is_down(self) -> bool:
        """Whether the breaker is open."""
        return self.breaker is not None and self.breaker.open_since is not None

    def is_absent(self, now: float) -> bool:
        """Return whether calls should rather fail than wait: it has no breaker, and serves nothing.

        Then there is no pace to be found, and nothing else would end the waiting.
        """
        return self._has_failed_for(_ABSENT_AFTER if self.has_served else 0.0, now)

    def _has_failed_for(self, seconds: float, now: float) -> bool:
        """Return whether it has failed for so long without service, and has no breaker."""
        is_failing = self.breaker is None and self._failing_since > self.served_at
        return is_failing and now - self._failing_since >= seconds

    @property
    def _serves_most(self) -> bool:
        """Whether it serves so much that a pause on refusal is for one call only."""
        return self.has_served and self.throttle.served_share >= _SERVES_MOST

    def is_calm(self, now: float) -> bool:
        """Return whether nothing holds attempts back, nor may soon."""
        return (
            self.paused_until <= now
            and not self._is_resuming
            and self._left_until is None
            and not self.throttle.is_on
            and (self.breaker is None or self.breaker.is_calm)
        )

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin; infinite while a probe is under way."""
        wait = self.breaker.wait(now) if self.breaker else 0.0
        if self._is_resuming and self.paused_until <= now:
            self._is_resuming = False
            self.throttle.resume(now)
        if self._left_until is not None:
            wait = max(wait, self._left_until - now)
            if self._left_until <= now:
                self._take_back(now)
        if not self.is_down and not self.is_absent(now):
            wait = max(wait, self.throttle.wait(now))
        return max(wait, self.paused_until - now)

    def closed_for(self, now: float) -> float:
        """Return the seconds until all but its throttle allow an attempt; changes nothing."""
        wait = self.breaker.wait(now) if self.breaker else 0.0
        return max(wait, self.paused_until - now, (self._left_until or now) - now, 0.0)

    def held_by(self, now: float) -> Cause:
        """Return what holds attempts back."""
        if self.paused_until > now:
            return "paused"
        is_left = self._left_until is not None and self._left_until > now
        return "breaker" if self.is_down or is_left else "throttled"

    def begin(self, now: float) -> bool:
        """Record that an attempt begins; return whether it is a probe."""
        if self.throttle.is_on and not self.is_down:
            self.throttle.begin(now)
        return self.breaker is not None and self.breaker.begin()

    def learn(
        self,
        says: Says,
        *,
        began: float,
        now: float,
        is_probe: bool,
        pause: float | None,
        in_flight: int = 1,
    ) -> None:
        """Record the result of an attempt.

        Args:
            says: what it says about the endpoint.
            began: when the attempt began.
            now: the time.
            is_probe: whether it was a probe.
            pause: seconds for which the endpoint asks not to be called, or None.
            in_flight: number of attempts under way until then, this one included.
        """
        self.unserved += says is not Says.SERVES
        if says is Says.NOTHING:
            if is_probe and self.breaker:
                self.breaker.withdraw_probe()
            return
        if says is Says.SERVES:
            self._served(began, now)
        elif says is Says.DENIES:
            if self.breaker:
                self.breaker.denied(now, is_probe=is_probe)
        else:
            self._failed(says, began, now, is_probe=is_probe, in_flight=in_flight)
        if pause and (says is Says.SERVES or not self._serves_most):
            self._pause(pause, now)

    def _pause(self, seconds: float, now: float) -> None:
        self.paused_until = max(self.paused_until, now + min(seconds, self._max_pause))
        if not self._is_resuming:
            self.throttle.pause(now)
        self._is_resuming = True

    def hear(self, condition: Condition, now: float) -> None:
        """Take over what another process has found, unless this one knows better.

        Args:
            condition: as that process has found it.
            now: the time.
        """
        if condition.paused:
            self._pause(condition.paused, now)
        if condition.serves_again:
            self.serves_others = True
            self._take_back(now)
        if self.breaker and condition.serves_again and self.is_down:
            self._served(now, now)
        if self.breaker and condition.down is not None and not condition.serves_again:
            since = now - condition.down
            if self.served_at <= since:
                was_down = self.is_down
                self.breaker.open_for_others(now, since, condition.probe)
                self._left_until = None
                if not was_down:
                    self.throttle.freeze(now)
        if condition.pace is not None:
            self.throttle.adopt(condition.pace, now)
        if condition.failing is not None and condition.left:
            self._leave(condition.left, now - condition.failing, now)

    def _leave(self, seconds: float, since: float, now: float) -> None:
        """Leave the endpoint to another process, to which it has served nothing for some time.

        Own service since then speaks against an outage, unless it has ceased here as well.
        """
        if self.breaker is None or self.is_down or self._left_until is not None:
            return
        if self.served_at <= since or self.breaker.failing_since is not None:
            self._left_until, self._left_at = now + seconds, now

    def _take_back(self, now: float) -> None:
        """Call the endpoint again, if it was left to another process."""
        if self._left_until is not None:
            self.throttle.skip(min(now, self._left_until) - self._left_at)
            self._left_until = None

    def _served(self, began: float, now: float) -> None:
        was_down = self.is_down or self._has_failed_for(_OUTAGE, now)
        self.served_at = now
        self._take_back(now)
        if self.breaker:
            self.breaker.succeeded(began)
        if was_down:
            self.throttle.resume(now)
        elif self.throttle.is_on:
            self.throttle.served(now)
            self._share_when_served = self.throttle.served_share

    def _failed(
        self, says: Says, began: float, now: float, *, is_probe: bool, in_flight: int
    ) -> None:
        self.refused += 1
        if self._failing_since <= self.served_at:
            self._failing_since = now
        if says is not Says.HANGS and not self.is_down and not self.is_absent(now):
            self.throttle.refused(began, now, in_flight)
        if self.breaker:
            since = max(self.served_at, began)
            was_down = self.is_down
            self.breaker.failed(
                now, since=since, is_probe=is_probe, served_share=self._share_when_served
            )
            if self.is_down and not was_down:
                self.throttle.freeze(now)
