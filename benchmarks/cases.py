"""The cases that compare whole runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench import Bench
from benchmarks.contenders import OURS, Contender, Work, ours
from benchmarks.machine import Usage, run
from benchmarks.report import Report, Spread, ratios
from benchmarks.servers import fast_server, twin

APIS = 3
MIB = 1 << 20

_LEAST_RECORDS = 2_000
_LATENCY_LIMIT = 500
_LATENCY_SECONDS = 10.0
_LARGE_WINDOW = 4096
_TAIL_MEDIAN, _TAIL_SIGMA = 0.025, 1.0


def throughput(bench: Bench) -> Report:
    """Requests per second against a server that answers at once."""
    count = bench.records or 40_000
    with fast_server(APIS, bench.cores.server) as server:
        works = {c.name: bench.work(server.urls, _share(count, c.share)) for c in bench.contenders}
        usages = bench.in_turn({c.name: bench.job(c, works[c.name]) for c in bench.contenders})
    return Report(
        case="throughput",
        server=server.what,
        rows=_rates(works, usages),
        notes=[f"{APIS} APIs, limit 64 each; start-up included", *bench.absent],
    )


def _share(count: int, share: float) -> int:
    """Part of the records, but enough for what a program does once not to decide."""
    return min(count, max(_LEAST_RECORDS, int(count * share)))


def ordered(bench: Bench) -> Report:
    """What order costs where a few answers take long: the window must not stall."""
    window = [f"--window={_LARGE_WINDOW}"]
    wide = Contender(name=f"tmux-fanout {window[0]}", command=ours(*window))
    free = Contender(name="tmux-fanout --unordered", command=ours("--unordered"), in_order=False)
    with twin(APIS, bench.cores.server, delay=_TAIL_MEDIAN, sigma=_TAIL_SIGMA) as server:
        work = bench.work(server.urls, bench.records or 10_000)
        usages = bench.in_turn({c.name: bench.job(c, work) for c in (OURS, wide, free)})
    return Report(
        case="ordered",
        server=server.what,
        rows=_rates(dict.fromkeys(usages, work), usages),
        notes=[
            f"{APIS} APIs, limit 64 each; answers take {_TAIL_MEDIAN * 1000:g} ms in the median, "
            f"log-normal with sigma {_TAIL_SIGMA:g}: p99 is 10 x that, p99.9 22 x"
        ],
    )


def _rates(
    works: Mapping[str, Work], usages: Mapping[str, Sequence[Usage]]
) -> list[dict[str, Any]]:
    rates = {
        name: [works[name].requests / usage.seconds for usage in rounds]
        for name, rounds in usages.items()
    }
    first = next(iter(rates))
    return [
        {
            "": name,
            "requests": works[name].requests,
            "requests/s": Spread(rates[name]),
            "CPU us/request": Spread([u.cpu / works[name].requests * 1e6 for u in rounds]),
            "peak MiB": Spread([u.peak / MIB for u in rounds]),
            f"{first} is x as fast": ratios(rates[first], rates[name]) if name != first else "",
        }
        for name, rounds in usages.items()
    ]


def latency(bench: Bench) -> Report:
    """The share of the ideal rate, limit over delay, against a server that takes its time."""
    contenders = [contender for contender in bench.contenders if contender.share == 1]
    rows = []
    for delay in (1.0, 0.1):
        ideal = _LATENCY_LIMIT / delay
        with twin(1, bench.cores.server, delay=delay) as server:
            count = max(bench.records or int(ideal * _LATENCY_SECONDS), 2 * _LATENCY_LIMIT)
            many = bench.work(server.urls, count, limit=_LATENCY_LIMIT)
            one = bench.work(server.urls, 1, limit=_LATENCY_LIMIT)
            usages = bench.in_turn({c.name: bench.job(c, many) for c in contenders})
            singles = bench.in_turn({c.name: bench.job(c, one) for c in contenders})
        for name, rounds in usages.items():
            # A run of one record is start-up and the first wave; what is left is the others.
            rest = [u.seconds - single.seconds for u, single in zip(rounds, singles[name])]
            share = [(count - _LATENCY_LIMIT) / ideal / seconds * 100 for seconds in rest]
            rows.append(
                {
                    "": name,
                    "answers in ms": delay * 1000,
                    "ideal requests/s": ideal,
                    "% of ideal": Spread(share),
                    "with start-up": Spread([count / ideal / u.seconds * 100 for u in rounds]),
                }
            )
    notes = [f"1 API, limit {_LATENCY_LIMIT}; % of ideal: start-up and first wave taken out"]
    return Report(case="latency", server=server.what, rows=rows, notes=notes)


def startup(bench: Bench) -> Report:
    """What it takes to begin: `--help`, and a run of a single record."""
    core = bench.cores.client
    python = [sys.executable, "-c", "pass"]
    show_help = [sys.executable, "-m", "tmux_fanout", "--help"]
    with fast_server(APIS, bench.cores.server) as server:
        work = bench.work(server.urls, 1)
        usages = bench.in_turn(
            {
                "python -c pass": lambda: run(python, core),
                "tmux-fanout --help": lambda: run(show_help, core),
                **{f"{c.name}, 1 record": bench.job(c, work) for c in bench.contenders},
            }
        )
    rows = [
        {
            "": name,
            "ms": Spread([u.seconds * 1000 for u in rounds]),
            "CPU ms": Spread([u.cpu * 1000 for u in rounds]),
        }
        for name, rounds in usages.items()
    ]
    return Report(case="startup", server=server.what, rows=rows)
