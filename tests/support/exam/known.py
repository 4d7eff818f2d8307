"""The scenarios that the throttle was built with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from ..gates import Spiky
from ..quotas import github, ietf, openai, openai_bare, plain, retry_after
from ..throttling import Gate
from .scenario import (
    ALL_AT_ONCE,
    ENDPOINTS,
    HELD,
    LIMIT,
    REPEATABLE,
    STEADY,
    TOLD,
    WINDOWS,
    MakeServer,
    Scenario,
    Target,
    one,
    outage,
    prompt_tokens,
    random_ideal,
    randomly,
    tokens_ideal,
)
from .servers import (
    FINE,
    brown,
    bucket,
    down,
    expired,
    first_times,
    flaky,
    poison,
    server,
    shed,
    used_up,
    window,
)


def known_scenarios() -> Iterator[Scenario]:
    yield from _shedding()
    yield from _buckets()
    yield from _random()
    yield from _queues()
    yield from _outages()
    yield from _repeatable_outages()
    yield from _two_apis()
    yield from _endpoints()
    yield from _for_ever()
    yield from _windows()
    yield from _adaptive()
    yield from _configured()


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
    ideal = tokens_ideal(sum(prompt_tokens(1000)), 10_000)
    yield one("tpm-plain", bucket(tokens=10_000), 1000, ideal)
    yield one("tpm-openai", bucket(tokens=10_000, says=openai), 1000, ideal)


def _random() -> Iterator[Scenario]:
    for percent in (10, 30, 60):
        p = percent / 100
        yield one(f"flaky-{percent}", flaky(p), 2000, random_ideal(2000, p), randomly(p))
    yield one("flaky-30-429", flaky(0.3, 429), 2000, random_ideal(2000, 0.3), randomly(0.3))
    exactly = Target(ok=1.0, over=6.0, extra=0.05)
    yield one("twice-50", first_times(2), 50, 0.5, replace(exactly, over=2.0), needed=3)
    yield one("twice-2000", first_times(2), 2000, 2000 * 0.09 / LIMIT, exactly, needed=3)
    yield one("four-times-50", first_times(4), 50, 1.5, replace(exactly, over=4.0), needed=5)
    yield one("poison-2", poison(range(0, 2000, 50)), 2000, 1.6, Target(ok=1.0, over=4.0), lost=40)


def _queues() -> Iterator[Scenario]:
    yield one("brown-out", brown(), 2000, 10.0)
    yield one("brown-out-patience", brown(patience=0.15), 2000, 10.0)
    yield one("brown-out-thrash", brown(thrash=1.0), 2000, 32.0)
    spikes = server(partial(Spiky, p=0.01, spike=3.0))
    yield one("spikes", spikes, 3000, 9.1, replace(ALL_AT_ONCE, over=1.1))
    stalls = server(partial(Spiky, period=5.0, stall=2.0), latency=0.2)
    yield one("stalls", stalls, 3000, 13.4, ALL_AT_ONCE)


def _outages() -> Iterator[Scenario]:
    for lasting in (10, 30):
        ideal, target = 6.25 + lasting, outage(lasting)
        yield one(f"down-refuse-{lasting}", down("refuse", lasting), 2000, ideal, target)
        yield one(f"down-503-{lasting}", down(503, lasting), 2000, ideal, target)
        # Requests that were in flight may not be sent again.
        yield one(f"down-crash-{lasting}", down("crash", lasting), 2000, ideal, target, lost=LIMIT)
        yield one(f"down-hang-{lasting}", down("hang", lasting), 2000, 36.25, target, lost=LIMIT)
    yield one("down-503-90", down(503, 90), 2000, 96.25, outage(90))
    yield one("down-503-10-warm", down(503, 10, warm=5.0), 2000, 16.25, outage(10))


def _repeatable_outages() -> Iterator[Scenario]:
    again = partial(one, api=REPEATABLE)
    yield again("down-hang-10-again", down("hang", 10), 2000, 16.25, outage(10))
    yield again("down-hang-30-again", down("hang", 30), 2000, 36.25, outage(30))
    yield again("down-502-10-again", down(502, 10), 2000, 16.25, outage(10))
    doubled = replace(outage(10), doubled=True)
    yield again("down-crash-10-again", down("crash", 10), 2000, 16.25, doubled)


def _two_apis() -> Iterator[Scenario]:
    def two(name: str, bad: MakeServer, ideal: float, target: Target = STEADY) -> Scenario:
        target = replace(target, other_over=1.05)
        return Scenario(f"two-{name}", [bad, FINE], 2000, ideal, target, other_ideal=3.2)

    yield two("shed", shed(), 10.0)
    yield two("bucket", bucket(), 19.0)
    yield two("flaky-30", flaky(0.3), 3.2, randomly(0.3))
    yield two("down-503-10", down(503, 10), 16.25, outage(10))
    dead = Target(over=1.6, extra=math.inf, gives_up=True, burnt=0)
    yield replace(two("dead", flaky(1.0), 60.0, dead), lost=2000)


def _endpoints() -> Iterator[Scenario]:
    def two(name: str, bad: MakeServer, good: MakeServer = FINE, ideal: float = 3.2) -> Scenario:
        name = f"endpoints-{name}"
        return Scenario(name, [bad, good], 2000, ideal, ENDPOINTS, one_api=True)

    yield two("dead-503", flaky(1.0))
    yield two("flaky-50", flaky(0.5))
    yield two("slow", server(latency=2.0))
    yield two("429", bucket(20))
    yield two("refuse", down("refuse", at=1.0))
    yield replace(two("hang", down("hang", at=1.0), ideal=31.2), lost=LIMIT)
    yield replace(two("hang-again", down("hang", at=1.0)), api=REPEATABLE)
    yield two("shed", shed(), shed(), 5.0)


def _for_ever() -> Iterator[Scenario]:
    gates: dict[str, Callable[[], Gate]] = {
        "quota-429": used_up,
        "expired-401": expired,
        "unpaid-402": partial(expired, status=402),
    }
    stopped = replace(HELD, over=math.inf, burnt=51 + LIMIT)
    for name, gate in gates.items():
        yield one(name, server(gate), 2000, 301.0, HELD, lost=1500)
        # Either stops the run.
        limited = one(f"{name}-max-failures", server(gate), 2000, 301.0, stopped, lost=1500)
        yield replace(limited, run={"max_failures": 50})


def _windows() -> Iterator[Scenario]:
    for name, says in (("plain", plain(429)), ("retry-after", retry_after(429))):
        yield one(f"window-10s-{name}", window(10, 10, says), 500, 40.0, WINDOWS)
        yield one(f"window-60s-{name}", window(10, 60, says), 1300, 120.0, WINDOWS)
    yield one("window-60s-github", window(10, 60, github(403)), 1300, 120.0, WINDOWS)
    long = window(3.334, 90, retry_after(429))
    yield one("window-90s-retry-after", long, 600, 90.0, WINDOWS)


def _adaptive() -> Iterator[Scenario]:
    adaptive = partial(one, api={"limit": "adaptive"})
    yield adaptive("adaptive-shed", shed(), 2000, 10.0)
    yield adaptive("adaptive-bucket", bucket(), 2000, 19.0)
    yield adaptive("adaptive-brown-out", brown(), 2000, 10.0)
    thrash = brown(thrash=1.0)
    yield adaptive("adaptive-brown-out-thrash", thrash, 2000, 10.0, replace(STEADY, over=2.0))
    # It takes a while to find out that 64 slots are of use.
    few = replace(randomly(0.1), over=2.0)
    yield adaptive("adaptive-flaky-10", flaky(0.1), 2000, 1.6, few)


def _configured() -> Iterator[Scenario]:
    rate = partial(one, api={"rate": "100/s"})
    yield rate("rate-bucket", bucket(), 2000, 19.9)
    yield rate("rate-bucket-tight", bucket(burst=10), 2000, 19.9)
    yield one("rate-bucket-over", bucket(), 2000, 19.0, api={"rate": "200/s"})
    ideal = tokens_ideal(sum(prompt_tokens(1000)), 10_000)
    yield rate("rate-tpm", bucket(tokens=10_000), 1000, ideal)
    batch = partial(one, api={"batch": {"size": 10}}, needed=0.1)
    yield batch("batch-bucket", bucket(20), 4000, 19.0)
    yield batch("batch-flaky-30", flaky(0.3), 4000, 0.4, randomly(0.3))
