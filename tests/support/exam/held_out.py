"""Scenarios of the same kinds that were held back while the throttle was built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ..gates import BrownOut, Down, Flaky, Losing, Shed
from ..quotas import RateLimit, TokenBucket, github, openai, plain, retry_after
from .scenario import (
    ALL_AT_ONCE,
    HELD,
    LIMIT,
    STEADY,
    TOLD,
    WINDOWS,
    Scenario,
    Target,
    one,
    random_ideal,
    randomly,
    tokens_ideal,
)
from .servers import bucket, expired, first_times, flaky, poison, server, shed, window


def held_out_scenarios() -> Iterator[Scenario]:
    yield from _rates()
    yield from _latencies()
    yield from _refusals()
    yield from _records_at_fault()
    yield from _mixtures()
    yield from _settings()


def _rates() -> Iterator[Scenario]:
    yield one("bucket-7", bucket(7), 140, 19.0)
    yield one("bucket-33", bucket(33), 660, 19.0)
    yield one("bucket-250", bucket(250), 3000, 11.0)
    yield one("bucket-1000", bucket(1000), 5000, 4.0)
    yield one("bucket-one-per-5s", bucket(0.2, 1), 12, 55.0, TOLD)
    dip = bucket(200, 20, schedule=[(3, 20), (13, 200)])
    yield one("bucket-dip", dip, 2000, 18.9, TOLD)
    yield one("window-30s-plain", window(10, 30), 700, 60.0, WINDOWS)
    yield one("window-30s-github-429", window(10, 30, github(429)), 700, 60.0, WINDOWS)
    ideal = tokens_ideal(240 * 16_000, 200_000)
    yield one("tpm-64k", bucket(tokens=200_000), 240, ideal, tokens=16_000, prompt=64 << 10)


def _latencies() -> Iterator[Scenario]:
    yield one("bucket-5ms", bucket(latency=0.005, refusal=0.002), 2000, 19.0)
    yield one("bucket-1s", bucket(50, latency=1.0), 1000, 20.0)
    yield one("shed-5ms", shed(5, latency=0.005, refusal=0.002), 4000, 4.0)
    yield one("shed-1s", shed(latency=1.0), 400, 20.0)
    yield one("shed-slow-refusal", shed(refusal=0.5), 2000, 10.0)
    slow = random_ideal(1000, 0.2, latency=1.0)
    yield one("flaky-20-1s", flaky(0.2, latency=1.0), 1000, slow, randomly(0.2))
    patient = server(partial(BrownOut, 5, patience=0.5))
    yield one("brown-out-patience-500ms", patient, 500, 10.0)


def _refusals() -> Iterator[Scenario]:
    burst = bucket(burst=5, says=retry_after(429))
    yield one("bucket-burst-5-retry-after", burst, 2000, 19.95, TOLD)
    yield one("bucket-20-openai", bucket(20, says=openai), 400, 19.0, TOLD)
    yield one("bucket-refused-connections", bucket(says=plain(0)), 2000, 19.0)
    yield one("shed-refused-connections", shed(status=0), 2000, 10.0)
    lost = server(partial(Losing, 0.1), latency=0.05)
    often = replace(randomly(0.1), doubled=True)
    yield one("put-lost-10", lost, 2000, 1.74, often, api={"method": "PUT"})


def _records_at_fault() -> Iterator[Scenario]:
    exactly = Target(ok=1.0, over=12.0, extra=0.05)
    yield one("four-times-500", first_times(4), 500, 500 * 0.13 / LIMIT, exactly, needed=5)
    yield one("poison-5", poison(range(0, 2000, 20)), 2000, 1.6, Target(ok=1.0, over=4.0), lost=100)
    own = partial(one, target=ALL_AT_ONCE, lost=20)
    yield own("own-500-first-l1", poison(range(20), 500), 40, 1.4, api={"limit": 1})
    yield own("own-500-first-l64", poison(range(20), 500), 40, 0.05)


def _mixtures() -> Iterator[Scenario]:
    a_hundred = lambda: RateLimit(TokenBucket(100))  # noqa: E731
    some_flaky = partial(Flaky, 0.1)
    more = replace(STEADY, extra=0.3 + 0.12)
    yield one("bucket-and-flaky-10", server(some_flaky, a_hundred, latency=0.05), 2000, 19.0, more)
    yield one("shed-and-flaky-10", server(some_flaky, Shed), 2000, 10.0, more)
    down_too = server(partial(Down, 503, 10, at=5.0), a_hundred)
    both = replace(STEADY, extra_more=300 + 460)
    yield one("bucket-and-down-10", down_too, 2000, 28.0, both)
    expires = server(a_hundred, expired)
    yield one("bucket-and-expired-401", expires, 2000, 305.0, HELD, lost=1500)
    yield Scenario("two-buckets", [bucket(), bucket(50)], 1000, 19.0)
    yield Scenario("endpoints-buckets", [bucket(), bucket(20)], 2000, 15.7, one_api=True)


def _settings() -> Iterator[Scenario]:
    yield one("bucket-l8", bucket(), 1000, 9.0, api={"limit": 8})
    yield one("bucket-l500", bucket(), 2000, 19.0, api={"limit": 500})
    yield one("shed-l500", shed(), 2000, 10.0, api={"limit": 500})
    yield one("bucket-get", bucket(), 1000, 9.0, api={"method": "GET"})
    yield one("adaptive-bucket-33", bucket(33), 660, 19.0, api={"limit": "adaptive"})
    once = replace(ALL_AT_ONCE, ok=0.5)
    yield one("bucket-r0", bucket(), 2000, 19.0, once, api={"retries": 0})
    few = replace(HELD, burnt=8 + 20)
    yield one("expired-401-l8", server(expired), 2000, 307.0, few, api={"limit": 8}, lost=1500)
