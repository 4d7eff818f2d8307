"""Thousands of calls in flight at once: the memory they take, and the time to cancel them."""

from __future__ import annotations

import signal
import time
from functools import partial
from tempfile import TemporaryFile
from typing import Any

from benchmarks.bench import Bench, Broken, Run, say
from benchmarks.cases import MIB
from benchmarks.checks import Work
from benchmarks.contenders import OURS
from benchmarks.machine import Usage, peak_so_far, running
from benchmarks.report import Report, Spread
from benchmarks.servers import Server, twin

_CALLS = 10_000
_NEVER = 600.0  # seconds that a response takes which nobody waits for
_BETWEEN = 0.1  # seconds between two signals: closer, the system may merge them
_EXIT = 130


def cancel(bench: Bench) -> Report:
    """Measure the time from a second SIGINT to the exit, with all calls in flight."""
    calls = bench.records or _CALLS
    name = f"{OURS.name}, {calls:,} in flight"
    with twin(1, bench.cores.server, delay=_NEVER, crowd=calls) as server:
        work = bench.work(server, calls, limit=calls)
        rounds = bench.in_turn({name: flood(bench, server, work)})[name]
    row: dict[str, Any] = {
        "": name,
        "ms from second SIGINT to exit": Spread([u.seconds * 1000 for u in rounds]),
        "peak MiB before it": Spread([u.peak / MIB for u in rounds]),
    }
    notes = [f"1 API, limit {calls:,}; signals {_BETWEEN * 1000:g} ms apart; every line is written"]
    return Report(case="cancel", server=server.what, rows=[row], notes=notes)


def peak_in_flight(bench: Bench, calls: int = _CALLS) -> list[float]:
    """Return peak memory in MiB with `calls` calls in flight and a full window, per round."""
    with twin(1, bench.cores.server, delay=_NEVER, crowd=calls) as server:
        do = flood(bench, server, bench.work(server, 4 * calls, limit=calls))
        peaks = []
        for _ in range(bench.rounds):
            say(f"  {OURS.name}, {calls:,} calls in flight\n")
            peaks.append(do().peak / MIB)
    return peaks


def flood(bench: Bench, server: Server, work: Work) -> Run:
    """Return a run that is interrupted once the server has its crowd; the time is its ending's."""
    return partial(_flood, bench, server, work)


def _flood(bench: Bench, server: Server, work: Work) -> Usage:
    with (
        work.records.open("rb") as stdin,
        TemporaryFile(dir=bench.directory) as out,
        running(OURS.command(work), bench.cores.client, stdin=stdin, stdout=out) as process,
    ):
        server.crowded()
        peak = peak_so_far(process)
        process.send_signal(signal.SIGINT)
        time.sleep(_BETWEEN)
        process.send_signal(signal.SIGINT)
        started = time.perf_counter()
        process.wait()
        seconds = time.perf_counter() - started
        out.seek(0)
        lines = sum(1 for _ in out)
        if process.returncode != _EXIT or lines < work.limit:
            raise Broken(f"{OURS.name}: exit status {process.returncode}, {lines} lines")
        return Usage(process.returncode, seconds, 0.0, peak)
