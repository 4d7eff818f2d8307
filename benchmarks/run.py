"""How fast, how small and how prompt the command is, side by side with its rivals.

    python benchmarks/run.py [--case CASE]... [--records N] [--rounds N] [--json FILE]
                             [--against WORD]...

throughput   requests per second and CPU time per request against a server that answers at once,
             through the whole command, start-up included
memory       peak memory at N / 10 and at N records (100,000), and with a reader who stalls
ordered      in input order against --unordered, where the server's delays have a heavy tail
latency      the share of the ideal rate, limit 500 over the server's delay
resume       MB/s at which an output is held against its input before it is gone on with
trickle      milliseconds that a record on an idle pipe takes, over the server's own time
startup      --help, and a run of a single record

The server has one core for itself and the client another.  It is nginx where that is installed,
else a plain-Python twin, which is slower than the client; each result says which it was, and cases
that need delays always take the twin.  Contenders run in turn (A B C A B C ...), after one round
to warm up; figures are medians over the rounds, with the least and the most; ratios are taken
round by round.  Output is checked, outside the time taken.  A contender whose modules or programs
are missing is left out, and named.  What else the machine was doing shows in the load that is
printed first: it should be near 0.

Runs on Linux.  The rivals are in the dependency group `bench`.
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

from benchmarks import cases, live
from benchmarks.bench import Bench, Broken
from benchmarks.contenders import CONTENDERS
from benchmarks.machine import choose_cores, describe
from benchmarks.report import Report
from benchmarks.resume import resume

CASES: dict[str, Callable[[Bench], Report]] = {
    "throughput": cases.throughput,
    "memory": live.memory,
    "ordered": cases.ordered,
    "latency": cases.latency,
    "resume": resume,
    "trickle": live.trickle,
    "startup": cases.startup,
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", action="append", choices=[*CASES, "all"], dest="cases")
    parser.add_argument("--records", type=_positive, help="by default what suits the case")
    parser.add_argument("--rounds", type=_positive, default=5, help="default: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="WORD",
        help="only rivals with this word in their names; default: all",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def main() -> int:
    options = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    wanted = options.cases or ["throughput"]
    names = list(CASES) if "all" in wanted else list(dict.fromkeys(wanted))
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
            for name in names:
                reports.append(CASES[name](bench))
                print(reports[-1], flush=True)
    except Broken as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if options.json and reports:
            options.json.write_text(json.dumps(_as_json(machine, reports), indent=2) + "\n")
    return 0


def _leave(number: int, _: FrameType | None) -> None:
    """Leave by an exception, so that everything is cleaned up."""
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
