"""Makers of simulated servers: every call of a maker returns a server that has seen nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..gates import BrownOut, Down, Exhausted, FirstTimes, Flaky, How, Poison, Shed
from ..quotas import Dialect, FixedWindow, RateLimit, TokenBucket, plain
from ..throttling import NO_HEADERS, Gate, Headers, Server
from .scenario import MakeServer

_QUOTA = {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}}
_EXPIRED = {"error": {"code": "invalid_api_key", "message": "The key has expired."}}


def server(*gates: Callable[[], Gate], **settings: Any) -> MakeServer:
    return lambda: Server(*(gate() for gate in gates), **settings)


def shed(
    limit: int = 20, status: int = 503, headers: Headers = NO_HEADERS, **settings: Any
) -> MakeServer:
    return server(lambda: Shed(limit, status, headers), **settings)


def bucket(
    rate: float = 100,
    burst: float | None = None,
    *,
    schedule: Sequence[tuple[float, float]] = (),
    tokens: float = 0,
    says: Dialect = plain(429),  # noqa: B008  a constant
    penal: bool = False,
    latency: float = 0.05,
    refusal: float = 0.02,
) -> MakeServer:
    def gate() -> Gate:
        requests = TokenBucket(rate, burst, schedule)
        of_tokens = TokenBucket(tokens) if tokens else None
        return RateLimit(requests, tokens=of_tokens, says=says, penal=penal)

    return server(gate, latency=latency, refusal=refusal)


def window(rate: float, period: float, says: Dialect = plain(429)) -> MakeServer:  # noqa: B008
    return server(lambda: RateLimit(FixedWindow(rate, period), says=says), latency=0.05)


def flaky(p: float, status: int = 503, latency: float = 0.05) -> MakeServer:
    return server(lambda: Flaky(p, status), latency=latency)


def first_times(times: int) -> MakeServer:
    return server(lambda: FirstTimes(times), latency=0.05)


def poison(ids: range, status: int = 503) -> MakeServer:
    return server(lambda: Poison(ids, status), latency=0.05)


def brown(capacity: int = 20, **how: float) -> MakeServer:
    return server(lambda: BrownOut(capacity, **how))


def down(how: How, lasting: float = 600.0, *, at: float = 2.0, warm: float = 0.0) -> MakeServer:
    return server(lambda: Down(how, lasting, at=at, warm=warm), latency=0.2)


def used_up(after: int = 500) -> Gate:
    return Exhausted(after, 429, _QUOTA)


def expired(after: int = 500, status: int = 401) -> Gate:
    return Exhausted(after, status, _EXPIRED)


FINE = server()
