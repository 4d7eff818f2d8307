"""The cases that look into a running command: its memory, and a trickle through it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import IO, Any
from urllib.parse import urlsplit

from benchmarks.bench import Bench, say
from benchmarks.cases import APIS, MIB
from benchmarks.contenders import OURS, Work
from benchmarks.machine import cpu_so_far, peak_so_far, running
from benchmarks.report import Report
from benchmarks.servers import fast_server

_SETTLED = 1.0  # seconds without any CPU time: a stalled process has stopped for good
_PAUSE = 0.01  # between the records of a trickle, so that the pipe is idle
_TRICKLE = 300
_WARM = 20


def memory(bench: Bench) -> Report:
    """Peak memory at a tenth of the records, at all of them, and with a reader who stalls."""
    most = bench.records or 100_000
    rows: list[dict[str, Any]] = []
    with fast_server(APIS, bench.cores.server) as server:
        works = [bench.work(server.urls, count) for count in (max(1, most // 10), most)]
        for contender in bench.contenders:
            if contender.share < 1:
                continue
            peaks = []
            for work in works:
                say(f"  {contender.name}, {work.count} records\n")
                peaks.append(bench.job(contender, work)().peak)
            row = {f"{w.count:,} records, MiB": peak / MIB for w, peak in zip(works, peaks)}
            rows.append({"": contender.name, **row, "growth": peaks[1] / peaks[0]})
        say("  reader stalled\n")
        stalled = _peak_when_stalled(bench, works[1])
    rows[0]["reader stalled, MiB"] = stalled / MIB
    notes = [f"peak resident memory; {APIS} APIs, limit 64 each; one run each"]
    return Report(case="memory", server=server.what, rows=rows, notes=notes)


def _peak_when_stalled(bench: Bench, work: Work) -> int:
    """Peak memory of our command when nobody reads its output, once it does nothing more."""
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
    """How long a record on an idle pipe takes, over what the server takes by itself."""
    count = bench.records or _TRICKLE
    with fast_server(1, bench.cores.server) as server:
        work = bench.work(server.urls, count + _WARM)
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
    """Seconds that the server takes to answer each record on a kept-alive connection."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json"
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def exchange(line: bytes) -> bytes:
            sock.sendall(f"{head}\r\nContent-Length: {len(line)}\r\n\r\n".encode() + line)
            return sock.recv(65536)

        return _time_each(lines, exchange)


def _pipe_each(bench: Bench, work: Work, lines: Sequence[bytes]) -> list[float]:
    """Seconds from writing each record into our command to its line of output."""
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
