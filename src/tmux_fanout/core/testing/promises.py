"""Check what a run promises against what the servers saw and what the run wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.http.messages import IDEMPOTENT_METHODS, Request
from tmux_fanout.core.policy.answers import NOT_PROCESSED
from tmux_fanout.core.policy.rate import RateSettings, rate_of
from tmux_fanout.core.redaction import redact_url
from tmux_fanout.core.testing.faults import Fault
from tmux_fanout.core.testing.matching import show
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.units import show_duration

_EPSILON = 1e-5  # seconds, that roundings add up to


class Attempted(NamedTuple):
    """One attempt, as a server saw it.

    Attributes:
        api: index of the API.
        records: indexes of the records that it is for.
        request: what was sent.
        endpoint: index of the endpoint.
        began, ended: when, in seconds.
        fault: how the server replied; None: the attempt was cancelled.
        is_sent: whether it may have reached the server.
        is_hedge: whether another attempt of its call was under way.
    """

    api: int
    records: tuple[int, ...]
    request: Request
    endpoint: int
    began: float
    ended: float
    fault: Fault | None
    is_sent: bool
    is_hedge: bool = False

    @property
    def may_be_applied(self) -> bool:
        """Whether the server may have done what the request asks for."""
        if self.fault is None or self.fault.reply.error is not None:
            return self.is_sent
        status = self.fault.reply.status
        return not (400 <= status < 500 or status in NOT_PROCESSED)


class Outcome(NamedTuple):
    """The outcome of a run with faults.

    Attributes:
        read: number of records that were read.
        records: values of the records, and None for those that are invalid.
        lines: the lines that were written, parsed, in their order.
        attempts: in the order in which they ended.
        ended: why the run was stopped, or "".
    """

    read: int
    records: Sequence[Any]
    lines: Sequence[Mapping[str, Any]]
    attempts: Sequence[Attempted]
    ended: str = ""


def broken(plan: RunPlan, outcome: Outcome) -> Iterator[str]:
    """Yield the promises that were broken, a line each.

    Args:
        plan: of the run.
        outcome: of the run.
    """
    if outcome.ended:
        yield outcome.ended
    else:
        yield from _in_lines(plan, outcome)
    by_api: dict[int, list[Attempted]] = defaultdict(list)
    for attempt in outcome.attempts:
        by_api[attempt.api].append(attempt)
    for index, attempts in by_api.items():
        api = plan.apis[index]
        yield from _in_limits(api, attempts)
        yield from _in_times(api, attempts)
        yield from _in_repetitions(api, attempts)
    total = plan.settings.total_limit
    if total is not None:
        yield from _in_peak("all APIs", outcome.attempts, total)
    yield from _in_rates(plan, by_api)


def _in_lines(plan: RunPlan, outcome: Outcome) -> Iterator[str]:
    """Check that each record has its one line, in order."""
    indexes = [line["index"] for line in outcome.lines]
    expected = list(range(outcome.read))
    if sorted(indexes) != expected:
        missing = sorted({*expected} - {*indexes})
        twice = sorted({index for index in indexes if indexes.count(index) > 1})
        what = f"no line for record {missing[0]}" if missing else f"record {twice[0]} is repeated"
        yield f"{counted(outcome.read, 'record')} and {counted(len(indexes), 'line')}: {what}"
    elif indexes != expected and not plan.settings.unordered:
        place = next(i for i, index in enumerate(indexes) if i != index)
        yield f"out of order: line {place + 1} is of record {indexes[place]}"
    for line in outcome.lines:
        record = outcome.records[line["index"]]
        if record is not None and line.get("record") != record:
            yield f"record {line['index']}: {show(record)} came out as {show(line.get('record'))}"
        names = list(line.get("results", plan.names))
        if names != list(plan.names):
            yield f"record {line['index']}: results of {names} instead of {list(plan.names)}"


def _in_limits(api: ApiPlan, attempts: Sequence[Attempted]) -> Iterator[str]:
    yield from _in_peak(api.name, attempts, api.limit)
    for index, endpoint in enumerate(api.endpoints):
        if endpoint.limit is not None:
            there = [each for each in attempts if each.endpoint == index]
            yield from _in_peak(f"{api.name}: {endpoint.name}", there, endpoint.limit)
    if api.hosts:
        hosts: dict[str, list[Attempted]] = defaultdict(list)
        for each in attempts:
            hosts[str(each.request.head.origin)].append(each)
        for host, there in hosts.items():
            yield from _in_peak(f"{api.name}: {host}", there, api.hosts.limit)


def _in_peak(name: str, attempts: Sequence[Attempted], limit: int) -> Iterator[str]:
    """Check how many attempts were under way at the same time."""
    # What ends at a time ends before what begins at it.
    changes = [(each.began, 1) for each in attempts] + [(each.ended, -1) for each in attempts]
    under_way = peak = 0
    for _, change in sorted(changes):
        under_way += change
        peak = max(peak, under_way)
    if peak > limit:
        yield f"{name}: {peak} attempts were under way at a time; the limit is {limit}"


def _in_times(api: ApiPlan, attempts: Sequence[Attempted]) -> Iterator[str]:
    spent: dict[int, float] = defaultdict(float)
    for each in attempts:
        seconds = each.ended - each.began
        if seconds > api.attempt_timeout + _EPSILON:
            limit = show_duration(api.attempt_timeout)
            yield f"{_which(api, each)}: an attempt took {show_duration(seconds)}, and not {limit}"
        for record in () if each.is_hedge else each.records:
            spent[record] += seconds
    for record, seconds in spent.items():
        if api.series is None and seconds > api.retry.timeout + _EPSILON:
            limit = show_duration(api.retry.timeout)
            took = show_duration(seconds)
            yield f"record {record}, {api.name}: its attempts took {took}, and not {limit}"


def _in_repetitions(api: ApiPlan, attempts: Sequence[Attempted]) -> Iterator[str]:
    """Check that nothing was sent again that may have been applied."""
    if api.retry.idempotent:
        return
    applied: dict[object, Attempted] = {}
    for each in sorted(attempts, key=lambda attempt: attempt.began):
        head = each.request.head
        if head.method in IDEMPOTENT_METHODS:  # polls
            continue
        body = None if api.batch else each.request.body  # a batch may be split
        for record in each.records:
            same = (record, head.method, head.url, body)
            if before := applied.get(same):
                why = "was cancelled" if before.fault is None else f"met {before.fault.label}"
                yield (
                    f"{_which(api, each)}: sent again, although the attempt before {why} "
                    f"and may have been applied"
                )
            if each.may_be_applied:
                applied[same] = each


def _in_rates(plan: RunPlan, by_api: Mapping[int, Sequence[Attempted]]) -> Iterator[str]:
    groups: dict[str, list[Attempted]] = defaultdict(list)
    rates: dict[str, RateSettings] = {}
    for index, attempts in by_api.items():
        api = plan.apis[index]
        name = api.name if api.rate_group is None else f"rate_group {api.rate_group}"
        groups[name] += attempts
        if api.rate is not None:
            rates[name] = api.rate
        for number, endpoint in enumerate(api.endpoints):
            if endpoint.rate is not None:
                there = f"{api.name}: {endpoint.name}"
                rates[there] = rate_of(endpoint) or RateSettings()
                groups[there] += [each for each in attempts if each.endpoint == number]
    for name, rate in rates.items():
        if rate.requests is not None:
            yield from _in_rate(name, groups[name], rate.requests, rate.burst)


def _in_rate(name: str, attempts: Sequence[Attempted], rate: float, burst: float) -> Iterator[str]:
    """Check that in any time t at most burst + rate * t attempts began."""
    at_once = max(1.0, rate * burst)
    ahead_at_least = 0.0
    for place, began in enumerate(sorted(each.began for each in attempts)):
        ahead = place - rate * began
        ahead_at_least = min(ahead_at_least, ahead) if place else ahead
        if ahead - ahead_at_least + 1 > at_once + 1e-3:
            yield f"{name}: at {began:.3f} s more attempts began than {rate:g}/s allows"
            return


def _which(api: ApiPlan, attempt: Attempted) -> str:
    head = attempt.request.head
    records = ", ".join(map(str, attempt.records[:3]))
    what = f"{head.method} {printable(redact_url(head.url), 100)}"
    return f"record {records}, {api.name}, at {attempt.began:.3f} s: {what}"
