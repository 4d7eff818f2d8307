"""The scenarios of the exam: servers, records, settings, and what has to be reached.

`ideal` is how long a client takes that knows what the servers can take.  The targets are those of
the documentation: a share of the records, a multiple of the ideal time, and extra requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from .quotas import (
    FixedWindow,
    RateLimit,
    TokenBucket,
    github,
    ietf,
    openai,
    openai_bare,
    plain,
    retry_after,
)
from .throttling import (
    BrownOut,
    Down,
    Exhausted,
    FirstTimes,
    Flaky,
    Gate,
    Losing,
    Poison,
    Server,
    Shed,
    Spiky,
)

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
        burnt: most records that were sent in vain, where only that counts.
        first_ok: how many of the last records have to be ok, where only these can be.
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
        tokens: what each record costs, or None for sizes as prompts have them.
        other_ideal: seconds that the last server takes by itself at best.
    """

    name: str
    servers: Sequence[MakeServer]
    records: int
    ideal: float
    target: Target = Target()
    api: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    needed: float = 1.0
    lost: float = 0
    one_api: bool = False
    prompt: int = 0
    tokens: int | None = None
    other_ideal: float = 0.0

    def __str__(self) -> str:
        return self.name

    def costs(self) -> list[int]:
        """Return the tokens of each record: by default many small, some large."""
        if self.tokens is not None:
            return [self.tokens] * self.records
        draw = Random(3)
        return [
            max(10, min(2000, int(draw.lognormvariate(0, 0.8) * 145))) for _ in range(self.records)
        ]


def server(*gates: Callable[[], Gate], **settings: Any) -> MakeServer:
    """Return what makes a server whose gates are made anew as well."""
    return lambda: Server(*(gate() for gate in gates), **settings)


def shed(limit: int = 20, status: int = 503, **settings: Any) -> MakeServer:
    headers = settings.pop("headers", {})
    return server(lambda: Shed(limit, status, headers), **settings)


def bucket(rate: float = 100, burst: float | None = None, **how: Any) -> MakeServer:
    latency = how.pop("latency", 0.05)
    refusal = how.pop("refusal", 0.02)
    schedule = how.pop("schedule", ())
    return server(
        lambda: RateLimit(TokenBucket(rate, burst, schedule), **how),
        latency=latency,
        refusal=refusal,
    )


def window(rate: float, period: float, **how: Any) -> MakeServer:
    return server(lambda: RateLimit(FixedWindow(rate, period), **how), latency=0.05)


def flaky(p: float, status: int = 503, latency: float = 0.05) -> MakeServer:
    return server(lambda: Flaky(p, status), latency=latency)


def first_times(times: int) -> MakeServer:
    return server(lambda: FirstTimes(times), latency=0.05)


def poison(ids: range, status: int = 503) -> MakeServer:
    return server(lambda: Poison(ids, status), latency=0.05)


def brown(capacity: int = 20, latency: float = 0.1, **how: Any) -> MakeServer:
    return server(lambda: BrownOut(capacity, **how), latency=latency)


def down(how: Any, lasting: float = 600.0, **more: Any) -> MakeServer:
    return server(lambda: Down(how, lasting, **more), latency=0.2)


def exhausted(status: int, after: int = 500) -> MakeServer:
    body = _QUOTA if status == 429 else _EXPIRED
    return server(lambda: Exhausted(after, status, body))


_QUOTA = {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}}
_EXPIRED = {"error": {"code": "invalid_api_key", "message": "The key has expired."}}

STEADY = Target()
TOLD = Target(ok=1.0, over=2.0)
WINDOWS = Target(ok=0.998, over=1.1, extra=1.0, extra_more=0)
ENDPOINTS = Target(ok=1.0, over=1.5, extra=0.35, extra_more=0)


def randomly(p: float) -> Target:
    """Return the targets where requests are refused at random."""
    ok, over = (1.0, 1.3) if p <= 0.1 else (1.0, 4.0) if p <= 0.3 else (0.995, 6.0)
    return Target(ok=ok, over=over, extra=p / (1 - p) + 0.05, extra_more=0)


