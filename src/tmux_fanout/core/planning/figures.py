"""The figures of a plan.  `plan --json` prints them; these types are their schema.

Keys may be added at any time.  `VERSION` rises once a key changes its meaning or goes away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

VERSION: Literal[1] = 1


class ApiFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is planned for one API.

    `source` says where its latencies are known from; `tokens` and `cost` are null where they are
    not counted or cannot be known.
    """

    limit: int
    requests: int
    refused: int
    p50: float
    p99: float
    source: str
    tokens: float | None
    cost: float | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What the run would take if all limits were `limit` times as high."""

    limit: float
    limits: Mapping[str, int]
    seconds: float
    requests: int
    refused: int
    bottleneck: str | None


class Window(msgspec.Struct, frozen=True):
    """The most that is admitted and not yet written; `bytes` include the responses."""

    records: int
    bytes: int


class PlanFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run will take: durations in seconds, sizes in bytes.

    `seconds` is the median of the simulated runs, `low` and `high` are the shortest and the
    longest.  `simulated` is the number of records of each; if it is less than `records`, the rest
    is taken to go on at the pace of its second half.  `processor` is the processor time of a
    request, which may bound the pace as well.
    """

    version: Literal[1] = VERSION
    records: int
    simulated: int
    runs: int
    seconds: float
    low: float
    high: float
    requests: int
    refused: int
    ok: int
    not_ok: int
    failures: Mapping[str, int]
    window: Window
    memory: int
    processor: float
    tokens: float | None
    cost: float | None
    bottleneck: str | None
    apis: Mapping[str, ApiFigures]
    table: Sequence[Row]
    notes: Sequence[str]
