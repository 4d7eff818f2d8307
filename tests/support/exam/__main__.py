"""Print a table of all scenarios, or of those whose names match, and the targets they miss.

    python -m tests.support.exam [-s PATTERN]... [--missed] [-v]

With -v, print notices, the summary and what each server saw, second by second, as well.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from contextlib import suppress
from fnmatch import fnmatchcase

from .catalogue import all_scenarios
from .play import Report, examine

_HEAD = (
    f"{'scenario':28} {'ok %':>6} {'time':>6} {'ideal':>6} {'over':>5} {'sent':>5} "
    f"{'peak':>4} {'down':>5}  missed"
)


def row(report: Report) -> str:
    """Return one line of the table.

    Its columns are the share of records that are ok, the time in seconds, the ideal, their ratio,
    requests per needed one, most in flight at one server, and requests to one that was down.
    """
    peak = max(server.peak for server in report.servers)
    is_down = any(server.down[0] < math.inf for server in report.servers)
    return (
        f"{report.scenario.name:28} {100 * report.ok_share:6.2f} {report.seconds:6.1f} "
        f"{report.scenario.ideal:6.1f} {report.over:5.2f} {report.requests / report.needed:5.2f} "
        f"{peak:4} {report.while_down if is_down else '':>5}  {'; '.join(report.missed())}"
    ).rstrip()


def details(report: Report) -> str:
    """Return what happened in a run, second by second."""
    lines = [f"{time:8.2f}  {text}" for time, text in report.notices]
    lines.append(report.summary)
    for server in report.servers:
        lines.append(repr(server))
        for name in ("arrivals", "served", "refused"):
            counts = Counter(int(time) for time in getattr(server, name))
            seconds = range(min(150, 1 + max(counts, default=0)))
            lines.append(f"{name:9}" + " ".join(str(counts[second]) for second in seconds))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.exam")
    parser.add_argument("-s", "--scenario", metavar="PATTERN", action="append", default=[])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--missed", action="store_true", help="only scenarios that miss a target")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    missed = played = 0
    _print(_HEAD)
    for name, scenario in all_scenarios().items():
        if args.scenario and not any(fnmatchcase(name, pattern) for pattern in args.scenario):
            continue
        report = examine(scenario, seed=args.seed)
        played += 1
        missed += bool(report.missed())
        if report.missed() or not args.missed:
            _print(row(report))
        if args.verbose:
            _print(details(report))
    _print(f"{played - missed} of {played} scenarios reach their targets")


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  a command


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError):
        main()