def outage(seconds: float) -> Target:
    """Return the targets where a server is down for a while."""
    return Target(over=1.2, extra=0.0, extra_more=450 + seconds)


def one(
    name: str, make: MakeServer, records: int, ideal: float, *more: Any, **how: Any
) -> Scenario:
    return Scenario(name, [make], records, ideal, *more, **how)


def flaky_ideal(records: int, p: float, latency: float = 0.05, refusal: float = 0.02) -> float:
    return records * (latency + refusal * p / (1 - p)) / LIMIT


AGAIN: dict[str, Any] = {"idempotent": True, "attempt_timeout": 2.0}
FINE = server(latency=0.1)


def all_scenarios() -> dict[str, Scenario]:
    """Return the scenarios by name."""
    kinds = (
        _shedding, _buckets, _tokens, _random, _queues, _outages, _outages_repeated, _two_apis,
        _endpoints, _for_ever, _latency, _windows, _adaptive, _configured,
        _other_rates, _other_latencies, _other_refusals, _mixtures, _other_limits,
    )  # fmt: skip
    scenarios = [scenario for kind in kinds for scenario in kind()]
    assert len({each.name for each in scenarios}) == len(scenarios), "names have to differ"
    return {scenario.name: scenario for scenario in scenarios}


def _shedding() -> Iterator[Scenario]:
    yield one("shed-503", shed(), 2000, 10.0)
    yield one("shed-429", shed(status=429), 2000, 10.0)
    yield one("shed-5", shed(5), 500, 10.0)
    yield one("shed-spread", shed(spread=True), 2000, 10.0)
    yield one("shed-llm", shed(latency=3.0, refusal=0.05), 200, 30.0)
    yield one("shed-503-retry-after", shed(headers={"Retry-After": "1"}), 2000, 10.0, TOLD)


def _buckets() -> Iterator[Scenario]:
    dialects = {
        "retry-after": retry_after(429),
        "openai": openai,
        "openai-bare": openai_bare,
        "github": github(403),
        "github-429": github(429),
        "github-secondary": retry_after(403),
        "ietf": ietf,
    }
    yield one("bucket-plain", bucket(), 2000, 19.0)
    yield one("bucket-503", bucket(says=plain(503)), 2000, 19.0)
    for name, says in dialects.items():
        yield one(f"bucket-{name}", bucket(says=says), 2000, 19.0, TOLD)
    yield one("bucket-tight", bucket(burst=10), 2000, 19.9)
    yield one("bucket-tight-retry-after", bucket(burst=10, says=retry_after(429)), 2000, 19.9, TOLD)
    yield one("bucket-slow-20", bucket(20), 400, 19.0)
    yield one("bucket-penal", bucket(penal=True), 2000, 19.0, TOLD)
    yield one("bucket-one", bucket(1), 40, 39.0, TOLD)
    yield one("bucket-drop", bucket(200, 40, schedule=[(3, 40)]), 1400, 22.0)
    yield one("bucket-rise", bucket(40, schedule=[(6, 300)]), 3000, 15.2, TOLD)


def _tokens() -> Iterator[Scenario]:
    for name, says, target in (("plain", plain(429), STEADY), ("openai", openai, TOLD)):
        make = bucket(tokens=None, says=says)
        scenario = one(f"tpm-{name}", make, 1000, 0.0, target)
        yield _with_tokens(scenario, 10_000, says)


def _with_tokens(scenario: Scenario, rate: float, says: Any = plain(429)) -> Scenario:  # noqa: B008
    """Return the scenario with a quota of tokens beside 100 requests a second."""
    make = server(
        lambda: RateLimit(TokenBucket(100), tokens=TokenBucket(rate), says=says), latency=0.05
    )
    ideal = (sum(scenario.costs()) - rate) / rate
    return replace(scenario, servers=[make], ideal=ideal)


