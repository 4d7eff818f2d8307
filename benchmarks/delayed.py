"""Cases with a slow server, where only the limit bounds a client's rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.bench import Bench, absent
from benchmarks.cases import APIS, rates
from benchmarks.checks import in_any_order
from benchmarks.contenders import CONTENDERS, OURS, Contender, ours
from benchmarks.machine import Usage
from benchmarks.report import Report, Spread
from benchmarks.servers import twin

_LIMITS = (500, 5_000)
_DELAYS = (1.0, 0.1)
_SECONDS = 10.0  # of a run at the ideal rate
_MAX_RECORDS = 50_000

_RIGID_WINDOW = 1024  # the default, which would stretch if it were not given
_ALPHA, _LEAST, _MOST = 1.5, 0.01, 1.0


def ordered(bench: Bench) -> Report:
    """Measure what order costs where a few responses take long: the window must not stall."""
    free = Contender(
        name="tmux-fanout --unordered", command=ours("--unordered"), is_right=in_any_order
    )
    size = str(_RIGID_WINDOW)
    rigid = Contender(name=f"tmux-fanout --window {size}", command=ours("--window", size))
    with twin(APIS, bench.cores.server, delay=_LEAST, alpha=_ALPHA, most=_MOST) as server:
        work = bench.work(server, bench.records or 10_000)
        usages = bench.in_turn({c.name: bench.job(c, work) for c in (OURS, rigid, free)})
    rows = rates(dict.fromkeys(usages, work), usages)
    return Report(
        case="ordered",
        server=server.what,
        rows=rows,
        notes=[
            f"{APIS} APIs, limit 64 each; answers take {_LEAST * 1000:g} ms at least, "
            f"with a Pareto tail of alpha {_ALPHA:g} up to {_MOST:g} s"
        ],
    )


def latency(bench: Bench) -> Report:
    """Measure the share of the ideal rate, limit / delay, that a run reaches."""
    rows: list[dict[str, Any]] = []
    for limit in _LIMITS:
        for delay in _DELAYS:
            what, found = _latency(bench, limit, delay)
            rows += found
    notes = [
        "1 API; % of ideal: without start-up and the first wave",
        "where the ideal exceeds what server and client can do, the share means nothing",
        *absent(CONTENDERS),
    ]
    return Report(case="latency", server=what, rows=rows, notes=notes)


def _latency(bench: Bench, limit: int, delay: float) -> tuple[str, list[dict[str, Any]]]:
    ideal = limit / delay
    count = max(bench.records or min(int(ideal * _SECONDS), _MAX_RECORDS), 2 * limit)
    running = [c for c in bench.contenders if c.share == 1 and c.max_in_flight >= limit]
    with twin(1, bench.cores.server, delay=delay) as server:
        many, one = (bench.work(server, number, limit=limit) for number in (count, 1))
        usages = bench.in_turn({c.name: bench.job(c, many) for c in running})
        singles = bench.in_turn({c.name: bench.job(c, one) for c in running})
    rows = []
    for name, rounds in usages.items():
        share = _share_of_ideal(rounds, singles[name], (count - limit) / ideal)
        rows.append(
            {
                "": name,
                "limit": limit,
                "answers in ms": delay * 1000,
                "ideal requests/s": ideal,
                "% of ideal": Spread(share),
                "with start-up": Spread([count / ideal / u.seconds * 100 for u in rounds]),
            }
        )
    return server.what, rows


def _share_of_ideal(rounds: Sequence[Usage], singles: Sequence[Usage], ideal: float) -> list[float]:
    """Return percentages of the ideal time, without start-up and the first wave.

    Those two are what a run of a single record takes.
    """
    return [ideal / (u.seconds - single.seconds) * 100 for u, single in zip(rounds, singles)]
