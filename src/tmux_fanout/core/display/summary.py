"""Show the summary of a run for people: a table for a terminal, or a line for logs."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tmux_fanout.core.display.bottleneck import bottleneck
from tmux_fanout.core.display.failure_text import failure_rows, failures_in_short
from tmux_fanout.core.display.layout import table
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.spending.prices import money
from tmux_fanout.core.spending.spending import USES
from tmux_fanout.core.text import counted
from tmux_fanout.core.units import show_duration, show_size

_PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


def summary_table(stats: RunStatistics, ending: Ending, width: int = 80) -> str:
    """Return a headline, a table with a row per API, what failed, notices, and the bottleneck.

    Args:
        stats: of the run.
        ending: why it ended.
        width: maximum number of cells of a line of the table, and of a failure.
    """
    header = ["API", "calls", "attempts", "not ok", *_PERCENTILES, "max", "sent", "received"]
    rows = table([header, *map(_row, stats.apis)], width)
    if len(rows) > len(stats.apis) + 1:  # too wide for a line each
        rows = table([header, *(_row(api, is_short=True) for api in stats.apis)], width)
    lines = [_headline(stats, ending, with_samples=False), *rows]
    spending = [row for api in stats.apis for row in _spending_rows(api)]
    if spending:
        lines += table([["spent", "total", *USES], *spending], width)
    hosts = [row for api in stats.apis for row in _host_rows(api)]
    if hosts:
        lines += table([["busiest hosts", "calls", "attempts", "not ok", "mean"], *hosts], width)
    reused = [
        [api.name, f"{api.shared:,}", f"{api.cached:,}"]
        for api in stats.apis
        if api.shared or api.cached
    ]
    if reused:
        lines += table([["without a request", "shared", "cached"], *reused], width)
    lines += failure_rows(stats, width)
    lines += [line for api in stats.apis for line in api.told.values()]
    lines.append(bottleneck(stats) or "nothing held it back for long")
    return "\n".join(lines)


def _spending_rows(api: ApiStatistics) -> Iterator[list[str]]:
    """Yield a row for the units, and one for the money, if they are counted."""
    amounts = [api.spending.total, *api.spending.amounts().values()]
    if any(amount.input or amount.output for amount in amounts):
        yield [f"{api.name} units", *(f"{amount.input + amount.output:,.0f}" for amount in amounts)]
    if api.price:
        costs = [money(api.price.of(amount)) for amount in amounts]
        yield [f"{api.name} cost", *(_show_cost(cost) for cost in costs)]


def _host_rows(api: ApiStatistics) -> Iterator[list[str]]:
    """Yield a row for each of the busiest hosts, where they come from records."""
    for each in api.hosts.busiest():
        counts = (each.calls, each.attempts, each.not_ok)
        mean = show_duration(float(f"{each.mean:.3g}"))
        yield [f"{api.name}: {each.host}", *(f"{count:,}" for count in counts), mean]


def _show_cost(cost: Decimal) -> str:
    """Return an amount of money with as many digits as are needed to see it."""
    if cost >= 1 or not cost:
        return f"{cost:,.2f}"
    return f"{cost:.4f}" if cost >= Decimal("0.001") else f"{cost:.8f}"


def _row(api: ApiStatistics, *, is_short: bool = False) -> list[str]:
    """Return the row of an API.

    Args:
        api: its statistics.
        is_short: whether durations have two digits only, and sizes no blank.
    """
    latency = api.latency
    times = [*map(latency.percentile, _PERCENTILES.values()), latency.max]
    sizes = [show_size(api.bytes_sent), show_size(api.bytes_received)]
    if is_short:
        times = [float(f"{time:.2g}") for time in times]
        sizes = [size.replace(" ", "") for size in sizes]
    return [
        api.name,
        f"{api.calls:,}",
        f"{api.attempts:,}",
        f"{api.errors.total():,}",
        *(show_duration(time) if latency.count else "-" for time in times),
        *sizes,
    ]


def summary_line(stats: RunStatistics, ending: Ending) -> str:
    """Return the headline with samples of what failed, the bottleneck, and notices on APIs."""
    text = _headline(stats, ending, with_samples=True)
    told = [line for api in stats.apis for line in api.told.values()]
    return "; ".join(filter(None, [text, bottleneck(stats), *told]))


def _headline(stats: RunStatistics, ending: Ending, *, with_samples: bool) -> str:
    """Return what became of the records, and how fast.

    For example: `2,000 records: 1,988 ok, 12 not ok: HTTP 503 x 12; 6,000 requests in 1.2s,
    5,000/s`.
    """
    resumed = f" ({stats.resumed:,} from an earlier run)" if stats.resumed else ""
    if stats.mended is not None:
        resumed = f" ({stats.resumed:,} kept, {stats.mended:,} mended)"
    text = f"{counted(stats.read, 'record')}{resumed}: {stats.ok:,} ok, {stats.not_ok:,} not ok"
    if stats.failures:
        text += f": {failures_in_short(stats, with_samples=with_samples)}"
    if stats.written < stats.read:
        text += f"; {stats.read - stats.written:,} not written"
    took = show_duration(stats.seconds)
    text += f"; {counted(stats.attempts, 'request')} in {took}, {stats.requests_per_second:,.0f}/s"
    if stats.errors["internal"] or any(api.errors["internal"] for api in stats.apis):
        text += "; internal errors are bugs in tmux-fanout: report them with the output of -vv"
    return text if ending is Ending.FINISHED else f"{text}; ended by: {ending.value}"