def _random() -> Iterator[Scenario]:
    for percent in (10, 30, 60):
        p = percent / 100
        yield one(f"flaky-{percent}", flaky(p), 2000, flaky_ideal(2000, p), randomly(p))
    yield one("flaky-30-429", flaky(0.3, 429), 2000, flaky_ideal(2000, 0.3), randomly(0.3))
    exactly = Target(ok=1.0, over=6.0, extra=0.05)
    yield one("twice-50", first_times(2), 50, 0.5, replace(exactly, over=2.0), needed=3)
    yield one("twice-2000", first_times(2), 2000, 2000 * 0.09 / LIMIT, exactly, needed=3)
    yield one("four-times-50", first_times(4), 50, 1.5, replace(exactly, over=4.0), needed=5)
    yield one("poison-2", poison(range(0, 2000, 50)), 2000, 1.6, Target(ok=1.0, over=4.0), lost=40)


def _queues() -> Iterator[Scenario]:
    yield one("brown-out", brown(), 2000, 10.0)
    yield one("brown-out-patience", brown(patience=0.15), 2000, 10.0)
    yield one("brown-out-thrash", brown(thrash=1.0), 2000, 32.0)


def _outages() -> Iterator[Scenario]:
    for how in ("refuse", 503):
        for lasting in (10, 30):
            yield one(
                f"down-{how}-{lasting}", down(how, lasting), 2000, 6.25 + lasting, outage(lasting)
            )
    yield one("down-503-90", down(503, 90), 2000, 96.25, outage(90))
    yield one("down-503-10-warm", down(503, 10, warm=5.0), 2000, 16.25, outage(10))
    for lasting in (10, 30):
        # What hangs or was in flight may not be sent again.
        hang = one(f"down-hang-{lasting}", down("hang", lasting), 2000, 36.25, outage(lasting))
        yield replace(hang, lost=LIMIT)
        crash = f"down-crash-{lasting}"
        yield one(crash, down("crash", lasting), 2000, 6.25 + lasting, outage(lasting), lost=LIMIT)


def _outages_repeated() -> Iterator[Scenario]:
    twice = replace(outage(10), doubled=True)
    yield one("down-hang-10-again", down("hang", 10), 2000, 16.25, twice, AGAIN)
    yield one("down-hang-30-again", down("hang", 30), 2000, 36.25, outage(30), AGAIN)
    yield one("down-crash-10-again", down("crash", 10), 2000, 16.25, twice, AGAIN)
    yield one("down-502-10-again", down(502, 10), 2000, 16.25, outage(10), AGAIN)


def _two_apis() -> Iterator[Scenario]:
    def two(
        name: str, bad: MakeServer, ideal: float, target: Target = STEADY, **how: Any
    ) -> Scenario:
        target = replace(target, other_over=1.05)
        return Scenario(f"two-{name}", [bad, FINE], 2000, ideal, target, other_ideal=3.2, **how)

    yield two("shed", shed(), 10.0)
    yield two("bucket", bucket(), 19.0)
    yield two("flaky-30", flaky(0.3), 3.2, randomly(0.3))
    yield two("down-503-10", down(503, 10), 16.25, outage(10))
    dead = Target(over=1.6, extra=math.inf, gives_up=True, burnt=LIMIT + 20)
    yield two("dead", flaky(1.0), 60.0, dead, lost=2000)


def _endpoints() -> Iterator[Scenario]:
    def both(name: str, bad: MakeServer, ideal: float = 3.2, **how: Any) -> Scenario:
        return Scenario(
            f"endpoints-{name}", [bad, how.pop("good", FINE)], 2000, ideal, ENDPOINTS,
            one_api=True, **how,
        )  # fmt: skip

    yield both("dead-503", flaky(1.0))
    yield both("flaky-50", flaky(0.5))
    yield both("slow", server(latency=2.0))
    yield both("429", bucket(20))
    yield both("refuse", down("refuse", at=1.0))
    yield both("hang", down("hang", at=1.0), 31.2, lost=LIMIT)
    yield both("hang-again", down("hang", at=1.0), api=AGAIN)
    yield both("shed", shed(), 5.0, good=shed())


def _for_ever() -> Iterator[Scenario]:
    held = Target(ok=1.0, over=1.2, extra=math.inf, burnt=LIMIT + 20, gives_up=True)
    soon = Target(ok=0.0, over=math.inf, extra=math.inf, burnt=51 + LIMIT, gives_up=True)
    for status, name in ((429, "quota-429"), (401, "expired-401"), (402, "unpaid-402")):
        make = exhausted(status)
        yield one(name, make, 2000, 301.0, held, lost=1500)
        stops = {"max_failures": 50}
        yield one(f"{name}-max-failures", make, 2000, 301.0, soon, run=stops, lost=1500)


