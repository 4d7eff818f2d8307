"""Say what failed, how often, and how: `HTTP 401 x 90 (record 89: {"error": "bad key"})`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tmux_fanout.core.display.layout import cells, wrap
from tmux_fanout.core.errors import Failure
from tmux_fanout.core.report.failures import FailedCalls
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.output_line import CUT_SHORT
from tmux_fanout.core.text import printable

_SAMPLE = 140  # characters of a sample on a line with others
_SHORT_SAMPLE = 20  # characters that are left of it where there is no room
_SHOWN = 3  # ways of failing on one line
_ROWS = 10  # ways of failing below a table


class FailedRecords(NamedTuple):
    """How many records failed in one way, and a sample of it, if this run has any."""

    failure: Failure
    number: int
    sample: FailedCalls | None


def failed_records(stats: RunStatistics) -> list[FailedRecords]:
    """Return the ways in which records are not ok, the most frequent first."""
    counts = {api.name: api.failures for api in stats.apis} | {"": stats.invalid}
    return [
        FailedRecords(failure, count, counts[failure.api].get(failure.kind, failure.status))
        if failure.api in counts  # else it is of an earlier run, with other fallbacks
        else FailedRecords(failure, count, None)
        for failure, count in stats.failures.most_common()
    ]


def failures_in_short(stats: RunStatistics, *, with_samples: bool) -> str:
    """Return why records are not ok, on one line; empty if all are ok."""
    failed = failed_records(stats)
    parts = [_in_short(each, stats, with_sample=with_samples) for each in failed[:_SHOWN]]
    if others := sum(each.number for each in failed[_SHOWN:]):
        parts.append(f"others x {others:,}")
    return ", ".join(parts)


def _in_short(failed: FailedRecords, stats: RunStatistics, *, with_sample: bool) -> str:
    text = f"{_name(failed.failure, stats)} x {failed.number:,}"
    if not with_sample or failed.sample is None:
        return text
    return f"{text} ({printable(_sample(failed.sample), _SAMPLE)})"


def last_failures(stats: RunStatistics) -> str:
    """Return the ways in which the last records failed before the run ended, on one line."""
    seen = [
        (sample.record, f"{_name(failure, stats)}, {printable(_sample(sample), _SAMPLE)}")
        for failure, _, sample in failed_records(stats)
        if sample and failure.kind not in CUT_SHORT
    ]
    return "; ".join(text for _, text in sorted(seen, reverse=True)[:_SHOWN])


def failure_rows(stats: RunStatistics, width: int = 80) -> Iterator[str]:
    """Yield lines with the failures of each API, for below a table of so many columns.

    Samples are cut to fit, the rest is not.
    """
    rows = [("", each) for each in stats.invalid]
    rows += [(api.name, each) for api in stats.apis for each in api.failures]
    for api, each in rows[:_ROWS]:
        name = f"{api}: " if api else ""
        what = Failure(api, each.kind, each.status).label
        head = printable(f"{name}{what} x {each.count:,}, such as ")
        room = max(width - cells(head) - 1, _SHORT_SAMPLE)
        yield from wrap(head + printable(_sample(each), room), width)
    if others := _count(rows[_ROWS:]):
        yield f"others x {others:,}: --summary json has them all"


def _count(rows: Sequence[tuple[str, FailedCalls]]) -> int:
    return sum(each.count for _, each in rows)


def _name(failure: Failure, stats: RunStatistics) -> str:
    """Return what failed, and where, if there is more than one API."""
    is_clear = not failure.api or len(stats.apis) == 1
    return failure.label if is_clear else f"{failure.api} {failure.label}"


def _sample(failed: FailedCalls) -> str:
    """Return the record of a sample, and why it failed, without what the label says."""
    label = Failure("", failed.kind, failed.status).label
    why = [failed.message.removeprefix(label).lstrip(" ,:;")]
    if failed.kind == "status":
        why.append(failed.body)  # other messages show it, or there is nothing wrong with it
    return ": ".join(filter(None, [f"record {failed.record}", *why]))
