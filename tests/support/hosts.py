"""A scripted transport that counts what each host would."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import trio
from support.scripted import ScriptedTransport, TasklessScripted

from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress


class HostCounter:
    """What the servers of all hosts see.

    Attributes:
        in_flight, peaks: attempts under way at each host now, and at most.
        began: when attempts began, by host.
        requests: all of them.
    """

    def __init__(self) -> None:
        self.in_flight: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()
        self.began: defaultdict[str, list[float]] = defaultdict(list)
        self.requests: list[Request] = []

    def enter(self, request: Request) -> str:
        host = request.head.origin.host
        self.requests.append(request)
        self.began[host].append(trio.current_time())
        self.in_flight[host] += 1
        self.peaks[host] = max(self.peaks[host], self.in_flight[host])
        return host


class HostTransport(ScriptedTransport):
    """A scripted transport that counts by host."""

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.seen = HostCounter()

    async def play(self, request: Request, progress: Progress) -> Response:
        host = self.seen.enter(request)
        try:
            return await super().play(request, progress)
        finally:
            self.seen.in_flight[host] -= 1


class TasklessHostTransport(HostTransport, TasklessScripted):
    """The same, with attempts that need no task."""


def urls(hosts: Sequence[str], each: int) -> list[dict[str, str]]:
    """Return records that name each of the hosts so many times, in turns."""
    return [{"url": f"http://{host}/{i}"} for i in range(each) for host in hosts]