def _latency() -> Iterator[Scenario]:
    spikes = server(lambda: Spiky(p=0.01, spike=3.0), latency=0.1)
    yield one("spikes", spikes, 3000, 6.1, Target(ok=1.0, over=1.5, extra=0.0, extra_more=0))
    stalls = server(lambda: Spiky(period=5.0, stall=2.0), latency=0.2)
    yield one("stalls", stalls, 3000, 13.4, Target(ok=1.0, over=1.3, extra=0.0, extra_more=0))


def _windows() -> Iterator[Scenario]:
    for name, says in (("plain", plain(429)), ("retry-after", retry_after(429))):
        yield one(f"window-10s-{name}", window(10, 10, says=says), 500, 40.0, WINDOWS)
        yield one(f"window-60s-{name}", window(10, 60, says=says), 1300, 120.0, WINDOWS)
    yield one("window-60s-github", window(10, 60, says=github(403)), 1300, 120.0, WINDOWS)
    long = window(3.334, 90, says=retry_after(429))
    yield one("window-90s-retry-after", long, 600, 90.0, WINDOWS)


def _adaptive() -> Iterator[Scenario]:
    def adaptive(name: str, make: MakeServer, ideal: float, target: Target = STEADY) -> Scenario:
        return one(f"adaptive-{name}", make, 2000, ideal, target, {"limit": "adaptive"})

    yield adaptive("shed", shed(), 10.0)
    yield adaptive("bucket", bucket(), 19.0)
    yield adaptive("brown-out", brown(), 10.0)
    yield adaptive("brown-out-thrash", brown(thrash=1.0), 10.0, replace(STEADY, over=2.0))
    # It starts with a few slots, and each attempt is short.
    yield adaptive("flaky-10", flaky(0.1), 1.6, replace(randomly(0.1), over=2.0))


def _configured() -> Iterator[Scenario]:
    def rate(name: str, make: MakeServer, rate: str = "100/s", ideal: float = 19.9) -> Scenario:
        return one(f"rate-{name}", make, 2000, ideal, api={"rate": rate})

    yield rate("bucket", bucket())
    yield rate("bucket-tight", bucket(burst=10))
    yield rate("bucket-over", bucket(), "200/s", 19.0)
    yield _with_tokens(replace(rate("tpm", bucket()), records=1000), 10_000)
    ten = {"batch": {"size": 10}}
    yield one("batch-bucket", bucket(20), 4000, 19.0, api=ten, needed=0.1)
    p = 0.3
    yield one("batch-flaky-30", flaky(p), 4000, 0.4, randomly(p), api=ten, needed=0.1)


# What follows was held back while the throttle was built: other rates, latencies and mixtures.


def _other_rates() -> Iterator[Scenario]:
    yield one("bucket-7", bucket(7), 140, 19.0)
    yield one("bucket-33", bucket(33), 660, 19.0)
    yield one("bucket-250", bucket(250), 3000, 11.0)
    yield one("bucket-1000", bucket(1000), 5000, 4.0)
    yield one("bucket-one-per-5s", bucket(0.2, 1), 12, 55.0, TOLD)
    dip = bucket(200, 20, schedule=[(3, 20), (13, 200)])
    yield one("bucket-dip", dip, 2000, 18.9, TOLD)
    yield one("window-30s-plain", window(10, 30), 700, 60.0, WINDOWS)
    yield one("window-30s-github-429", window(10, 30, says=github(429)), 700, 60.0, WINDOWS)
    large = one("tpm-64k", FINE, 240, 0.0, tokens=16_000, prompt=64 << 10)
    yield _with_tokens(large, 200_000)


