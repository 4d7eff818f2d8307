"""Rate limits: when the next attempt may begin.

This is the generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A).  For
requests, and for units such as tokens, a `_Bucket` keeps one number: the time at which it is full
again.  A take moves that time forward by what it takes, and may come early by the burst.  In any t
seconds at most burst + rate * t is taken, whatever the unit of time that the rate was written in:
`600/m` does not let 600 requests through at once.

What costs more than the burst would never fit.  It goes when the bucket is full, and puts it in
debt: whatever follows waits until the rate has made up for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Endpoint
from tmux_fanout.core.text import invalid

BURST_SECONDS = 0.1  # the burst is what the rate allows in this time, and at least one request

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class RateSettings(msgspec.Struct, frozen=True):
    """How much may begin per second; at least one of the two rates is given.

    Attributes:
        requests: attempts per second; None: unlimited.
        tokens: units per second, of which each attempt reserves some; None: unlimited.
        burst: how much may come at once, as the seconds in which the rates allow that.
    """

    requests: float | None = None
    tokens: float | None = None
    burst: float = BURST_SECONDS


def rate_of(endpoint: Endpoint) -> RateSettings | None:
    """Return the rate of an endpoint itself; None if it has none."""
    if endpoint.rate is None and endpoint.tokens is None:
        return None
    burst = BURST_SECONDS if endpoint.burst is None else endpoint.burst
    return RateSettings(endpoint.rate, endpoint.tokens, burst)


class Pacer:
    """Decide when attempts may begin.

    Args:
        settings: the rate.
    """

    def __init__(self, settings: RateSettings) -> None:
        requests, tokens = settings.requests, settings.tokens
        self._requests = None if requests is None else _Bucket(requests, settings.burst, 1.0)
        self._tokens = None if tokens is None else _Bucket(tokens, settings.burst, 0.0)

    def __repr__(self) -> str:
        return f"<Pacer: {self._requests} requests, {self._tokens} tokens>"

    @property
    def has_tokens(self) -> bool:
        """Whether units are limited."""
        return self._tokens is not None

    def wait(self, now: float, cost: float = 0.0) -> float:
        """Return the seconds until an attempt may begin; 0 if it may begin now.

        Args:
            now: the time.
            cost: units that the attempt reserves.
        """
        wait = self._requests.wait(now, 1.0) if self._requests else 0.0
        return max(wait, self._tokens.wait(now, cost)) if self._tokens else wait

    def take(self, now: float, cost: float = 0.0) -> None:
        """Record that an attempt begins, and reserves `cost` units."""
        if self._requests:
            self._requests.take(now, 1.0)
        if self._tokens:
            self._tokens.take(now, cost)

    def allow_debt(self, *, is_allowed: bool) -> None:
        """Have an attempt that reserves more than the burst go in debt, or save up for it first.

        Of pacers that share a rate, only one goes in debt, so that they do not do so together.
        """
        if self._tokens:
            self._tokens.may_owe = is_allowed

    def correct(self, now: float, units: float) -> None:
        """Take units beyond what an attempt reserved; if negative, give that much back."""
        if self._tokens:
            self._tokens.correct(now, units)

    def change(self, share: float, now: float) -> None:
        """Pace by a share of the rate from now on; shares of one rate may move between pacers.

        What a larger share adds to the burst comes empty, and a smaller one takes what it held
        along.  So the pacers that share a rate never let through more than a single one would.

        Args:
            share: from 0, when nothing may begin, to 1.
            now: the time.
        """
        for bucket in (self._requests, self._tokens):
            if bucket:
                bucket.change(share, now)

    def tune(self, multiple: float, now: float) -> None:
        """Pace by a multiple of the rate, or of the share of it, from now on.

        Args:
            multiple: above 0.
            now: the time.
        """
        for bucket in (self._requests, self._tokens):
            if bucket:
                bucket.tune(multiple, now)


class _Bucket:
    """One quantity that is taken at a limited rate.

    Args:
        rate: units per second.
        burst: seconds' worth of them that may come at once.
        min_burst: units that may come at once in any case.

    Attributes:
        may_owe: whether more than the burst goes as soon as the bucket is full; otherwise what is
            missing is saved up first, from when it is asked for.
    """

    def __init__(self, rate: float, burst: float, min_burst: float) -> None:
        self._whole_rate = self.rate = rate
        self._whole_burst = self._burst = max(min_burst, rate * burst)
        self._interval = 1 / rate
        self._full_at = 0.0
        self._share = self._multiple = 1.0
        self.may_owe = True
        self._saving_since: float | None = None
        self._owed = 0.0  # units beyond an empty bucket, while the rate is 0

    def __repr__(self) -> str:
        return f"{self.rate:g}/s"

    def wait(self, now: float, amount: float) -> float:
        if amount > self._burst and not self.may_owe:
            return self._wait_to_save(now, amount)
        early = max(0.0, self._burst - amount) * self._interval
        return max(0.0, self._full_at - early - now)

    def _wait_to_save(self, now: float, amount: float) -> float:
        if self._saving_since is None:
            self._saving_since = max(now, self._full_at)
        return max(0.0, self._saving_since + (amount - self._burst) * self._interval - now)

    def take(self, now: float, amount: float) -> None:
        if self._saving_since is not None:
            if amount > self._burst:
                self._saving_since, amount = None, self._burst  # the rest was saved up
            else:
                self._saving_since += amount * self._interval
        # Giving back must not count the time that a full bucket has gained nothing.
        start = max(self._full_at, now) if amount > 0 else self._full_at
        self._full_at = start + amount * self._interval

    def correct(self, now: float, amount: float) -> None:
        if self.rate:
            self.take(now, amount)
        else:
            self._owed += amount

    def tune(self, multiple: float, now: float) -> None:
        self._multiple = multiple
        self.change(self._share, now)

    def change(self, share: float, now: float) -> None:
        self._share = share
        share *= self._multiple
        if self.rate != self._whole_rate * share:
            self._saving_since = None
        missing = max(0.0, self._full_at - now) * self.rate if self.rate else self._owed
        burst = self._whole_burst * share
        missing = max(0.0, missing + burst - self._burst)
        self.rate, self._burst = self._whole_rate * share, burst
        if self.rate:
            self._interval = 1 / self.rate
            self._full_at = now + missing * self._interval
        else:
            self._owed, self._full_at = missing, math.inf


def share_rates(
    names: Sequence[str],
    groups: Sequence[str | None],
    rates: Sequence[RateSettings | None],
    default: RateSettings | None,
) -> list[RateSettings | None]:
    """Return the rate of each API, where those of a group share one.

    Args:
        names: of the APIs.
        groups: the names of their groups, or None.
        rates: of the APIs, where they are given.
        default: for the others, and for groups that are given none.

    Raises:
        ConfigError: the APIs of a group have different rates, or none.
    """
    shared: dict[str, RateSettings] = {}
    for name, group, rate in zip(names, groups, rates):
        if rate is not None and group is not None and shared.setdefault(group, rate) != rate:
            why = "the APIs of the group have different rates: give the rate once"
            raise ConfigError(why, key="rate_group", api=name)
    found = [
        rate or (shared.get(group) if group else None) or default
        for group, rate in zip(groups, rates)
    ]
    for name, group, rate in zip(names, groups, found):
        if group is not None and rate is None:
            why = 'no API of the group has a rate: add one, such as rate = "500/m"'
            raise ConfigError(why, key="rate_group", api=name)
    return found


def parse_rate(value: object) -> float:
    """Return the number per second of a text such as `50/s`, `300/m` or `1000/h`.

    Raises:
        ConfigError: the text is no rate.
    """
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    rate = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    if not rate or rate == math.inf or 1 / rate == math.inf:
        raise ConfigError(invalid("rate", value, "N/s, N/m or N/h, such as 50/s"))
    return rate


def show_rate(rate: float) -> str:
    """Return a rate as text, exactly, in the smallest unit that gives a whole number."""
    for unit, seconds in _SECONDS.items():
        number = round(rate * seconds)
        if number / seconds == rate:
            return f"{number}/{unit}"
    return f"{Decimal(repr(rate)):f}/s"  # without an exponent
