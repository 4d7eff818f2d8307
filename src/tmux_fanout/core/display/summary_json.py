"""The summary of a run as JSON, for programs.  Its types are its schema.

Keys may be added at any time.  `VERSION` rises once a key changes its meaning or goes away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from tmux_fanout.core.display.bottleneck import bottleneck
from tmux_fanout.core.display.failure_text import failed_records
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.report.failures import FailedCalls
from tmux_fanout.core.report.statistics import ApiStatistics, HeldBy, OutputHeldBy, RunStatistics
from tmux_fanout.core.requests.lifecycle.deprecation import Deprecation, timestamp
from tmux_fanout.core.spending.prices import Amount, money
from tmux_fanout.core.spending.spending import Use
from tmux_fanout.core.text import printable

VERSION: Literal[1] = 1

_MESSAGE = 1000  # characters of a message

Phase = Literal["queueing", "connecting", "waiting", "reading", "backing_off"]


class Sample(msgspec.Struct, frozen=True):
    """The last failure of its kind: index of the record, message, and start of the body, if any."""

    record: int
    message: str
    body: str


class RecordFailures(msgspec.Struct, frozen=True):
    """How many records that are not ok failed in one way; `api` is null for invalid records."""

    api: str | None
    kind: ErrorKind
    status: int | None
    records: int
    sample: Sample | None


class CallFailures(msgspec.Struct, frozen=True):
    """How many calls of an API are not ok in one way."""

    kind: ErrorKind
    status: int | None
    calls: int
    sample: Sample


class Spent(msgspec.Struct, frozen=True):
    """Units, and the money for them if they have a price."""

    input: float
    output: float
    cost: float | UnsetType = UNSET


class HostSummary(msgspec.Struct, frozen=True):
    """The calls to one of the busiest hosts, by its origin; `mean` is their mean duration."""

    host: str
    calls: int
    attempts: int
    not_ok: int
    mean: float


class DeprecationSummary(msgspec.Struct, frozen=True):
    """What an API says of its own end (RFC 9745, RFC 8594); times as in RFC 3339, or null."""

    deprecated: bool
    since: str | None
    sunset: str | None
    links: Sequence[str]


class ApiSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What an API was called for, and how it answered."""

    calls: int
    skipped: int
    attempts: int
    not_ok: int
    errors: dict[ErrorKind, int]
    failures: list[CallFailures]
    p50: float
    p90: float
    p99: float
    max: float
    bytes_sent: int
    bytes_received: int
    limit: int
    hedges: int
    held_by: dict[HeldBy, float]
    spent: dict[Phase, float]
    spending: dict[Use | Literal["total"], Spent] | UnsetType = UNSET
    hosts: list[HostSummary] | UnsetType = UNSET
    deprecation: DeprecationSummary | UnsetType = UNSET
    shared: int | UnsetType = UNSET
    cached: int | UnsetType = UNSET


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run; durations in seconds, sizes in bytes."""

    version: Literal[1]
    ending: Ending
    records: int
    written: int
    there: int
    mended: int
    ok: int
    not_ok: int
    errors: dict[ErrorKind, int]
    failures: list[RecordFailures]
    seconds: float
    requests: int
    cost: float | UnsetType = UNSET
    requests_per_second: float
    processor_seconds: float
    waited_for: dict[Literal["input"] | OutputHeldBy, float]
    bottleneck: str | None
    warnings: Sequence[str]
    apis: dict[str, ApiSummary]


def summary_json(stats: RunStatistics, ending: Ending, warnings: Sequence[str] = ()) -> str:
    """Return the summary as one JSON object on one line.

    Args:
        stats: of the run.
        ending: of the run.
        warnings: sentences on what had no effect.
    """
    return msgspec.json.encode(_summary(stats, ending, warnings)).decode()


def _summary(stats: RunStatistics, ending: Ending, warnings: Sequence[str]) -> Summary:
    return Summary(
        version=VERSION,
        ending=ending,
        records=stats.read,
        written=stats.written,
        there=stats.resumed,
        mended=stats.mended or 0,
        ok=stats.ok,
        not_ok=stats.not_ok,
        errors=dict(stats.errors),
        failures=[
            RecordFailures(
                failed.failure.api or None,
                failed.failure.kind,
                failed.failure.status,
                failed.number,
                None if failed.sample is None else _sample(failed.sample),
            )
            for failed in failed_records(stats)
        ],
        seconds=round(stats.seconds, 3),
        requests=stats.attempts,
        cost=float(stats.cost) if any(api.price for api in stats.apis) else UNSET,
        requests_per_second=round(stats.requests_per_second, 1),
        processor_seconds=round(stats.processor_seconds, 3),
        waited_for={
            "input": round(stats.input_seconds, 3),
            **_rounded(stats.output_held.seconds, get_args(OutputHeldBy)),
        },
        bottleneck=bottleneck(stats),
        warnings=warnings,
        apis={api.name: _api(api) for api in stats.apis},
    )


def _api(api: ApiStatistics) -> ApiSummary:
    p50, p90, p99 = (round(api.latency.percentile(share), 6) for share in (0.5, 0.9, 0.99))
    return ApiSummary(
        calls=api.calls,
        skipped=api.skipped,
        attempts=api.attempts,
        not_ok=api.errors.total(),
        errors=dict(api.errors),
        failures=[
            CallFailures(each.kind, each.status, each.count, _sample(each)) for each in api.failures
        ],
        p50=p50,
        p90=p90,
        p99=p99,
        max=round(api.latency.max, 6),
        bytes_sent=api.bytes_sent,
        bytes_received=api.bytes_received,
        limit=api.limit,
        hedges=api.hedges,
        held_by=_rounded(api.held.seconds, get_args(HeldBy)),
        spent={phase: round(getattr(api.spent, phase), 3) for phase in get_args(Phase)},
        spending=_spending(api),
        hosts=_hosts(api) or UNSET,
        deprecation=UNSET if api.deprecation is None else _deprecation(api.deprecation),
        shared=api.shared or UNSET,
        cached=api.cached or UNSET,
    )


def _deprecation(found: Deprecation) -> DeprecationSummary:
    since, sunset = (
        None if seconds is None else timestamp(seconds) for seconds in (found.since, found.sunset)
    )
    return DeprecationSummary(found.deprecated, since, sunset, found.links)


def _hosts(api: ApiStatistics) -> list[HostSummary]:
    """Return the busiest hosts; none if the host of the API does not come from records."""
    return [
        HostSummary(each.host, each.calls, each.attempts, each.not_ok, round(each.mean, 6))
        for each in api.hosts.busiest()
    ]


def _spending(api: ApiStatistics) -> dict[Use | Literal["total"], Spent] | UnsetType:
    """Return what the API's attempts have spent; nothing if that is not counted."""
    if not api.price and not any(api.spending.total):
        return UNSET
    amounts: dict[Any, Amount] = {**api.spending.amounts(), "total": api.spending.total}
    spent: dict[Use | Literal["total"], Spent] = {}
    for use, amount in amounts.items():
        cost = float(money(api.price.of(amount))) if api.price else UNSET
        spent[use] = Spent(_whole(amount.input), _whole(amount.output), cost)
    return spent


def _sample(failed: FailedCalls) -> Sample:
    return Sample(failed.record, printable(failed.message, _MESSAGE), failed.body)


def _whole(number: float) -> float:
    """Return a number as an integer if it is one."""
    return int(number) if number.is_integer() else number


def _rounded(seconds: Mapping[Any, float], causes: Sequence[Any]) -> dict[Any, float]:
    return {cause: round(float(seconds[cause]), 3) for cause in causes}
