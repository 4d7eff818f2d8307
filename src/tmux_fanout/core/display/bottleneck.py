"""Name what limited the speed of a run."""

from __future__ import annotations

from collections.abc import Iterator

from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.units import show_duration, show_pace

_BUSY = 0.85  # share of the time from which on the processor is the bottleneck
_SHORT = 0.1  # seconds
_NEGLIGIBLE = 0.1  # share of the time


def bottleneck(stats: RunStatistics) -> str | None:
    """Return one sentence on what took most of the run's time; None if nothing did for long.

    For example: `lookup's rate limit took 71% of the time`.
    """
    if stats.seconds < _SHORT:
        return None
    busy = stats.processor_seconds / stats.seconds / stats.processes
    if busy >= _BUSY:
        fast = "one process is" if stats.processes == 1 else f"{stats.processes} processes are"
        return f"the processor took {busy:.0%} of the time: this is as fast as {fast}"
    seconds, text = max(_causes(stats), key=lambda cause: cause[0])
    share = min(1.0, seconds / stats.seconds)
    if share < _NEGLIGIBLE:
        return None
    return text.format(share=f"{share:.0%} of the time")


def _causes(stats: RunStatistics) -> Iterator[tuple[float, str]]:
    """Yield seconds and their description; of equal causes the first one is reported.

    A slow API fills the window with waiting calls, so the order is only blamed for the time that no
    API was waited for.
    """
    for api in stats.apis:
        yield from _causes_at(api, stats.seconds)
    held = stats.output_held.seconds
    yield held["reader"], "waiting for the reader of the output took {share}"
    elsewhere = max(sum(api.held.seconds.values()) for api in stats.apis)
    order = max(0.0, held["head_of_line"] - elsewhere)
    yield order, "waiting for slow records, to keep the order, took {share}"
    yield stats.input_seconds, "waiting for input took {share}"


def _causes_at(api: ApiStatistics, seconds: float) -> Iterator[tuple[float, str]]:
    name, held = api.name.replace("{", "{{").replace("}", "}}"), api.held.seconds
    yield held["rate"], f"{name}'s rate limit took {{share}}"
    yield held["cost"], f"waiting for what {name}'s calls leave of the budget took {{share}}"
    served = api.calls / seconds if seconds else 0.0
    yield held["throttled"], f"{name} served {show_pace(served)} and refused more for {{share}}"
    yield held["paused"], f"{name} asked to be left alone for {{share}}"
    yield held["breaker"], f"{name} was down for {{share}}"
    yield held["window"], f"{name}'s responses filled the window for {{share}}"
    median = show_duration(api.latency.percentile(0.5))
    yield (
        held["limit"],
        f"{name}, with a limit of {api.limit:,} and a median of {median}, took {{share}}",
    )