def _other_latencies() -> Iterator[Scenario]:
    yield one("bucket-5ms", bucket(latency=0.005, refusal=0.002), 2000, 19.0)
    yield one("bucket-1s", bucket(50, latency=1.0), 1000, 20.0)
    yield one("shed-5ms", shed(latency=0.005, refusal=0.002), 4000, 1.0, replace(STEADY, over=2.0))
    yield one("shed-1s", shed(latency=1.0), 400, 20.0)
    yield one("shed-slow-refusal", shed(refusal=0.5), 2000, 10.0)
    yield one(
        "flaky-20-1s", flaky(0.2, latency=1.0), 1000, flaky_ideal(1000, 0.2, 1.0), randomly(0.3)
    )
    yield one("brown-out-patience-500ms", brown(5, patience=0.5), 500, 10.0)


def _other_refusals() -> Iterator[Scenario]:
    burst = bucket(burst=5, says=retry_after(429))
    yield one("bucket-burst-5-retry-after", burst, 2000, 19.95, TOLD)
    yield one("bucket-20-openai", bucket(20, says=openai), 400, 19.0, TOLD)
    yield one("bucket-refused-connections", bucket(says=plain(0)), 2000, 19.0)
    yield one("shed-refused-connections", shed(status=0), 2000, 10.0)
    exactly = Target(ok=1.0, over=12.0, extra=0.05)
    yield one("four-times-500", first_times(4), 500, 500 * 0.13 / LIMIT, exactly, needed=5)
    five = poison(range(0, 2000, 20))
    yield one("poison-5", five, 2000, 1.6, Target(ok=1.0, over=4.0), lost=100)
    lost = server(lambda: Losing(0.1), latency=0.05)
    often = replace(randomly(0.1), doubled=True)
    yield one("put-lost-10", lost, 2000, 2000 * 0.0556 / LIMIT, often, {"method": "PUT"})
    own = Target(ok=1.0, over=1.3, extra=0.0, extra_more=0)
    for limit in (1, 64):
        make = poison(range(20), 500)
        ideal = 20 * 0.02 + 20 * 0.05 if limit == 1 else 0.5
        yield one(f"own-500-first-l{limit}", make, 40, ideal, own, {"limit": limit}, lost=20)


def _mixtures() -> Iterator[Scenario]:
    mixed = server(lambda: Flaky(0.1), lambda: RateLimit(TokenBucket(100)), latency=0.05)
    yield one("bucket-and-flaky-10", mixed, 2000, 19.0, replace(STEADY, extra=0.3 + 0.12))
    shedding = server(lambda: Flaky(0.1), Shed, latency=0.1)
    yield one("shed-and-flaky-10", shedding, 2000, 10.0, replace(STEADY, extra=0.3 + 0.12))
    outage_too = server(lambda: Down(503, 10, at=5.0), lambda: RateLimit(TokenBucket(100)))
    yield one("bucket-and-down-10", outage_too, 2000, 29.0, replace(STEADY, extra_more=760))
    yield Scenario("two-buckets", [bucket(), bucket(50)], 1000, 19.0)
    yield Scenario("endpoints-buckets", [bucket(), bucket(20)], 2000, 15.7, one_api=True)
    yield one("quota-below-a-bucket", server(
        lambda: Exhausted(500, 401, _EXPIRED), lambda: RateLimit(TokenBucket(100)),
    ), 2000, 305.0, Target(ok=0.95, over=1.2, extra=math.inf, burnt=LIMIT + 20, gives_up=True),
        lost=1500)  # fmt: skip


def _other_limits() -> Iterator[Scenario]:
    yield one("bucket-l8", bucket(), 1000, 9.0, api={"limit": 8})
    yield one("bucket-l500", bucket(), 2000, 19.0, api={"limit": 500})
    yield one("shed-l500", shed(), 2000, 10.0, api={"limit": 500}, run={"window": 2000})
    yield one("bucket-get", bucket(), 1000, 9.0, api={"method": "GET"})
    none = Target(ok=0.5, over=1.3, extra=0.0, extra_more=0)
    yield one("bucket-r0", bucket(), 2000, 19.0, none, {"retries": 0})
    yield one("expired-401-l8", exhausted(401), 2000, 307.0, Target(
        ok=1.0, over=1.2, extra=math.inf, burnt=8 + 20, gives_up=True,
    ), {"limit": 8}, lost=1500)  # fmt: skip
    yield one("adaptive-bucket-33", bucket(33), 660, 19.0, api={"limit": "adaptive"})
