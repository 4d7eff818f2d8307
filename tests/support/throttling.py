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
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import trio

from tmux_fanout.core.errors import TransportError

EPOCH = 1_800_000_000.0
"""Time of day at which a simulation begins, in seconds since 1970."""

Records = Sequence[Mapping[str, Any]]
Headers = Mapping[str, str]

NO_HEADERS: Headers = MappingProxyType({})


class Reply(NamedTuple):
    """An answer; without a body it echoes what was sent."""

    status: int = 200
    headers: Headers = NO_HEADERS
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

    async def refuse(self, status: int, headers: Headers = NO_HEADERS, body: Any = None) -> Reply:
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
        return NO_HEADERS
