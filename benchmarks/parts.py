"""The case of the pure parts: runs `pure.py` on the client's core."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryFile

from benchmarks.bench import Bench, Broken, say
from benchmarks.machine import run
from benchmarks.report import Report, Spread


def pure(bench: Bench) -> Report:
    """Measure the rates of framing, encoding and templates by themselves."""
    script = str(Path(__file__).with_name("pure.py"))
    say(f"  {script}\n")
    with TemporaryFile(dir=bench.directory) as out:
        command = [sys.executable, script, "--rounds", str(bench.rounds)]
        status = run(command, bench.cores.client, stdout=out).status
        if status:
            raise Broken(f"{script}: exit status {status}")
        out.seek(0)
        found: dict[str, list[float]] = json.load(out)
    rows = [{"": name, "rate": Spread(rounds)} for name, rounds in found.items()]
    return Report(case="pure", server="none", rows=rows)
