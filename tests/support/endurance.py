"""Run on a cluster again and again under load: `python -m support.endurance [RUNS]`, from `tests`.

Processes that compute keep all cores busy meanwhile, and the command itself stands still for a
moment in each run.  A run is clean if nobody died, every record is ok and was sent once.  It takes
too long for the suite.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from support.command import lines, records, start
from support.dask import Dask, Slowly, dask
from support.loopback import Loopback, loopback

_RECORDS = 200
_LIMIT = 8
_PATIENCE = 300.0  # seconds for a run


def endure(runs: int) -> Counter[str]:
    """Return what so many runs came to: `clean`, or what was wrong."""
    computing = [sys.executable, "-c", "while True: pass"]
    load = [subprocess.Popen(computing) for _ in range(os.cpu_count() or 1)]
    found: Counter[str] = Counter()
    try:
        with TemporaryDirectory() as folder, dask(Path(folder), 3) as cluster:
            for number in range(runs):
                with loopback() as server:
                    what = _run(cluster, server, Path(folder), random.Random(number))
                found[what] += 1
                print(number, what, flush=True)  # noqa: T201 it takes an hour
    finally:
        for process in load:
            process.kill()
            process.wait()
    return found


def _run(cluster: Dask, server: Loopback, folder: Path, rng: random.Random) -> str:
    replies = server.replies["/"] = Slowly()
    source = folder / "in.jsonl"
    source.write_bytes(records(_RECORDS))
    args = ("-a", f"x={server.url()}", "-l", str(_LIMIT), "-v", str(source), *cluster.option)
    with start(*args) as process:
        while len(server.bodies) < _RECORDS // 3 and process.poll() is None:
            server.arrived.acquire(timeout=1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0, 2))
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=_PATIENCE)
    if b" died" in err or process.returncode:
        return f"exit status {process.returncode}: {err.decode()}"
    if [line["index"] for line in lines(out)] != list(range(_RECORDS)):
        return "lines are missing"
    if sorted(json.loads(body)["id"] for body in server.bodies) != list(range(_RECORDS)):
        return "sent twice, or not at all"
    return "clean" if replies.peak <= _LIMIT else f"{replies.peak} at the same time"


if __name__ == "__main__":
    print(endure(int(sys.argv[1]) if sys.argv[1:] else 200))  # noqa: T201
