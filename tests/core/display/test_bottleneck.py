"""The bottleneck of a run, found from its statistics."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.display.bottleneck import bottleneck
from tmux_fanout.core.report.statistics import RunStatistics


def statistics(
    held: dict[str, dict[Any, float]], output: dict[Any, float], *, processor: float = 0.0
) -> RunStatistics:
    """Of a run of 100 s."""
    stats = RunStatistics(list(held))
    stats.seconds, stats.processor_seconds = 100.0, processor
    stats.output_held.seconds.update(output)
    for api in stats.apis:
        api.limit = 8
        api.held.seconds.update(held[api.name])
    return stats


@pytest.mark.parametrize(
    ("held", "output", "says"),
    [
        ({"a": {"rate": 71.2}, "b": {"limit": 5.0}}, {}, "a's rate limit took 71% of the time"),
        ({"a": {}, "b": {"breaker": 30.0}}, {"head_of_line": 50.0}, "b was down for 30% of the"),
        (
            {"a": {"limit": 82.0}},
            {"head_of_line": 83.0},
            "a, with a limit of 8 and a median of",
        ),
        ({"a": {"limit": 10.0}}, {"head_of_line": 90.0}, "waiting for slow records, to keep"),
        (
            {"a": {"limit": 60.0}},
            {"reader": 90.0},
            "waiting for the reader of the output took 90% of the time",
        ),
        ({"{a}": {"paused": 84.0}}, {}, "{a} asked to be left alone for 84% of the time"),
        ({"a": {"throttled": 95.0}}, {}, "a served 0/s and refused more for 95% of the time"),
        ({"a": {"cost": 60.0}}, {}, "waiting for what a's calls leave of the budget"),
        ({"a": {"window": 50.0}}, {}, "a's responses filled the window for 50% of the time"),
    ],
)
def test_bottleneck_names_what_took_longest(
    held: dict[str, dict[Any, float]], output: dict[Any, float], says: str
) -> None:
    """An API whose calls waited is named rather than the order, which waited for them."""
    found = bottleneck(statistics(held, output))
    assert found is not None
    assert found.startswith(says)


def test_bottleneck_of_a_process_that_was_busy() -> None:
    """A busy processor is the bottleneck, whatever else waited."""
    stats = statistics({"a": {"limit": 99.0}}, {}, processor=97.0)
    assert bottleneck(stats) == (
        "the processor took 97% of the time: this is as fast as one process is"
    )


def test_bottleneck_of_nothing() -> None:
    """A run of no time at all divides by nothing, and what is short is no bottleneck."""
    assert bottleneck(RunStatistics(["a"])) is None
    assert bottleneck(statistics({"a": {"limit": 9.0}}, {"reader": 9.9})) is None
