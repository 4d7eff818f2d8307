"""Hedging: when a slow call gets a second attempt beside its first, and how many calls may.

Dean and Barroso, "The Tail at Scale" (Communications of the ACM 56, 2013): a second request after
the 95th percentile of the latency cuts the tail at the cost of a few percent more load.
"""

from __future__ import annotations

import math
from typing import Literal

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.histogram import Histogram
from tmux_fanout.core.text import invalid
from tmux_fanout.core.units import parse_duration

MAX_EXTRA = 0.05  # hedges per other attempt
MIN_SAMPLES = 20  # calls, before which percentiles mean nothing

Hedge = float | Literal["p95", "head"]


def parse_hedge(value: object) -> Hedge:
    """Return the value of the setting `hedge`: seconds, `p95` or `head`.

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
    advice = 'a duration such as "200ms", "p95" or "head"'
    raise ConfigError(invalid("hedge", value, advice))


def patience(hedge: Hedge, latency: Histogram) -> float:
    """Return the seconds after which an attempt counts as slow; infinite while unknown.

    Args:
        hedge: the setting.
        latency: seconds that calls took so far.
    """
    if isinstance(hedge, float):
        return hedge
    return latency.percentile(0.95) if latency.count >= MIN_SAMPLES else math.inf


def is_affordable(hedges: int, attempts: int) -> bool:
    """Return whether one more hedge stays within the budget.

    Args:
        hedges: number of hedges made so far.
        attempts: number of other attempts made so far.
    """
    return hedges + 1 <= MAX_EXTRA * attempts
