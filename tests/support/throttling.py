"""Simulated servers that throttle, shed load, slow down and fail, and count what they see.

A `Server` passes each request through its gates, one after another.  A gate lets it pass, perhaps
after a while, or refuses it, or breaks it off.  All of them act on trio's clock alone, so that in
virtual time a minute takes no time and always goes the same way.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal, NamedTuple, Protocol

import trio

from tmux_fanout.core.errors import TransportError

EPOCH = 1_800_000_000.0
"""Time of day at which a simulation begins, in seconds since 1970."""

FOR_EVER = 1e6  # seconds

Records = Sequence[Mapping[str, Any]]
Headers = Mapping[str, str]


class Reply(NamedTuple):
    """An answer; without a body it echoes what was sent."""

    status: int = 200
    headers: Headers = {}
    body: Any = None


class Gate(Protocol):
    """Stands between a request and its processing."""

    async def admit(self, server: Server, records: Records) -> Reply | None:
        """Return a refusal, or None to let the request pass; or raise what breaks it off."""
        ...

    def release(self) -> None:
        """Note that a request that had passed is over."""
        ...

    def headers(self) -> Headers:
        """Return the headers that every answer has."""
        ...


class Server:
    """Processes what passes its gates, each request in `latency` seconds.

    Args:
        gates: in the order in which requests pass them.
        latency: seconds that processing takes.
        refusal: seconds until a refusal arrives: a round trip.
        spread: whether the latency is only the mean of an exponential distribution.
        seed: of all that is random here.

    Attributes:
        arrivals: time of each request.
        served: time of each answer that is ok.
        refused: time of each answer that is not, and of each connection that failed.
        statuses: number of answers by status.
        requests: number of requests for each record, by its id.
        effects: number of times that a record was processed, by its id.
        in_flight: number of requests that wait for their answer.
        peak: maximum of the same.
        down: the time from which and until which the server is known to be out of order.
    """

    def __init__(
        self,
        *gates: Gate,
        latency: float = 0.1,
        refusal: float = 0.02,
        spread: bool = False,
        seed: int = 7,
    ) -> None:
        self.latency = latency
        self.refusal = refusal
        self.random = Random(seed)
        self.arrivals: list[float] = []
        self.served: list[float] = []
        self.refused: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.requests: Counter[int] = Counter()
        self.effects: Counter[int] = Counter()
        self.in_flight = self.peak = 0
        self.down = (math.inf, math.inf)
        self._gates = gates
        self._spread = spread

    def __repr__(self) -> str:
        return f"<Server: {len(self.arrivals)} requests, {dict(self.statuses)}>"

    async def answer(self, records: Records) -> Reply:
        """Answer one request, for one record or several.

        Raises:
            TransportError: the connection was refused or lost.
        """
        self.arrivals.append(trio.current_time())
        self.requests.update(record["id"] for record in records)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        reply = None
        try:
            reply = await self._pass_gates(records)
        finally:
            self.in_flight -= 1
            answered = self.served if reply and reply.status == 200 else self.refused
            answered.append(trio.current_time())
        self.statuses[reply.status] += 1
        for gate in self._gates:
            reply = reply._replace(headers={**gate.headers(), **reply.headers})
        return reply

    async def _pass_gates(self, records: Records) -> Reply:
        passed: list[Gate] = []
        try:
            for gate in self._gates:
                if refusal := await gate.admit(self, records):
                    return refusal
                passed.append(gate)
            self.process(records)
            await trio.sleep(self.latency * (self.random.expovariate(1) if self._spread else 1))
            return Reply()
        finally:
            for gate in passed:
                gate.release()

    def process(self, records: Records) -> None:
        """Begin to process records, which has its effect whether or not the answer arrives."""
        self.effects.update(record["id"] for record in records)

    async def refuse(self, status: int, headers: Headers = {}, body: Any = None) -> Reply:
        """Return a refusal after a round trip.

        Raises:
            TransportError: the status is 0, which stands for a refused connection.
        """
        await trio.sleep(self.refusal)
        if status == 0:
            raise TransportError("connect", "connection refused", sent=False, transient=True)
        return Reply(status, headers, body or {"error": status})

    @property
    def doubled(self) -> int:
        """How many times a record was processed again."""
        return self.effects.total() - len(self.effects)

    @property
    def burnt(self) -> int:
        """How many records were sent and never processed."""
        return len(self.requests.keys() - self.effects.keys())

    @property
    def while_down(self) -> int:
        """The number of requests that arrived while the server was out of order."""
        since, until = self.down
        return sum(since <= time < until for time in self.arrivals)


class Open:
    """A gate that lets everything pass; the others are derived from it."""

    async def admit(self, server: Server, records: Records) -> Reply | None:
        return None

    def release(self) -> None:
        pass

    def headers(self) -> Headers:
        return {}


class Shed(Open):
    """Refuse what would be more than `limit` at the same time."""

    def __init__(self, limit: int = 20, status: int = 503, headers: Headers = {}) -> None:
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
            return Reply(503, {}, {"error": 503})
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
        how: Literal["refuse", "crash", "hang"] | int,
        lasting: float = FOR_EVER,
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
            await trio.sleep(FOR_EVER)
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
            return await server.refuse(status, {}, body)
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
