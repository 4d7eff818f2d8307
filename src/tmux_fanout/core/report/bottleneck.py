"""What held a run back, in words."""

from __future__ import annotations

from collections.abc import Iterator

from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.units import show_duration

_BUSY = 0.85  # of the time: then the process itself is what is slow
_SHORT = 0.1  # seconds
_LITTLE = 0.1  # of the time: then it does not matter


def verdict(stats: RunStatistics) -> str:
    """One sentence on what took most of a run's time, such as

    `lookup's rate limit took 71 % of the time`
    """
    if stats.seconds < _SHORT:
        return "nothing held it back for long"
    busy = stats.processor_seconds / stats.seconds / stats.processes
    if busy >= _BUSY:
        fast = "one process is" if stats.processes == 1 else f"{stats.processes} processes are"
        return f"the processor took {busy:.0%} of the time: this is as fast as {fast}"
    seconds, text = max(_causes(stats), key=lambda cause: cause[0])
    share = min(1.0, seconds / stats.seconds)
    if share < _LITTLE:
        return "nothing held it back for long"
    return text.format(share=f"{share:.0%} of the time")


def _causes(stats: RunStatistics) -> Iterator[tuple[float, str]]:
    """Seconds, and what to say of them; of two that are alike the first is to be named.

    A window is full of waiting calls wherever an API is slow; to blame the order for it, no API may
    have had any waiting.
    """
    for api in stats.apis:
        yield from _causes_at(api)
    held = stats.output_held.seconds
    yield held["reader"], "the reader of the output took {share}"
    elsewhere = max(sum(api.held.seconds.values()) for api in stats.apis)
    order = max(0.0, held["head_of_line"] - elsewhere)
    yield order, "records that others waited for, to keep the order, took {share}"
    yield stats.input_seconds, "the input took {share}: there was nothing to read"


def _causes_at(api: ApiStatistics) -> Iterator[tuple[float, str]]:
    name, held = api.name.replace("{", "{{").replace("}", "}}"), api.held.seconds
    yield held["rate"], f"{name}'s rate limit took {{share}}"
    yield held["paused"], f"{name} asked to be left alone for {{share}}"
    yield held["breaker"], f"{name} was down for {{share}}"
    yield held["window"], f"{name}'s responses filled the window for {{share}}"
    median = show_duration(api.latency.percentile(0.5))
    yield (
        held["limit"],
        f"{name}, with a limit of {api.limit:,} and a median of {median}, took {{share}}",
    )
