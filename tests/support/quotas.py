"""Simulated rate limits, and the ways in which servers tell of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import trio

from .throttling import EPOCH, NO_HEADERS, Headers, Open, Records, Reply, Server


class Quota(Protocol):
    """How much may pass in a time.

    Attributes:
        rate: of what passes in the long run, per second.
        limit: maximum that can be left.
    """

    rate: float
    limit: float

    def left(self) -> float:
        """Return how much may pass now."""
        ...

    def take(self, cost: float) -> None:
        """Let so much pass."""
        ...

    def wait(self, cost: float) -> float:
        """Return the seconds until so much may pass."""
        ...


class TokenBucket:
    """`rate` a second, and up to `burst` at once; the rate may change by a schedule."""

    def __init__(
        self, rate: float, burst: float | None = None, schedule: Sequence[tuple[float, float]] = ()
    ) -> None:
        self.rate = rate
        self.limit = rate if burst is None else burst
        self._left = self.limit
        self._at = 0.0
        self._schedule = list(schedule)

    def left(self) -> float:
        now = trio.current_time()
        while self._schedule and now >= self._schedule[0][0]:
            at, rate = self._schedule.pop(0)
            self._fill(at)
            self.rate = rate
        self._fill(now)
        return self._left

    def _fill(self, now: float) -> None:
        self._left = min(self.limit, self._left + (now - self._at) * self.rate)
        self._at = now

    def take(self, cost: float) -> None:
        self._left = max(-self.limit, self.left() - cost)

    def wait(self, cost: float) -> float:
        return max(0.0, (cost - self.left()) / self.rate)


class FixedWindow:
    """`rate` x `period` in every period, which begins with the first request."""

    def __init__(self, rate: float, period: float) -> None:
        self.rate = rate
        self.limit: float = round(rate * period)
        self._period = period
        self._left: float = self.limit
        self._ends = 0.0

    def left(self) -> float:
        now = trio.current_time()
        if now >= self._ends:
            missed = math.floor((now - self._ends) / self._period) if self._ends else 0
            self._ends = (self._ends or now) + (missed + 1) * self._period
            self._left = self.limit
        return self._left

    def take(self, cost: float) -> None:
        self._left = self.left() - cost

    def wait(self, cost: float) -> float:
        return 0.0 if cost <= self.left() else self._ends - trio.current_time()


class Limits:
    """The quotas of one API: of requests, and perhaps of tokens."""

    def __init__(self, requests: Quota, tokens: Quota | None) -> None:
        self.requests = requests
        self.tokens = tokens

    def wait(self, tokens: float) -> float:
        """Return the seconds until a request of so many tokens may pass."""
        return max(self.requests.wait(1), self.tokens.wait(tokens) if self.tokens else 0.0)

    def take(self, tokens: float) -> None:
        self.requests.take(1)
        if self.tokens:
            self.tokens.take(tokens)


Dialect = Callable[[Limits, float], Reply]
"""Return the refusal of a request that might pass after so many seconds."""


def plain(status: int) -> Dialect:
    """Tell nothing but the status; 0 stands for a refused connection."""
    return lambda limits, wait: Reply(status)


def retry_after(status: int) -> Dialect:
    """Tell the wait in whole seconds, as most do (RFC 9110, section 10.2.3)."""
    return lambda limits, wait: Reply(status, {"Retry-After": _whole(wait)})


def openai(limits: Limits, wait: float) -> Reply:
    """Tell what remains, when it is full again, and the wait in milliseconds."""
    headers = {**openai_headers(limits), "retry-after-ms": str(math.ceil(wait * 1000) + 1)}
    message = f"Rate limit reached. Please try again in {wait:.3f}s."
    return Reply(429, headers, {"error": {"code": "rate_limit_exceeded", "message": message}})


def openai_bare(limits: Limits, wait: float) -> Reply:
    """Tell what remains and when it is full again."""
    return Reply(429, openai_headers(limits))


def openai_headers(limits: Limits) -> dict[str, str]:
    headers = {}
    for name, quota in (("requests", limits.requests), ("tokens", limits.tokens)):
        if quota is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(round(quota.rate * 60))
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, math.floor(quota.left())))
            until_full = max(0.001, quota.wait(quota.limit))
            headers[f"x-ratelimit-reset-{name}"] = f"{until_full:.3f}s"
    return headers


def github(status: int) -> Dialect:
    """Tell the time of day at which requests may pass again, with 403 or 429."""

    def refusal(limits: Limits, wait: float) -> Reply:
        reset = str(math.ceil(EPOCH + trio.current_time() + wait))
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
        return Reply(status, headers, {"message": "API rate limit exceeded."})

    return refusal


def ietf(limits: Limits, wait: float) -> Reply:
    """Tell of the quota as in draft-ietf-httpapi-ratelimit-headers."""
    return Reply(429, ietf_headers(limits))


def ietf_headers(limits: Limits) -> dict[str, str]:
    left = max(0, math.floor(limits.requests.left()))
    return {"RateLimit": f'"default";r={left};t={_whole(limits.requests.wait(1))}'}


def _whole(wait: float) -> str:
    return str(max(1, math.ceil(wait - 0.001)))


_ON_EVERY_ANSWER: Mapping[Any, Callable[[Limits], Headers]] = {
    openai: openai_headers,
    openai_bare: openai_headers,
    ietf: ietf_headers,
}


class RateLimit(Open):
    """Refuse what goes beyond a quota.

    Args:
        requests: quota of requests.
        tokens: quota of tokens, of which a record costs its `size`.
        says: how refusals are worded.
        penal: whether refused requests count as well, so that whoever storms is never served.
    """

    def __init__(
        self,
        requests: Quota,
        *,
        tokens: Quota | None = None,
        says: Dialect = plain(429),  # noqa: B008  a constant
        penal: bool = False,
    ) -> None:
        self._limits = Limits(requests, tokens)
        self._says = says
        self._penal = penal

    async def admit(self, server: Server, records: Records) -> Reply | None:
        cost = sum(record.get("size", 0) for record in records)
        wait = self._limits.wait(cost)
        if wait > 0:
            if self._penal:
                self._limits.requests.take(1)
            return await server.refuse(*self._says(self._limits, wait))
        self._limits.take(cost)
        return None

    def headers(self) -> Headers:
        told = _ON_EVERY_ANSWER.get(self._says)
        return told(self._limits) if told else NO_HEADERS
