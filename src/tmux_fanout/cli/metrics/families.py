"""The metrics of a run, read from its statistics when somebody asks; nothing is counted twice.

Counters equal the figures of the summary at the end.  Names and labels are a contract: dashboards
rest on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

import trio
from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from tmux_fanout.core.histogram import PER_OCTAVE, Histogram
from tmux_fanout.core.report.blocked_time import BlockedTime, Cause
from tmux_fanout.core.report.load import EndpointLoad
from tmux_fanout.core.report.statistics import PHASES, ApiStatistics
from tmux_fanout.core.version import __version__
from tmux_fanout.engine.process import occupied_memory
from tmux_fanout.engine.run.pipeline import Pipeline

_PREFIX = "tmux_fanout_"
_CONDITIONS = ("ready", "throttled", "paused", "down")
_MIN_OCTAVE, _MAX_OCTAVE = -10, 8  # buckets end at powers of two, from 1 ms to 256 s

Key = TypeVar("Key", bound=Sequence[str])  # the values of the labels


class RunCollector(Collector):
    """Reads the metrics of a run; in the thread of its event loop only.

    Args:
        run: the run.
    """

    def __init__(self, run: Pipeline) -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"<RunCollector: {self._run!r}>"

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        info = InfoMetricFamily(f"{_PREFIX}build", "The program")
        info.add_metric((), {"version": __version__})
        yield info
        yield from _records(self._run)
        yield from _room(self._run)
        yield from _calls(self._run.statistics.apis)
        yield from _attempts(self._run.statistics.apis)
        yield from _waiting(self._run)
        yield from _endpoints(self._run)


def _counter(name: str, help: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, help, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, help: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, help, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _records(run: Pipeline) -> Iterator[Metric]:
    stats = run.statistics
    yield _counter("records_read", "Records read", (), {(): stats.read})
    written = {("ok",): stats.ok, ("not_ok",): stats.not_ok}
    yield _counter("records_written", "Records written, by their result", ("result",), written)
    kinds = {(kind,): number for kind, number in stats.errors.items()}
    help = "Records that are not ok, by the kind of their first error"
    yield _counter("record_errors", help, ("kind",), kinds)
    yield _counter("records_resumed", "Records of an earlier run", (), {(): stats.resumed})


def _room(run: Pipeline) -> Iterator[Metric]:
    window, stats = run.window, run.statistics
    help = "Records admitted and not yet written"
    yield _gauge("window_records", help, (), {(): window.records})
    yield _gauge("window_records_limit", "Maximum of these", (), {(): window.max_records})
    yield _gauge("window_bytes", "Size of these, with responses", (), {(): window.bytes})
    yield _gauge("window_bytes_limit", "Maximum of that", (), {(): window.max_bytes})
    memory = {("this",): occupied_memory(), ("workers",): stats.workers_memory}
    yield _gauge("memory_bytes", "Memory in use, by process", ("process",), memory)
    yield _gauge("processes", "Processes that make calls", (), {(): stats.processes})


def _calls(apis: Sequence[ApiStatistics]) -> Iterator[Metric]:
    yield _counter("calls", "Calls settled", ("api",), {(api.name,): api.calls for api in apis})
    skipped = {(api.name,): api.skipped for api in apis}
    yield _counter("calls_skipped", "Calls that were not made", ("api",), skipped)
    shared = {(api.name,): api.shared for api in apis}
    yield _counter("calls_shared", "Calls that share the answer to another", ("api",), shared)
    cached = {(api.name,): api.cached for api in apis}
    yield _counter("calls_cached", "Calls whose answer was kept on disk", ("api",), cached)
    failed = {
        (api.name, each.kind, "" if each.status is None else str(each.status)): each.count
        for api in apis
        for each in api.failures
    }
    help = "Calls that are not ok, by kind and status"
    yield _counter("call_failures", help, ("api", "kind", "status"), failed)
    help = "Seconds of each call from its first attempt to its outcome; the sum is within 3 %"
    family = HistogramMetricFamily(f"{_PREFIX}call_seconds", help, labels=("api",))
    for api in apis:
        family.add_metric((api.name,), *_buckets(api.latency))
    yield family
    if any(api.price for api in apis):
        cost = {(api.name,): float(api.cost) for api in apis}
        yield _counter("cost", "Money that calls cost", ("api",), cost)


def _buckets(latency: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulative buckets of Prometheus, and the sum."""
    counts = dict.fromkeys(range(_MIN_OCTAVE, _MAX_OCTAVE + 1), 0)
    rest, total = 0, 0.0
    for bucket, count in latency.buckets.items():
        octave = max(bucket // PER_OCTAVE + 1, _MIN_OCTAVE)  # whose end it is below
        total += count * 2.0 ** ((bucket + 0.5) / PER_OCTAVE)
        if octave in counts:
            counts[octave] += count
        else:
            rest += count
    ends = [str(2.0**octave) for octave in counts]
    sums = [*accumulate(counts.values())]
    return [*zip(ends, map(float, sums)), ("+Inf", float(sums[-1] + rest))], total


def _attempts(apis: Sequence[ApiStatistics]) -> Iterator[Metric]:
    yield _counter("attempts", "Requests begun", ("api",), {(a.name,): a.attempts for a in apis})
    hedges = {(api.name,): api.hedges for api in apis}
    yield _counter("hedges", "Requests made as another one was slow", ("api",), hedges)
    sent = {(api.name,): api.bytes_sent for api in apis}
    yield _counter("sent_bytes", "Bytes of request bodies", ("api",), sent)
    received = {(api.name,): api.bytes_received for api in apis}
    yield _counter("received_bytes", "Bytes of responses", ("api",), received)
    spent = {(api.name, phase): getattr(api.spent, phase) for api in apis for phase in PHASES}
    help = "Seconds that calls and attempts spent, by phase"
    yield _counter("spent_seconds", help, ("api", "phase"), spent)
    in_flight = {(api.name,): api.in_flight for api in apis}
    yield _gauge("in_flight", "Attempts under way", ("api",), in_flight)
    yield _gauge("limit", "Maximum of these", ("api",), {(a.name,): a.limit for a in apis})


def _waiting(run: Pipeline) -> Iterator[Metric]:
    stats, now = run.statistics, trio.current_time()
    held = {
        (api.name, cause): seconds
        for api in stats.apis
        for cause, seconds in _blocked(api.held, now).items()
    }
    help = "Seconds that the first waiting call was delayed, by cause"
    yield _counter("held_seconds", help, ("api", "cause"), held)
    output = {(cause,): seconds for cause, seconds in _blocked(stats.output_held, now).items()}
    help = "Seconds that the output was delayed, by cause"
    yield _counter("output_held_seconds", help, ("cause",), output)
    input_seconds = {(): stats.input_seconds}
    yield _counter("input_seconds", "Seconds spent waiting for input", (), input_seconds)


def _blocked(time: BlockedTime[Cause], now: float) -> dict[str, float]:
    """Return the seconds by cause, with those of the one that applies now."""
    seconds: dict[str, float] = {str(cause): float(each) for cause, each in time.seconds.items()}
    if time.cause is not None:
        seconds[time.cause] = seconds.get(time.cause, 0.0) + now - time.since
    return seconds


def _endpoints(run: Pipeline) -> Iterator[Metric]:
    names = [api.name for api in run.statistics.apis]
    loads = run.loads()
    queued = {(name,): load.queued for name, load in zip(names, loads)}
    yield _gauge("queued", "Calls that wait for their turn", ("api",), queued)
    each: dict[Sequence[str], EndpointLoad] = {
        (name, endpoint.name): endpoint
        for name, load in zip(names, loads)
        for endpoint in load.endpoints
    }
    labels = ("api", "endpoint")
    in_flight = {key: load.in_flight for key, load in each.items()}
    yield _gauge("endpoint_in_flight", "Attempts under way there", labels, in_flight)
    conditions = {
        (*key, condition): float(load.condition == condition)
        for key, load in each.items()
        for condition in _CONDITIONS
    }
    help = "1 for the condition that an endpoint is in; down: its breaker is open"
    yield _gauge("endpoint_condition", help, (*labels, "condition"), conditions)
    seconds = {key: load.seconds or 0.0 for key, load in each.items()}
    help = "Seconds until a pause or a breaker lets it be called"
    yield _gauge("endpoint_closed_seconds", help, labels, seconds)
    paces = {key: load.pace for key, load in each.items() if load.pace is not None}
    yield _gauge("endpoint_pace", "Attempts per second that it is kept to", labels, paces)
