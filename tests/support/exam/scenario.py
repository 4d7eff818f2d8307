"""What a scenario of the exam is, and the targets that many have.

`ideal` is how long a client takes that knows what the servers can take.  Targets are a share of the
records, a multiple of the ideal time, and a number of extra requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ..throttling import Server

LIMIT = 64  # slots, unless a scenario sets them

MakeServer = Callable[[], Server]


@dataclass(frozen=True)
class Target:
    """What a run has to reach.

    Attributes:
        ok: least share of the records, of those that are not lost whatever one does.
        over: most time, as a multiple of the ideal.
        extra: most requests beyond the needed ones, as a share of the needed ones.
        extra_more: that many more.
        burnt: most records that fail, where a run is held and can be resumed.
        doubled: whether requests may be applied twice.
        gives_up: whether the run has to end as given up.
        other_over: most time until the last answer of the other API, as a multiple of its ideal.
    """

    ok: float = 0.999
    over: float = 1.3
    extra: float = 0.3
    extra_more: float = 300
    burnt: float = math.inf
    doubled: bool = False
    gives_up: bool = False
    other_over: float = math.inf


@dataclass(frozen=True)
class Scenario:
    """One run of the exam.

    Attributes:
        name: of the scenario.
        servers: what makes its servers.
        records: number of records.
        ideal: seconds that it takes at best.
        target: what to reach.
        api: settings of every API.
        run: settings of the run.
        needed: requests that have to be made for each record at best.
        lost: number of records that cannot be ok.
        one_api: whether the servers are endpoints of one API.
        prompt: size of a text in every record.
        tokens: what each record costs, or 0 for sizes as prompts have them.
        other_ideal: seconds that the last server takes by itself at best.
    """

    name: str
    servers: Sequence[MakeServer]
    records: int
    ideal: float
    target: Target = Target()
    api: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    needed: float = 1.0
    lost: float = 0
    one_api: bool = False
    prompt: int = 0
    tokens: int = 0
    other_ideal: float = 0.0

    def __str__(self) -> str:
        return self.name

    def costs(self) -> list[int]:
        """Return the tokens that each record costs."""
        return [self.tokens] * self.records if self.tokens else prompt_tokens(self.records)


def prompt_tokens(count: int) -> list[int]:
    """Return the tokens of prompts: many small, some large, 200 on average."""
    draw = Random(3)
    return [max(10, min(2000, int(draw.lognormvariate(0, 0.8) * 145))) for _ in range(count)]


def tokens_ideal(total: int, rate: float) -> float:
    """Return the ideal time under a quota of tokens a second, with one second's worth at once."""
    return (total - rate) / rate


STEADY = Target()
TOLD = Target(ok=1.0, over=2.0)
WINDOWS = Target(ok=0.998, over=1.1, extra=1.0, extra_more=0)
ENDPOINTS = Target(ok=1.0, over=1.5, extra=0.35, extra_more=0)
ALL_AT_ONCE = Target(ok=1.0, extra=0.0, extra_more=0)
HELD = Target(ok=1.0, over=1.2, extra=math.inf, burnt=LIMIT + 20, gives_up=True)

REPEATABLE: Mapping[str, Any] = {"idempotent": True, "attempt_timeout": 2.0}
"""Settings of an API whose requests may be sent again after 2 seconds without an answer."""


def randomly(p: float) -> Target:
    """Return the target where requests are refused at random."""
    ok, over = (1.0, 1.3) if p <= 0.1 else (1.0, 4.0) if p <= 0.3 else (0.995, 6.0)
    return Target(ok=ok, over=over, extra=p / (1 - p) + 0.05, extra_more=0)


def random_ideal(records: int, p: float, latency: float = 0.05) -> float:
    """Return the ideal time where requests are refused at random."""
    return records * (latency + 0.02 * p / (1 - p)) / LIMIT


def outage(seconds: float) -> Target:
    """Return the target where a server is down for a while."""
    return Target(over=1.2, extra=0.0, extra_more=450 + seconds)


def one(
    name: str,
    make: MakeServer,
    records: int,
    ideal: float,
    target: Target = STEADY,
    **more: Any,
) -> Scenario:
    """Return a scenario with one server."""
    return Scenario(name, [make], records, ideal, target, **more)
