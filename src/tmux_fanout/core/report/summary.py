"""Show the summary of a run: a table for people, JSON for programs, or a line for logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

import msgspec

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.report.bottleneck import bottleneck
from tmux_fanout.core.report.layout import table
from tmux_fanout.core.report.statistics import ApiStatistics, HeldBy, OutputHeldBy, RunStatistics
from tmux_fanout.core.spending.prices import money
from tmux_fanout.core.spending.spending import USES
from tmux_fanout.core.units import show_duration, show_size

_PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
_encode = msgspec.json.Encoder(decimal_format="number").encode
_PHASES = ("queueing", "connecting", "waiting", "reading", "backing_off")


def summary_json(stats: RunStatistics, ending: Ending) -> str:
    """Return the summary as one JSON object on one line; durations in seconds, sizes in bytes."""
    return _encode(
        {
            "ending": ending.value,
            "records": stats.read,
            "written": stats.written,
            "there": stats.resumed,
            "mended": stats.mended or 0,
            "ok": stats.ok,
            "not_ok": stats.not_ok,
            "errors": dict(stats.errors),
            "seconds": round(stats.seconds, 3),
            "requests": stats.attempts,
            **_cost_field(stats),
            "requests_per_second": round(_rate(stats), 1),
            "processor_seconds": round(stats.processor_seconds, 3),
            "waited_for": {
                "input": round(stats.input_seconds, 3),
                **_rounded(stats.output_held.seconds, get_args(OutputHeldBy)),
            },
            "apis": {api.name: _api_fields(api) for api in stats.apis},
        }
    ).decode()


def _api_fields(api: ApiStatistics) -> dict[str, Any]:
    return {
        "calls": api.calls,
        "attempts": api.attempts,
        "not_ok": api.errors.total(),
        "errors": dict(api.errors),
        **{key: round(api.latency.percentile(q), 6) for key, q in _PERCENTILES.items()},
        "max": round(api.latency.max, 6),
        "bytes_sent": api.bytes_sent,
        "bytes_received": api.bytes_received,
        "limit": api.limit,
        "hedges": api.hedges,
        "held_by": _rounded(api.held.seconds, get_args(HeldBy)),
        "spent": {key: round(getattr(api.spent, key), 3) for key in _PHASES},
        **_spending_fields(api),
    }


def _cost_field(stats: RunStatistics) -> dict[str, Any]:
    return {"cost": stats.cost} if any(api.price for api in stats.apis) else {}


def _spending_fields(api: ApiStatistics) -> dict[str, Any]:
    """Return what the API's attempts have spent; nothing if that is not counted."""
    amounts = [*api.spending.amounts().items(), ("total", api.spending.total)]
    if not api.price and not any(api.spending.total):
        return {}
    return {
        "spending": {
            use: {
                "input": _whole(amount.input),
                "output": _whole(amount.output),
                **({"cost": money(api.price.of(amount))} if api.price else {}),
            }
            for use, amount in amounts
        }
    }


def _whole(number: float) -> float:
    """Return a number as an integer if it is one."""
    return int(number) if number.is_integer() else number


def _rounded(seconds: Mapping[Any, float], causes: Sequence[str]) -> dict[str, float]:
    return {cause: round(float(seconds[cause]), 3) for cause in causes}


def summary_table(stats: RunStatistics, ending: Ending, width: int = 80) -> str:
    """Return a headline, a table with a row per API, and the bottleneck.

    Args:
        stats: of the run.
        ending: why it ended.
        width: maximum number of cells of a line of the table.
    """
    header = ["API", "calls", "attempts", "not ok", *_PERCENTILES, "max", "sent", "received"]
    lines = [summary_line(stats, ending), *table([header, *map(_row, stats.apis)], width)]
    spending = [row for api in stats.apis for row in _spending_rows(api)]
    if spending:
        lines += table([["spent", "total", *USES], *spending], width)
    lines.append(bottleneck(stats))
    return "\n".join(lines)


def _spending_rows(api: ApiStatistics) -> Iterator[list[str]]:
    """Yield a row for the units, and one for the money, if they are counted."""
    amounts = [api.spending.total, *api.spending.amounts().values()]
    if any(amount.input or amount.output for amount in amounts):
        yield [f"{api.name} units", *(f"{amount.input + amount.output:,.0f}" for amount in amounts)]
    if api.price:
        costs = [money(api.price.of(amount)) for amount in amounts]
        yield [f"{api.name} cost", *(_show_cost(cost) for cost in costs)]


def _show_cost(cost: Decimal) -> str:
    """Return an amount of money with as many digits as are needed to see it."""
    if cost >= 1 or not cost:
        return f"{cost:,.2f}"
    return f"{cost:.4f}" if cost >= Decimal("0.001") else f"{cost:.8f}"


def _row(api: ApiStatistics) -> list[str]:
    return [
        api.name,
        f"{api.calls:,}",
        f"{api.attempts:,}",
        f"{api.errors.total():,}",
        *(show_duration(api.latency.percentile(q)) for q in _PERCENTILES.values()),
        show_duration(api.latency.max),
        show_size(api.bytes_sent),
        show_size(api.bytes_received),
    ]


def summary_line(stats: RunStatistics, ending: Ending) -> str:
    """Return the headline.

    For example: `2,000 records: 1,988 ok, 12 not ok (connect 12); 6,000 requests in 1.2s, 5,000/s`.
    """
    resumed = f" ({stats.resumed:,} from an earlier run)" if stats.resumed else ""
    if stats.mended is not None:
        resumed = f" ({stats.resumed:,} kept, {stats.mended:,} mended)"
    records = "record" if stats.read == 1 else "records"
    text = f"{stats.read:,} {records}{resumed}: {stats.ok:,} ok, {stats.not_ok:,} not ok"
    if stats.errors:
        text += f" ({_kinds(stats.errors)})"
    if stats.written < stats.read:
        text += f", {stats.read - stats.written:,} not written"
    took = show_duration(stats.seconds)
    requests = "request" if stats.attempts == 1 else "requests"
    text += f"; {stats.attempts:,} {requests} in {took}, {_rate(stats):,.0f}/s"
    if stats.errors["internal"] or any(api.errors["internal"] for api in stats.apis):
        text += "; internal errors are bugs in tmux-fanout: report them with the output of -vv"
    return text if ending is Ending.FINISHED else f"{text}; ended by: {ending.value}"


def _kinds(errors: Mapping[Any, int]) -> str:
    most_first: Sequence[tuple[str, int]] = sorted(errors.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {count:,}" for kind, count in most_first)


def _rate(stats: RunStatistics) -> float:
    return stats.attempts / stats.seconds if stats.seconds else 0.0
