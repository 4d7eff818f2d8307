"""Measure the speed, memory and latency of the command, side by side with its rivals.

    python benchmarks/run.py [--case CASE]... [--records N] [--rounds N] [--against WORD]...
                             [--json FILE] [--figure FILE]

throughput   requests per second and CPU time per request against a server that answers at once,
             through the whole command, start-up included
large        the same with responses of 64 KiB
tls          the same over TLS
httpx        the same by way of httpx, against one httpx client for all
workers      the same with two and four processes against one
cluster      the same with one, two and four workers of a Dask cluster against one process
latency      the share of the ideal rate, which is limit over the server's delay
ordered      in input order against --unordered, where the server's delays have a heavy tail
scale        CPU time per request as the APIs, bodies, limits and hosts grow, and over HTTP/2
memory       peak memory at N / 100, N / 10 and N records (1,000,000), at 10,000 calls in flight,
             and with a stalled reader
resume       MB/s at which --resume compares an output with its input
plan         the time that plan says, over that of real runs
trickle      milliseconds that a record on an idle pipe takes, beyond the server's own time
startup      --help, and a run of a single record
cancel       from a second SIGINT to the exit, with 10,000 calls in flight
pure         the parts that do no I/O, by themselves

The server has one core for itself and the client another.  The server is nginx if that is
installed, or else a twin in plain Python, which is slower than the client; each result names it,
and cases that need delays always use the twin.  Contenders run in turn (A B C A B C ...), after one
round to warm up.  Numbers are medians over the rounds, with minimum and maximum; ratios are taken
round by round.  Output is checked after the clock has stopped.  A contender whose modules or
programs are missing is left out, and named.  The load of the machine is printed first: it should be
near 0.  The figure, an SVG, shows the bars of `throughput`.

Runs on Linux.  The rivals in Python are in the dependency group `bench`; undici comes with
`npm install --prefix benchmarks/rivals --no-save undici`, and our compiled build with `python3 -m
venv .venv-compiled && HATCH_BUILD_HOOKS_ENABLE=1 .venv-compiled/bin/pip install .`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import cases, delayed, flood, live, parts
from benchmarks.bench import Bench, Broken
from benchmarks.cluster import cluster
from benchmarks.contenders import CONTENDERS
from benchmarks.figure import draw_report
from benchmarks.machine import allow_many_files, choose_cores, describe
from benchmarks.plan import plan
from benchmarks.report import Report
from benchmarks.resume import resume
from benchmarks.scale import scale

CASES: dict[str, Callable[[Bench], Report]] = {
    "throughput": cases.throughput,
    "large": cases.large,
    "tls": cases.tls,
    "httpx": cases.httpx,
    "workers": cases.workers,
    "cluster": cluster,
    "latency": delayed.latency,
    "ordered": delayed.ordered,
    "scale": scale,
    "memory": live.memory,
    "resume": resume,
    "plan": plan,
    "trickle": live.trickle,
    "startup": cases.startup,
    "cancel": flood.cancel,
    "pure": parts.pure,
}

MAIN = "throughput"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", action="append", choices=[*CASES, "all"], dest="cases")
    parser.add_argument(
        "--records", type=_positive, help="number of records; default: depends on the case"
    )
    parser.add_argument("--rounds", type=_positive, default=5, help="default: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the main case to FILE")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="WORD",
        help="only rivals with this word in their names; default: all",
    )
    options = parser.parse_args()
    wanted = options.cases or [MAIN]
    options.cases = list(CASES) if "all" in wanted else list(dict.fromkeys(wanted))
    if options.figure and MAIN not in options.cases:
        parser.error(f"--figure draws the case {MAIN}; add --case {MAIN}")
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def main() -> int:
    options = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    allow_many_files()
    machine = {**describe(), "pinned": choose_cores()._asdict()}
    print(*(f"{key}: {value}" for key, value in machine.items()), sep=", ", end="\n\n", flush=True)
    reports: list[Report] = []
    try:
        with TemporaryDirectory(prefix="benchmark-") as directory:
            bench = Bench(
                directory=Path(directory),
                cores=choose_cores(),
                rounds=options.rounds,
                records=options.records,
                names=options.against,
            )
            for name in options.cases:
                reports.append(CASES[name](bench))
                print(reports[-1], flush=True)
    except Broken as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        _write(options, machine, reports)
    return 0


def _write(options: argparse.Namespace, machine: dict[str, Any], reports: list[Report]) -> None:
    """Write the requested files, from the reports that there are."""
    if options.json and reports:
        options.json.write_text(json.dumps(_as_json(machine, reports), indent=2) + "\n")
    main_report = next((report for report in reports if report.case == MAIN), None)
    if options.figure and main_report:
        options.figure.write_text(draw_report(main_report, "requests/s"))


def _leave(number: int, _: FrameType | None) -> None:
    """Exit by an exception, so that everything is cleaned up."""
    sys.exit(128 + number)


def _as_json(machine: dict[str, Any], reports: list[Report]) -> dict[str, Any]:
    versions: dict[str, str] = {}
    for contender in CONTENDERS:
        versions |= contender.versions
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "reports": [report.as_json() for report in reports],
    }


if __name__ == "__main__":
    sys.exit(main())
