"""Whether a contender has done its work; else its time means nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers import Server


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done: each of `count` records to each of the server's URLs."""

    records: Path
    count: int
    server: Server
    limit: int = 64

    @property
    def requests(self) -> int:
        return self.count * len(self.server.urls)


Check = Callable[[Iterable[bytes], Work], bool]


def in_order(lines: Iterable[bytes], work: Work) -> bool:
    """Each record has its line, in its place, with the server's reply from every API."""
    return _are_envelopes(lines, work, in_order=True)


def in_any_order(lines: Iterable[bytes], work: Work) -> bool:
    """Each record has its line, with the server's reply from every API."""
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
    """As many bytes as all replies have, and as many lines that say 200 as there are requests.

    This is what can be said of programs that mix the parts of long bodies.
    """
    statuses = size = 0
    for line in lines:
        if line == b"200\n":
            statuses += 1
        else:
            size += len(line.rstrip(b"\n"))
    return (statuses, size) == (work.requests, work.requests * len(work.server.body))
