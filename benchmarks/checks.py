"""Check the output of a contender: without the work, its time is meaningless."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers import Server


@dataclass(frozen=True, kw_only=True)
class Work:
    """Send each of `count` records to each of the server's URLs."""

    records: Path
    count: int
    server: Server
    limit: int = 64

    @property
    def requests(self) -> int:
        return self.count * len(self.server.urls)


Check = Callable[[Iterable[bytes], Work], bool]


def in_order(lines: Iterable[bytes], work: Work) -> bool:
    """Return whether each record has its line, in order, with the reply of every API."""
    return _are_envelopes(lines, work, in_order=True)


def in_any_order(lines: Iterable[bytes], work: Work) -> bool:
    """Return whether each record has its line, in any order, with the reply of every API."""
    return _are_envelopes(lines, work, in_order=False)


def _are_envelopes(lines: Iterable[bytes], work: Work, *, in_order: bool) -> bool:
    reply = json.loads(work.server.body)
    count = 0
    for line in lines:
        result: dict[str, Any] = json.loads(line)
        outcomes = result["results"].values()
        if in_order and result["index"] != count:
            return False
        if [o["body"] for o in outcomes if o["status"] == 200] != [reply] * len(work.server.urls):
            return False
        count += 1
    return count == work.count


def bodies_and_statuses(lines: Iterable[bytes], work: Work) -> bool:
    """Return whether the bodies have the total size expected, and each request has a line "200".

    More cannot be checked for programs that interleave the parts of long bodies.
    """
    statuses = size = 0
    for line in lines:
        if line == b"200\n":
            statuses += 1
        else:
            size += len(line.rstrip(b"\n"))
    return (statuses, size) == (work.requests, work.requests * len(work.server.body))


def all_succeeded(lines: Iterable[bytes], work: Work) -> bool:
    """Return whether h2load counts as many responses with a status of 2xx as there are requests."""
    return any(line.startswith(b"status codes: %d 2xx" % work.requests) for line in lines)
