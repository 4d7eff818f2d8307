"""Cases that observe a running command: its memory, and a trickle through it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import IO, Any
from urllib.parse import urlsplit

from benchmarks.bench import Bench, absent, say
from benchmarks.cases import APIS, MIB
from benchmarks.checks import Work
from benchmarks.contenders import CONTENDERS, OURS, Contender
from benchmarks.flood import peak_in_flight
from benchmarks.machine import cpu_so_far, peak_so_far, running
from benchmarks.report import Report, Spread, ratios
from benchmarks.servers import Server, fast_server

_MOST = 1_000_000
_SETTLED = 1.0  # seconds without CPU time, after which a process counts as stalled
_PAUSE = 0.01  # between the records of a trickle, so that the pipe is idle
_TRICKLE = 300
_WARM = 20


def memory(bench: Bench) -> Report:
    """Measure peak memory by number of records, with many calls in flight, with a stalled reader.

    Rivals keep everything in memory, and are spared the largest number of records.
    """
    most = bench.records or _MOST
    counts = [max(1, most // 100), max(1, most // 10), most]
    rows: list[dict[str, Any]] = []
    with fast_server(APIS, bench.cores.server) as server:
        for contender in bench.contenders:
            if contender.share == 1:
                ours = contender is OURS
                rows.append(_peaks(bench, contender, server, counts if ours else counts[:2]))
        say("  reader stalled\n")
        stalled = _peak_when_stalled(bench, bench.work(server, counts[1]))
    rows[0]["10,000 in flight, MiB"] = Spread(peak_in_flight(bench))
    rows[0]["reader stalled, MiB"] = stalled / MIB
    notes = [
        f"peak resident memory; {APIS} APIs, limit 64 each, but 1 with limit 10,000 for as many in "
        f"flight; rivals run once each",
        *absent(CONTENDERS),
    ]
    return Report(case="memory", server=server.what, rows=rows, notes=notes)


def _peaks(
    bench: Bench, contender: Contender, server: Server, counts: Sequence[int]
) -> dict[str, Any]:
    """Return a row: memory by number of records, and the ratio of the largest to the smallest."""
    peaks: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(bench.rounds if contender is OURS else 1):
        for count, found in peaks.items():
            say(f"  {contender.name}, {count:,} records\n")
            found.append(bench.job(contender, bench.work(server, count))().peak / MIB)
    shown = {f"{count:,} records, MiB": Spread(found) for count, found in peaks.items()}
    growth = ratios(peaks[counts[-1]], peaks[counts[0]])
    return {"": contender.name, **shown, "last over first": growth}


def _peak_when_stalled(bench: Bench, work: Work) -> int:
    """Return the peak memory of our command once it has stopped, as nobody reads its output."""
    with (
        work.records.open("rb") as stdin,
        running(
            OURS.command(work), bench.cores.client, stdin=stdin, stdout=subprocess.PIPE
        ) as process,
    ):
        used, since = 0, time.monotonic()
        while time.monotonic() - since < _SETTLED:
            time.sleep(_SETTLED / 10)
            now = cpu_so_far(process)
            if now != used:
                used, since = now, time.monotonic()
        if process.poll() is not None:
            raise RuntimeError("the whole output fits into the pipe: give more --records")
        return peak_so_far(process)


def trickle(bench: Bench) -> Report:
    """Measure how long a record on an idle pipe takes, beyond the server's own time."""
    count = bench.records or _TRICKLE
    with fast_server(1, bench.cores.server) as server:
        work = bench.work(server, count + _WARM)
        lines = work.records.read_bytes().splitlines(keepends=True)
        direct = _post_each(server.urls[0], lines)
        piped = _pipe_each(bench, work, lines)
    rows = [_milliseconds("plain socket", direct), _milliseconds(OURS.name, piped)]
    rows[1]["median, over the server's own"] = (median(piped) - median(direct)) * 1000
    notes = [f"1 API; a record every {_PAUSE * 1000:g} ms or more; milliseconds"]
    return Report(case="trickle", server=server.what, rows=rows, notes=notes)


def _milliseconds(name: str, times: Sequence[float]) -> dict[str, Any]:
    cuts = quantiles(times, n=100)
    shown = {"median": median(times), "p99": cuts[98], "most": max(times)}
    return {"": name, "records": len(times), **{k: v * 1000 for k, v in shown.items()}}


def _post_each(url: str, lines: Sequence[bytes]) -> list[float]:
    """Return the seconds that the server takes for each record on a kept-alive connection."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json"
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def exchange(line: bytes) -> bytes:
            sock.sendall(f"{head}\r\nContent-Length: {len(line)}\r\n\r\n".encode() + line)
            return sock.recv(65536)

        return _time_each(lines, exchange)


def _pipe_each(bench: Bench, work: Work, lines: Sequence[bytes]) -> list[float]:
    """Return the seconds from writing each record to our command until its line comes out."""
    pipe = subprocess.PIPE
    with running(OURS.command(work), bench.cores.client, stdin=pipe, stdout=pipe) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def exchange(line: bytes) -> bytes:
            stdin.write(line)
            return _read_line(stdout)

        times = _time_each(lines, exchange)
        stdin.close()
        if process.wait(10):
            raise RuntimeError(f"the command ended with status {process.returncode}")
        return times


def _read_line(pipe: IO[bytes]) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = pipe.read(65536)
        if not data:
            raise RuntimeError("the command ended in the middle of the trickle")
        line += data
    return line


def _time_each(lines: Sequence[bytes], exchange: Callable[[bytes], bytes]) -> list[float]:
    times = []
    for line in lines:
        time.sleep(_PAUSE)
        started = time.perf_counter()
        exchange(line)
        times.append(time.perf_counter() - started)
    return times[_WARM:]
