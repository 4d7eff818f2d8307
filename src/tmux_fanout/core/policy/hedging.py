"""When a call that is slow gets a second attempt beside its first, and how many may.

Dean and Barroso, "The Tail at Scale" (Communications of the ACM 56, 2013): a second request after
the 95th percentile of the times cuts the tail for a few percent more of load.
"""

from __future__ import annotations

import math
from typing import Literal

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.histogram import Histogram
from tmux_fanout.core.text import describe
from tmux_fanout.core.units import parse_duration

MOST_EXTRA = 0.05  # of the attempts
LEAST_SAMPLES = 20  # before which nothing is known of percentiles

Hedge = float | Literal["p95", "head"]


def parse_hedge(value: object) -> Hedge:
    """What stands under `hedge`: seconds, `p95` or `head`.

    Raises:
        ConfigError: it is none of these.
    """
    if value in ("p95", "head"):
        return "p95" if value == "p95" else "head"
    try:
        if isinstance(value, (str, int, float)) and (seconds := parse_duration(value)) > 0:
            return seconds
    except ConfigError:
        pass
    raise ConfigError(f'{describe(value)} is none; write "200ms", "p95" or "head"')


def patience(hedge: Hedge, latency: Histogram) -> float:
    """Seconds that an attempt may take before it counts as slow; infinite while unknown."""
    if isinstance(hedge, float):
        return hedge
    return latency.percentile(0.95) if latency.count >= LEAST_SAMPLES else math.inf


def is_affordable(hedges: int, attempts: int) -> bool:
    """Whether one more hedge stays within the budget.

    Args:
        hedges: made so far.
        attempts: made so far beside them.
    """
    return hedges + 1 <= MOST_EXTRA * attempts
