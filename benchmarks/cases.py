"""Cases that compare whole runs against a server that answers at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from benchmarks.bench import Bench, absent
from benchmarks.checks import Work
from benchmarks.contenders import (
    CONTENDERS,
    ONE_HTTPX_CLIENT,
    OURS,
    OURS_COMPILED,
    OURS_HTTPX,
    Contender,
    ours,
)
from benchmarks.machine import Usage, choose_many_cores, run
from benchmarks.report import Report, Spread, ratios
from benchmarks.servers import Server, fast_server, make_tls
from benchmarks.tools import version_of

APIS = 3
MIB = 1 << 20

_MIN_RECORDS = 2_000
_LARGE = 64 << 10


def throughput(bench: Bench) -> Report:
    """Measure requests per second against a server that answers at once."""
    server = fast_server(APIS, bench.cores.server)
    return compare(bench, server, CONTENDERS, case="throughput", records=40_000)


def large(bench: Bench) -> Report:
    """Measure throughput with long responses."""
    server = fast_server(APIS, bench.cores.server, size=_LARGE)
    note = f"answers of {_LARGE >> 10} KiB of JSON"
    return compare(bench, server, CONTENDERS, case="large", records=4_000, note=note)


def tls(bench: Bench) -> Report:
    """Measure throughput over TLS."""
    if version_of("trustme") is None:
        return Report(
            case="tls", server="none", notes=["not installed: trustme, for a certificate"]
        )
    server = fast_server(APIS, bench.cores.server, tls=make_tls(bench.directory))
    return compare(bench, server, CONTENDERS, case="tls", records=40_000, note="over TLS")


def httpx(bench: Bench) -> Report:
    """Compare httpx behind our command with programs that share one httpx client."""
    server = fast_server(APIS, bench.cores.server)
    contenders = (OURS_HTTPX, *ONE_HTTPX_CLIENT)
    return compare(bench, server, contenders, case="httpx", records=2_000)


def workers(bench: Bench) -> Report:
    """Compare two and four worker processes with one, on more cores than other cases use."""
    show_help = [sys.executable, "-m", "tmux_fanout", "run", "--help"]
    said = subprocess.run(show_help, capture_output=True, text=True, check=True).stdout
    if "--workers" not in said:
        return Report(case="workers", server="none", notes=["not available: run has no --workers"])
    contenders = [
        Contender(name=f"tmux-fanout --workers {n}", command=ours("--workers", str(n)))
        for n in (2, 1, 4)
    ]
    wide = replace(bench, cores=choose_many_cores(), names=())
    pinned = wide.cores.client
    note = f"clients on {len(pinned)} cores" if pinned else "server and clients share all cores"
    server = fast_server(APIS, wide.cores.server)
    return compare(wide, server, contenders, case="workers", records=40_000, note=note)


def compare(
    bench: Bench,
    serving: AbstractContextManager[Server],
    contenders: Sequence[Contender],
    *,
    case: str,
    records: int,
    note: str = "",
) -> Report:
    """Return the rates of contenders that run in turn against one server."""
    count = bench.records or records
    running = bench.among(contenders)
    with serving as server:
        works = {c.name: bench.work(server, _share(count, c.share)) for c in running}
        usages = bench.in_turn({c.name: bench.job(c, works[c.name]) for c in running})
    notes = [f"{APIS} APIs, limit 64 each; start-up included", note, *absent(contenders)]
    rows = rates(works, usages)
    return Report(case=case, server=server.what, rows=rows, notes=[*filter(None, notes)])


def _share(count: int, share: float) -> int:
    """Return a share of the records, but enough that start-up does not dominate."""
    return min(count, max(_MIN_RECORDS, int(count * share)))


def rates(works: Mapping[str, Work], usages: Mapping[str, Sequence[Usage]]) -> list[dict[str, Any]]:
    """Return a row per contender: its rate, its cost, and the ratios of our builds to it."""
    done = {
        name: [works[name].requests / usage.seconds for usage in rounds]
        for name, rounds in usages.items()
    }
    costs = {
        name: [usage.cpu / works[name].requests * 1e6 for usage in rounds]
        for name, rounds in usages.items()
    }
    builds = [name for name in done if name in (next(iter(done)), OURS_COMPILED.name)]
    return [
        {
            "": name,
            "requests": works[name].requests,
            "requests/s": Spread(done[name]),
            "CPU us/request": Spread(costs[name]),
            "peak MiB": Spread([u.peak / MIB for u in rounds]),
            **{
                column: ratio if name != build else ""
                for build in builds
                for column, ratio in (
                    (f"{build} is x as fast", ratios(done[build], done[name])),
                    (f"{build} takes x its CPU", ratios(costs[build], costs[name])),
                )
            },
        }
        for name, rounds in usages.items()
    ]


def startup(bench: Bench) -> Report:
    """Measure start-up: `--help`, and a run of a single record."""
    core = bench.cores.client
    click = [sys.executable, "-c", "import click"]
    show_help = [sys.executable, "-m", "tmux_fanout", "--help"]
    with fast_server(APIS, bench.cores.server) as server:
        work = bench.work(server, 1)
        usages = bench.in_turn(
            {
                'python -c "import click"': lambda: run(click, core),
                f"{OURS.name} --help": lambda: run(show_help, core),
                **{f"{c.name}, 1 record": bench.job(c, work) for c in bench.contenders},
            }
        )
    times = {name: [u.seconds * 1000 for u in rounds] for name, rounds in usages.items()}
    first = next(iter(times))
    rows = [
        {
            "": name,
            "ms": Spread(times[name]),
            "CPU ms": Spread([u.cpu * 1000 for u in rounds]),
            "x the first": ratios(times[name], times[first]) if name != first else "",
        }
        for name, rounds in usages.items()
    ]
    return Report(case="startup", server=server.what, rows=rows, notes=absent(CONTENDERS))
