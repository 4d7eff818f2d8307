"""The case of `plan`: how close it comes to real runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from benchmarks.bench import Bench, Broken, say
from benchmarks.machine import run
from benchmarks.report import Report, Spread, ratios
from benchmarks.servers import Server, twin

_COMMAND = [sys.executable, "-m", "tmux_fanout"]
_EARLIER = 5  # times as many records are planned as the earlier run had


class _Situation(NamedTuple):
    """What a run waits for: the server, the options of the run, and its records."""

    name: str
    server: Mapping[str, Any]
    options: Sequence[str]
    records: int


_SITUATIONS = (
    _Situation("answers in 50 ms", {"delay": 0.05}, (), 10_000),
    _Situation("a heavy tail", {"delay": 0.01, "alpha": 1.5, "most": 1.0}, (), 20_000),
    _Situation("a rate of 500/s", {"delay": 0.01}, ("--rate", "500/s"), 5_000),
    _Situation("answers at once", {}, (), 40_000),
)


def plan(bench: Bench) -> Report:
    """Measure the time of real runs, and that of their plans by an earlier, shorter run."""
    rows: list[dict[str, Any]] = []
    what = ""
    for situation in _SITUATIONS:
        with twin(1, bench.cores.server, **situation.server) as server:
            rows.append(_row(bench, situation, server))
            what = server.what
    notes = [
        f"1 API, limit 64; planned by --from an output of a {_EARLIER}th of the records",
        "seconds as in the summary; ratio: planned over real, which should be 0.9 to 1.1",
    ]
    return Report(case="plan", server=what, rows=rows, notes=notes)


def _row(bench: Bench, situation: _Situation, server: Server) -> dict[str, Any]:
    count = bench.records or situation.records
    args = ["-a", f"a={server.urls[0]}", *situation.options]
    earlier, real = bench.directory / "earlier.jsonl", bench.directory / "real.jsonl"
    say(f"  {situation.name}\n")
    planned, seconds = [], []
    for _ in range(bench.rounds):
        _run(bench, [*args, "--timings"], bench.sample(max(1, count // _EARLIER)), earlier)
        seconds.append(_run(bench, args, bench.sample(count), real))
        planned.append(_plan(bench, [*args, "--from", str(earlier), str(bench.sample(count))]))
    return {
        "": situation.name,
        "records": count,
        "planned": Spread(planned),
        "real": Spread(seconds),
        "ratio": ratios(planned, seconds),
    }


def _run(bench: Bench, args: Sequence[str], source: Path, output: Path) -> float:
    """Make a run, and return how long it took by its summary."""
    summary = bench.directory / "summary.json"
    options = ["-q", "--force", "-o", str(output), "--summary-file", str(summary)]
    usage = run([*_COMMAND, *args, *options, str(source)], bench.cores.client)
    if usage.status:
        raise Broken(f"run: exit status {usage.status}")
    return float(json.loads(summary.read_bytes())["seconds"])


def _plan(bench: Bench, args: Sequence[str]) -> float:
    """Make a plan, and return how long the run takes by it."""
    with TemporaryFile(dir=bench.directory) as out:
        usage = run([*_COMMAND, "plan", "--json", *args], bench.cores.client, stdout=out)
        if usage.status:
            raise Broken(f"plan: exit status {usage.status}")
        out.seek(0)
        return float(json.loads(out.read())["seconds"])
