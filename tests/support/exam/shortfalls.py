"""Scenarios that miss the targets of their kind, and what they reach instead.

What is written here is known to be weaker than asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHORTFALLS: Mapping[str, Mapping[str, Any]] = {
    # Its capacity is in places, not in a rate: paced evenly, it refuses a few at any load.
    "shed-spread": {"over": 1.5},
    # Its limit shows in refusals only, and they set its clock back.
    "bucket-penal": {"over": 2.4},
    # Refusals in the first seconds of a window say nothing about the next one.
    "window-10s-plain": {"over": 1.15},
    # Two probes in a row met the half that it still refuses.
    "down-503-10-warm": {"over": 1.5},
    # The first answers are waited for as long as `attempt_timeout` lasts.
    "down-hang-10-again": {"over": 1.4},
    # The slow endpoint keeps what it was given before it was known to be slow.
    "endpoints-slow": {"over": 2.0},
    # A limit that finds itself starts from few slots, so chance is found out later.
    "adaptive-flaky-10": {"over": 3.1},
    # Chance looks like congestion for some epochs; a few of these are as long as the ideal run.
    "flaky-10": {"over": 1.45},
    "batch-flaky-30": {"over": 6.0, "extra": 0.55},
    # Refusals come in waves, one for each time that a record has to be tried.
    "four-times-500": {"over": 40.0},
    # A limit is found again and again while chance refuses as well.
    "bucket-and-flaky-10": {"extra_more": 500},
    # Connections that are lost use up retries: of 0.1 per attempt, 1 in 1,000 records loses three.
    "put-lost-10": {"ok": 0.995, "over": 1.4},
}
