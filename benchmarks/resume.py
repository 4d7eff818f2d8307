"""The case of `--resume`: how fast an output is compared with its input."""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Broken, Run, say
from benchmarks.cases import MIB
from benchmarks.machine import Usage, run
from benchmarks.report import Report, Spread

_NAMES = ("alpha", "beta")
_OUTCOME = b'{"ok":true,"status":200,"body":{"score":0.875},"attempts":1,"seconds":0.0123}'


def resume(bench: Bench) -> Report:
    """Measure `--resume` on finished outputs; the one of a single line shows the start-up time."""
    largest = bench.records or 1_000_000
    counts = sorted({1, max(1, largest // 10), largest})
    outputs = {count: _output(bench, count) for count in counts}
    usages = bench.in_turn({f"{count:,} lines": _job(bench, *outputs[count]) for count in counts})
    idle = usages["1 lines"]
    rows: list[dict[str, Any]] = []
    for count in counts:
        rounds = usages[f"{count:,} lines"]
        size = outputs[count][1].stat().st_size
        rest = [max(u.seconds - start.seconds, 1e-9) for u, start in zip(rounds, idle)]
        rows.append(
            {
                "": f"{count:,} lines",
                "output MB": size / 1e6,
                "seconds": Spread([u.seconds for u in rounds]),
                "MB/s": Spread([size / 1e6 / u.seconds for u in rounds]),
                "without start-up": Spread([size / 1e6 / s for s in rest]) if count > 1 else "",
                "peak MiB": Spread([u.peak / MIB for u in rounds]),
            }
        )
    notes = [f"--resume of a complete output, {len(_NAMES)} APIs; nothing is left to send"]
    return Report(case="resume", server="none", rows=rows, notes=notes)


def _output(bench: Bench, count: int) -> tuple[Path, Path]:
    """Return an input, and the output that an undisturbed run would have left."""
    say(f"  writing {count:,} lines\n")
    source = bench.sample(count)
    output = bench.directory / f"{count}.out"
    results = b",".join(b'"%b":%b' % (name.encode(), _OUTCOME) for name in _NAMES)
    with source.open("rb") as records, output.open("wb") as out:
        for index, record in enumerate(records):
            line = (index, record.rstrip(), results)
            out.write(b'{"index":%d,"record":%b,"ok":true,"results":{%b}}\n' % line)
    return source, output


def _job(bench: Bench, source: Path, output: Path) -> Run:
    apis = chain.from_iterable(("-a", f"{name}=http://127.0.0.1:1/") for name in _NAMES)
    command = [sys.executable, "-m", "tmux_fanout", *apis, "-q", "--resume"]
    return partial(_check, bench, [*command, "-o", str(output), str(source)], output)


def _check(bench: Bench, command: list[str], output: Path) -> Usage:
    before = output.stat()
    usage = run(command, bench.cores.client)
    if usage.status or output.stat().st_mtime_ns != before.st_mtime_ns:
        raise Broken(f"--resume: exit status {usage.status}, or the output was changed")
    return usage
