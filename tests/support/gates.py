"""Gates of simulated servers: what stands between a request and its processing."""

from __future__ import annotations

import math
from typing import Any, Literal

import trio

from tmux_fanout.core.errors import TransportError

from .throttling import NO_HEADERS, Headers, Open, Records, Reply, Server

How = Literal["refuse", "crash", "hang"] | int

_FOR_EVER = 1e6  # seconds


class Shed(Open):
    """Refuse what would be more than `limit` at the same time."""

    def __init__(self, limit: int = 20, status: int = 503, headers: Headers = NO_HEADERS) -> None:
        self._limit = limit
        self._refusal = status, headers
        self._busy = 0

    async def admit(self, server: Server, records: Records) -> Reply | None:
        if self._busy >= self._limit:
            return await server.refuse(*self._refusal)
        self._busy += 1
        return None

    def release(self) -> None:
        self._busy -= 1


class Flaky(Open):
    """Refuse requests at random, with probability `p`."""

    def __init__(self, p: float, status: int = 503) -> None:
        self._p = p
        self._status = status

    async def admit(self, server: Server, records: Records) -> Reply | None:
        return await server.refuse(self._status) if server.random.random() < self._p else None


class Losing(Open):
    """Process requests, and then lose the connection before the answer, with probability `p`."""

    def __init__(self, p: float) -> None:
        self._p = p

    async def admit(self, server: Server, records: Records) -> Reply | None:
        if server.random.random() < self._p:
            server.process(records)
            await trio.sleep(server.latency)
            raise TransportError("protocol", "connection lost", sent=True, transient=True)
        return None


class FirstTimes(Open):
    """Refuse every record's first requests."""

    def __init__(self, times: int, status: int = 503) -> None:
        self._times = times
        self._status = status

    async def admit(self, server: Server, records: Records) -> Reply | None:
        is_early = server.requests[records[0]["id"]] <= self._times
        return await server.refuse(self._status) if is_early else None


class Poison(Open):
    """Refuse some records for ever: those whose ids are in a range."""

    def __init__(self, ids: range, status: int = 503) -> None:
        self._ids = ids
        self._status = status

    async def admit(self, server: Server, records: Records) -> Reply | None:
        is_poison = any(record["id"] in self._ids for record in records)
        return await server.refuse(self._status) if is_poison else None


class BrownOut(Open):
    """Serve `capacity` at the same time, first come first served, while the others queue.

    Args:
        capacity: number of requests that are served at the same time.
        patience: seconds after which whoever queues is refused.
        thrash: how much slower a crowd makes it: latency x (in flight / capacity) ** thrash.
    """

    def __init__(self, capacity: int = 20, *, patience: float = math.inf, thrash: float = 0.0):
        self._places = trio.Semaphore(capacity)
        self._capacity = capacity
        self._patience = patience
        self._thrash = thrash

    async def admit(self, server: Server, records: Records) -> Reply | None:
        with trio.move_on_after(self._patience) as waiting:
            await self._places.acquire()
        if waiting.cancelled_caught:
            return Reply(503, body={"error": 503})
        crowd = max(1.0, server.in_flight / self._capacity)
        try:
            await trio.sleep(server.latency * (crowd**self._thrash - 1))
        except trio.Cancelled:
            self._places.release()
            raise
        return None

    def release(self) -> None:
        self._places.release()


class Down(Open):
    """Be out of order from `at` for `lasting` seconds.

    Args:
        how: a status; "refuse": nobody listens, and what is in flight is finished; "crash": the
            same, and what is in flight is lost; "hang": requests get no answer at all.
        warm: seconds afterwards in which half of the requests still get 503.
    """

    def __init__(
        self,
        how: How,
        lasting: float = _FOR_EVER,
        *,
        at: float = 2.0,
        warm: float = 0.0,
    ) -> None:
        self._how = how
        self._at = at
        self._until = at + lasting
        self._warm_until = self._until + warm

    async def admit(self, server: Server, records: Records) -> Reply | None:
        server.down = (self._at, self._until)
        now = trio.current_time()
        if self._at <= now < self._until:
            return await self._out_of_order(server)
        if self._how == "crash" and now < self._at < now + server.latency:
            server.process(records)
            await trio.sleep_until(self._at)
            raise TransportError("protocol", "connection lost", sent=True, transient=True)
        if self._until <= now < self._warm_until and server.random.random() < 0.5:
            return await server.refuse(503)
        return None

    async def _out_of_order(self, server: Server) -> Reply:
        if self._how == "hang":
            await trio.sleep(_FOR_EVER)
        if isinstance(self._how, int):
            return await server.refuse(self._how)
        await trio.sleep(0.001)
        raise TransportError("connect", "connection refused", sent=False, transient=True)


class Exhausted(Open):
    """Refuse everything for ever once `after` requests have passed: a quota or a key."""

    def __init__(self, after: int, status: int, body: Any) -> None:
        self._left = after
        self._refusal = status, body

    async def admit(self, server: Server, records: Records) -> Reply | None:
        if not self._left:
            server.down = (min(server.down[0], trio.current_time()), math.inf)
            status, body = self._refusal
            return await server.refuse(status, body=body)
        self._left -= 1
        return None


class Spiky(Open):
    """Be slow now and then.

    Args:
        p: share of the requests that take `spike` seconds longer.
        stall: seconds at the end of each `period` in which nothing is answered.
    """

    def __init__(
        self, *, p: float = 0.0, spike: float = 0.0, period: float = 0.0, stall: float = 0.0
    ):
        self._p = p
        self._spike = spike
        self._period = period
        self._stall = stall

    async def admit(self, server: Server, records: Records) -> Reply | None:
        if server.random.random() < self._p:
            await trio.sleep(self._spike)
        if self._period:
            phase = trio.current_time() % self._period
            if phase >= self._period - self._stall:
                await trio.sleep(self._period - phase)
        return None
